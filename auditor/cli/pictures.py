"""Brings together what a drawing needs: a record, and the pixels of the images that it speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from auditor.data.pixels import crop_upright
from auditor.data.shown import occlude_crop, unpack_mask
from auditor.draw.cells import draw_match, draw_similar
from auditor.draw.grids import draw_grid, draw_variants, stack
from auditor.errors import CellError, DatasetError
from auditor.measure.images import image_grids
from auditor.records import ClassDetail, ImageGrids, Match, Similar
from auditor.search.similar import similar, similar_to_vector
from auditor.store import Index

DRAWN = 6  # images of a class: more make a picture that nobody scrolls through


def find_grids(index: Index, image: str) -> ImageGrids:
    """An image's prediction grids: from the index, or from the backbone where it is a file of its own."""
    if is_outside(index, image):
        from auditor.explain.live import grids_of_file

        return grids_of_file(index, Path(image))
    return image_grids(index, image)


def find_similar(index: Index, image: str, row: int, col: int, top: int, others: bool) -> Similar:
    """The cells most similar to a cell of an indexed image, or of an image file of its own."""
    if is_outside(index, image):
        from auditor.explain.live import vector_of_file

        vector = vector_of_file(index, Path(image), row, col)
        return similar_to_vector(index, vector, k=top, path=image, row=row, col=col)
    return similar(index, image, row, col, k=top, other_images_only=others)


def is_outside(index: Index, image: str) -> bool:
    """Whether this names an image file that the index does not hold."""
    try:
        index.image(image)
    except CellError:
        return Path(image).is_file()
    return False


def grid_picture(index: Index, grids: ImageGrids) -> Image.Image:
    """Figure 0: the original with the class of every cell."""
    return draw_grid(crop(index, grids.path), grids, "original")


def variants_picture(index: Index, grids: ImageGrids) -> Image.Image:
    """Figure 2: the image in the variants that were run, side by side."""
    image = crop(index, grids.path)
    if len(grids.variants) == 1:
        return draw_variants([image], grids)
    packed = index.query("SELECT foreground FROM images WHERE path = ?", [grids.path])["foreground"]
    mask, fill, preprocess = unpack_mask(str(packed[0])), index.manifest.fill, index.manifest.preprocess
    occluded = [occlude_crop(image, area, fill, preprocess) for area in (~mask, mask)]
    return draw_variants([image, *occluded], grids)


def class_picture(index: Index, detail: ClassDetail) -> Image.Image:
    """The first images of a class in all variants, one below the other."""
    return stack([variants_picture(index, grids) for grids in detail.images[:DRAWN]])


def similar_picture(index: Index, found: Similar) -> Image.Image:
    """The query cell beside the cells that were found."""
    images = crops(index, [hit.path for hit in found.hits])
    return draw_similar(crop(index, found.path), found, images, index.grid)


def match_picture(index: Index, found: Match) -> Image.Image:
    """Figure 9: lines between the corresponding cells of two images."""
    return draw_match(crop(index, found.a), crop(index, found.b), found, index.grid)


def crop(index: Index, path: str) -> Image.Image:
    """What the backbone saw of an image: of the dataset, or of a file of its own."""
    inside = Path(index.manifest.dataset.root, path)
    return crop_upright(inside if inside.is_file() else Path(path), index.manifest.preprocess.geometry)


def crops(index: Index, paths: Sequence[str]) -> dict[str, Image.Image]:
    """The crops of those images that are still there."""
    found = {}
    for path in dict.fromkeys(paths):
        try:
            found[path] = crop(index, path)
        except DatasetError:
            continue  # the record still says where the cell is; its frame stays empty
    return found
