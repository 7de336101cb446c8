"""The pixels of an image in the variants that its backbone saw."""

from __future__ import annotations

from PIL import Image

from auditor.data.filling import occlude_crop
from auditor.data.shown import unpack_mask
from auditor.explain.crops import crop
from auditor.records import ImageGrids
from auditor.store import Index


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
