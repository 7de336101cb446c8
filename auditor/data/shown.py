"""Foreground masks packed for the index, and occlusion as a person sees it; no torch."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image, ImageFilter
from pycocotools import mask as coco_mask

from auditor.data.formats.segments import fill as fill_code
from auditor.grids import Mask
from auditor.records import Fill, Preprocess


def pack_mask(mask: Mask) -> str:
    """A mask (S, S) as COCO's compressed run-length code in JSON: some hundred bytes."""
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return json.dumps(
        {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}
    )


def unpack_mask(text: str) -> Mask:
    """The mask (S, S) that `pack_mask` packed."""
    return fill_code(json.loads(text))


def occlude_crop(image: Image.Image, mask: Mask, fill: Fill, preprocess: Preprocess) -> Image.Image:
    """A crop with the pixels of the mask (S, S) filled, for drawing: the network gets `occlude`."""
    return Image.composite(_filling(image, fill, preprocess), image, Image.fromarray(mask))


def _filling(image: Image.Image, fill: Fill, preprocess: Preprocess) -> Image.Image:
    if fill == "blur":
        return image.filter(ImageFilter.GaussianBlur(image.width / 16))
    if fill == "noise":
        noise = np.random.default_rng(0).integers(0, 256, (image.height, image.width, 3), np.uint8)
        return Image.fromarray(noise)
    red, green, blue = (round(255 * value) for value in preprocess.mean)
    colours = {"mean": (red, green, blue), "black": (0, 0, 0), "grey": (128, 128, 128)}
    return Image.new("RGB", image.size, colours[fill])
