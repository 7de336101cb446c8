"""The pixels of images as the backbone saw them: of an index's dataset, or of files of their own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from auditor.data.filling import occlude_crop
from auditor.data.shown import unpack_mask
from auditor.errors import CellError, DatasetError
from auditor.explain.indexed import load_each, load_named
from auditor.files import is_file
from auditor.records import ImageGrids
from auditor.store import Index


def is_outside(index: Index, image: str) -> bool:
    """Whether this names an image file that the index does not hold."""
    try:
        index.image(image)
    except CellError:
        return is_file(Path(image))
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


def variants_of(index: Index, grids: ImageGrids) -> list[Image.Image]:
    """The crop in each of the variants that were run: as it is, without background, without foreground."""
    image = crop(index, grids.path)
    if len(grids.variants) == 1:
        return [image]
    packed = index.query("SELECT foreground FROM images WHERE id = ?", [index.image(grids.path)])[
        "foreground"
    ]
    mask, manifest = unpack_mask(str(packed[0])), index.manifest
    fill, preprocess, seed = manifest.fill, manifest.preprocess, int(manifest.options["seed"])
    return [image, *(occlude_crop(image, area, fill, preprocess, seed) for area in (~mask, mask))]
