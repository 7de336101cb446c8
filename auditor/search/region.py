"""A box of an image in the eyes of the backbone."""

from __future__ import annotations

from auditor.errors import CellError, IndexMismatch
from auditor.grids import Box
from auditor.store import Index


def project(index: Index, name: str, box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box of an upright image of this size (width, height) in pixels of the crop that the backbone saw.

    CellError, with the box's name, where nothing is left: beside the image or what was seen of it, too small.
    """
    if box[0] >= size[0] or box[1] >= size[1]:
        raise CellError(f"{name} lies beside the image, which has {size[0]} x {size[1]} pixels")
    geometry = index.manifest.preprocess.geometry
    x0, y0, x1, y1 = geometry.project_box(box, *size)
    if x0 >= x1 or y0 >= y1:
        raise CellError(
            f"{name} covers nothing that the backbone saw, the centre at {geometry.crop} x {geometry.crop} "
            "pixels: name a larger box, or one nearer to the middle"
        )
    return x0, y0, x1, y1


def size_of(index: Index, image: int) -> tuple[int, int]:
    """Width and height of an indexed image, upright."""
    ((width, height),) = index.rows("SELECT width, height FROM images WHERE id = ?", [image])
    if width is None or height is None:
        raise IndexMismatch(f"{index.name} was made before audit kept the sizes of images; index them again")
    return width, height
