"""Where a concept is found."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from auditor.draw.cells import Grid, Images, Row, draw_rows, first_name
from auditor.explain.crops import crops
from auditor.questions.concept.record import Concept
from auditor.report.text import percent, plural
from auditor.report.views import Picture
from auditor.store import Index

_ACROSS = 8  # cells in a row


def picture_concept(index: Index, concept: Concept) -> Iterator[Picture]:
    """Rows of cells: the references, then the hits, best first."""
    # a reference is named as a cell, a box or a crop's file; only an indexed image has a crop to show
    paths = [hit.path for hit in concept.hits] + [name.rpartition(":")[0] for name in concept.references]
    drawn = draw_concept(concept, crops(index, [path for path in paths if path]), index.grid)
    caption = f"The references of {concept.name}, and the cells most like them"
    yield Picture(("concept", concept.name), drawn, caption)


DRAWINGS = {Concept: picture_concept}


def draw_concept(concept: Concept, images: Images, grid: Grid) -> Image.Image:
    """The reference cells that have a place in the index, then the cells found, best first."""
    references = tuple((name, "") for name in concept.references if _is_cell(name))[:_ACROSS]
    hits = [
        (f"{hit.path}:{hit.row},{hit.col}", f"{hit.cosine:.3f}  {first_name(hit.label or '')}")
        for hit in concept.hits
    ]
    spread = f"found in {percent(concept.images)} % of the images"
    spread = spread if concept.is_told_apart else "too unlike to tell apart"
    words = (concept.name, plural(len(concept.references), "reference"), spread)
    rows = [Row(words, references)]
    for start in range(0, len(hits), _ACROSS):
        in_row = tuple(hits[start : start + _ACROSS])
        rows.append(Row((f"{start + 1} to {start + len(in_row)}",), in_row))
    return draw_rows(rows, images, grid)


def _is_cell(name: str) -> bool:
    where = name.rpartition(":")[2]
    return where.replace(",", "").isdecimal()
