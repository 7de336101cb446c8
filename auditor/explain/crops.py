"""The pixels of images as the backbone saw them: of an index's dataset, or of files of their own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from auditor.errors import CellError, DatasetError
from auditor.explain.indexed import load_each, load_named
from auditor.files import is_file
from auditor.store import Index


def is_outside(index: Index, image: str) -> bool:
    """Whether this names an image file that the index does not hold."""
    if not is_file(Path(image)):
        return False
    try:
        index.image(image)
    except CellError:
        return True
    return False


def crop(index: Index, path: str) -> Image.Image:
    """What the backbone saw of an image, pixel for pixel: of the dataset, or of a file of its own."""
    loaded = load_named(index, path)
    if not loaded.is_ok:
        raise DatasetError(loaded.error or f"{path} cannot be read")
    return Image.fromarray(loaded.pixels)


def crops(index: Index, paths: Iterable[str]) -> dict[str, Image.Image]:
    """The crops, by path, of those images that are still there; IndexMismatch where one has changed."""
    wanted = list(dict.fromkeys(paths))
    loaded = zip(wanted, load_each(index, wanted), strict=True)
    # of those left out the record still says where the cell is; their frames stay empty
    return {path: Image.fromarray(image.pixels) for path, image in loaded if image.is_ok}
