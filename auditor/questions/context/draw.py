"""The images of a class, each in the variants that were run (Figure 2)."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.questions.context.record import ClassDetail
from auditor.report.views import Picture
from auditor.store import Index

DRAWN = 3  # images of a class: more make a picture that nobody scrolls through


def draw_class(index: Index, detail: ClassDetail) -> Iterator[Picture]:
    """The first images of the class, one below the other."""
    from auditor.draw.grids import draw_variants, name_image  # the table of classes draws nothing
    from auditor.explain.variants import variants_of

    for grids in detail.images[:DRAWN]:
        caption = f"{grids.path}: the class predicted in every cell, original and occluded (Figure 2)"
        drawn = name_image(draw_variants(variants_of(index, grids), grids), grids.path)
        yield Picture(("context", detail.row.name), drawn, caption, most=1_000_000)


DRAWINGS = {ClassDetail: draw_class}
