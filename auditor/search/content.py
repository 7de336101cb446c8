"""Which cells have content: a feature of zeros has no direction, so no cell can be said to be like it.

Networks that end in a rectifier have such cells: 22 of 12,740 on real photos with MobileNetV2.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from auditor.errors import CellError
from auditor.store import Index

Place = Literal["foreground", "background"]

AT_PLACE = "SELECT image, cell FROM cells WHERE variant = 0 AND foreground = $foreground"


def has_content(index: Index, images: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which cells (n, H * W) of these images (n,) have a feature that is not all zeros."""
    return np.not_equal(index.lengths(images), 0)


def usable_images(index: Index) -> NDArray[np.int64]:
    """The ids of the images that were neither broken nor filtered nor removed, in order."""
    return np.asarray(index.query("SELECT id FROM images WHERE usable ORDER BY id")["id"], dtype=np.int64)


def cells_on(index: Index, place: Place) -> NDArray[np.bool_]:
    """Which cells (images, H * W) hold something annotated, or are known to hold nothing annotated.

    The cells of an image that nobody annotated are neither: what lies in them is unknown.
    """
    rows = index.query(AT_PLACE, {"foreground": place == "foreground"})
    is_there = np.zeros((index.images, index.manifest.cells_per_image), dtype=np.bool_)
    is_there[rows["image"], rows["cell"]] = True
    return is_there


def annotated_images(index: Index) -> NDArray[np.int64]:
    """The ids of the usable images whose foreground is known, in order: of all their cells or of none."""
    rows = index.query(
        "SELECT id FROM images WHERE usable AND id IN "
        "(SELECT image FROM cells WHERE variant = 0 AND cell = 0 AND foreground IS NOT NULL) ORDER BY id"
    )
    return np.asarray(rows["id"], dtype=np.int64)


def require_content(name: str, feature: NDArray[np.floating]) -> None:
    """CellError where the feature of what bears this name is all zeros."""
    if not feature.any():
        raise CellError(f"{name} has no content: its feature is all zeros, so nothing can be like it")
