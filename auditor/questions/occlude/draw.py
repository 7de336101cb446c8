"""An image beside its occluded self, with the class of every cell; below it the same inpainted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from auditor.draw.grids import draw_variants
from auditor.questions.occlude.record import ImageContext
from auditor.report.views import Picture
from auditor.store import Index

_KINDS = ("as it is", "inpainted")


def draw_pairs(index: Index, context: ImageContext) -> Iterator[Picture]:
    """Each image beside its occluded self: four in a row would be too small to read."""
    grids = context.grids
    for first, kind in zip(range(0, len(context.inputs), 2), _KINDS, strict=False):
        both = slice(first, first + 2)
        pair = replace(
            grids,
            variants=grids.variants[both],
            labels=grids.labels[both],
            probabilities=grids.probabilities[both],
        )
        drawn = draw_variants([Image.fromarray(pixels) for pixels in context.inputs[both]], pair)
        caption = (
            f"{grids.path} {kind}, and the same occluded: the class predicted in every cell (Figures 2, 12)"
        )
        yield Picture(("occlude", Path(grids.path).stem), drawn, caption)


DRAWINGS = {ImageContext: draw_pairs}
