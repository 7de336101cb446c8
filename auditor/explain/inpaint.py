"""Images without their foreground: painted over by OpenCV, or in a file that something else has painted."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.data.pixels import load_input, open_upright
from auditor.errors import DatasetError
from auditor.grids import Mask
from auditor.records import Preprocess

Pixels = NDArray[np.uint8]

RADIUS = 5  # pixels from which OpenCV takes the colour of the rim
RIM = 3  # pixels around the foreground that still show it
OPENCV = f"by OpenCV (Telea's method, radius {RADIUS})"
NOTHING = (
    "none: it needs OpenCV, installed with: pip install 'auditor[inpaint]', or a file of your own: "
    "--inpainted FILE"
)


def inpaint(pixels: Pixels, mask: Mask) -> Pixels | None:
    """The crop (S, S, 3) with the pixels of the mask (S, S) continued from around them, the others untouched.

    None where OpenCV, an extra, is not installed.
    """
    if find_spec("cv2") is None:
        return None
    if mask.all():
        raise DatasetError("the foreground fills the whole crop, so there is nothing to inpaint it from")
    import cv2

    # resizing has mixed the object's colours into the pixels around it: no colour is taken from those
    hole = cv2.dilate(mask.astype(np.uint8), np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
    hole = mask.astype(np.uint8) if hole.all() else hole
    painted = cv2.inpaint(np.ascontiguousarray(pixels), hole, RADIUS, cv2.INPAINT_TELEA)
    return np.where(mask[..., None], np.asarray(painted, dtype=np.uint8), pixels)


def read_inpainted(path: Path, size: tuple[int, int], preprocess: Preprocess) -> Pixels:
    """The crop (S, S, 3) of an inpainted file: of the original's (width, height), or the crop itself."""
    pixels, pixel_size = load_input(path, preprocess)
    if pixel_size == size:
        return pixels
    if pixel_size == (preprocess.crop, preprocess.crop):
        return np.asarray(open_upright(path), dtype=np.uint8)
    raise DatasetError(
        f"{path} is {pixel_size[0]} x {pixel_size[1]} pixels; to fit it must have the original's "
        f"{size[0]} x {size[1]}, or the crop's {preprocess.crop} x {preprocess.crop}"
    )


def change_outside(pixels: Pixels, inpainted: Pixels, mask: Mask) -> float:
    """Mean absolute difference of the pixels outside the mask, in levels of 255."""
    outside = ~mask
    if not outside.any():
        return 0.0
    return float(np.abs(pixels[outside].astype(np.int64) - inpainted[outside]).mean())
