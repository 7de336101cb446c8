"""The pixels of images as the backbone saw them: of an index's dataset, or of files of their own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from auditor.data.filling import occlude_crop
from auditor.data.pixels import load_input
from auditor.data.shown import unpack_mask
from auditor.errors import CellError, DatasetError
from auditor.records import ImageGrids
from auditor.store import Index


def is_outside(index: Index, image: str) -> bool:
    """Whether this names an image file that the index does not hold."""
    try:
        index.image(image)
    except CellError:
        return Path(image).is_file()
    return False


def crop(index: Index, path: str) -> Image.Image:
    """What the backbone saw of an image, pixel for pixel: of the dataset, or of a file of its own."""
    inside = Path(index.manifest.dataset.root, path)
    pixels, _ = load_input(inside if inside.is_file() else Path(path), index.manifest.preprocess)
    return Image.fromarray(pixels)


def crops(index: Index, paths: Iterable[str]) -> dict[str, Image.Image]:
    """The crops, by path, of those images that are still there."""
    images = {}
    for path in dict.fromkeys(paths):
        try:
            images[path] = crop(index, path)
        except DatasetError:
            continue  # the record still says where the cell is; its frame stays empty
    return images


def variants_of(index: Index, grids: ImageGrids) -> list[Image.Image]:
    """The crop in each of the variants that were run: as it is, without background, without foreground."""
    image = crop(index, grids.path)
    if len(grids.variants) == 1:
        return [image]
    packed = index.query("SELECT foreground FROM images WHERE path = ?", [grids.path])["foreground"]
    mask, manifest = unpack_mask(str(packed[0])), index.manifest
    fill, preprocess, seed = manifest.fill, manifest.preprocess, int(manifest.options["seed"])
    return [image, *(occlude_crop(image, area, fill, preprocess, seed) for area in (~mask, mask))]
