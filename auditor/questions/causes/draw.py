"""Wrong images by their cause: where each prediction is most certain."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.draw.cells import Row, draw_rows, first_name
from auditor.explain.crops import crops
from auditor.grids import parse_cell
from auditor.questions.causes.record import Causes, CauseShare
from auditor.report.text import percent, plural
from auditor.report.views import Picture
from auditor.store import Index

SHOWN = 5  # images of a cause, each of another class as far as there are


def picture_causes(index: Index, causes: Causes) -> Iterator[Picture]:
    """A row of images for each cause that some image has."""
    rows = [row for each in causes.causes if (row := _row(causes, each)).cells]
    if not rows:
        return
    images = crops(index, [parse_cell(cell)[0] for row in rows for cell, _ in row.cells])
    caption = "Wrong images by their cause, and the cell in which the prediction is most certain"
    yield Picture(("causes",), lambda: draw_rows(rows, images, index.grid), caption)


DRAWINGS = {Causes: picture_causes}


def _row(causes: Causes, share: CauseShare) -> Row:
    images = [each for each in causes.images if each.cause == share.cause and each.cell is not None]
    firsts = {each.label: each for each in reversed(images)}
    chosen = sorted(images, key=lambda each: firsts[each.label] is not each)[:SHOWN]
    cells = tuple(
        (each.cell or "", f"{first_name(each.name)} → {first_name(each.predicted_name)}") for each in chosen
    )
    words = (share.title, f"{plural(share.images.hits, 'wrong image')}, {percent(share.images)} %")
    return Row(words, cells)
