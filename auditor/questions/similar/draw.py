"""The cells most similar to one cell, each in its image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image

from auditor.draw.cards import Card, Query, draw_sheet
from auditor.draw.cells import Grid
from auditor.explain.crops import crop, crops
from auditor.grids import cell_box
from auditor.questions.similar.record import Similar
from auditor.report.views import Picture
from auditor.store import Index


def picture_similar(index: Index, similar: Similar) -> Iterator[Picture]:
    """The query's image and those of the hits, best first."""
    images = crops(index, [hit.path for hit in similar.hits])
    drawn = draw_similar(crop(index, similar.path), similar, images, index.grid)
    cell = f"{similar.path}:{similar.row},{similar.col}"
    words = ("similar", Path(similar.path).stem, str(similar.row), str(similar.col))
    where = "" if similar.same else " in other images"
    yield Picture(words, drawn, f"The cells most similar to {cell}{where}")


DRAWINGS = {Similar: picture_similar}


def draw_similar(
    query: Image.Image, similar: Similar, images: Mapping[str, Image.Image], grid: Grid
) -> Image.Image:
    """The query's crop with its cell boxed, and the hits' crops with theirs, best first.

    `images` are the crops by path; a hit whose image is not among them gets an empty frame.
    """
    row, col = similar.row, similar.col
    asked = Query(query, cell_box(row, col, grid, query.width), f"cell {row},{col}", similar.path)
    cards = [
        Card(
            path=hit.path,
            cells=((hit.row, hit.col),),
            score=hit.cosine,
            label=hit.predicted or hit.label or "",
            name=f"{hit.path}:{hit.row},{hit.col}",
        )
        for hit in similar.hits
    ]
    return draw_sheet(asked, cards, images, grid)
