"""Marks by their exemplars."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.draw.cells import Row, draw_rows
from auditor.explain.crops import crops
from auditor.grids import parse_cell
from auditor.questions.artifacts.record import Artifacts, Mark
from auditor.report.text import counts, plural, times
from auditor.report.views import Picture
from auditor.store import Index

DRAWN = 5  # marks
SHOWN = 6  # exemplars of each


def picture_artifacts(index: Index, answer: Artifacts) -> Iterator[Picture]:
    """A row of exemplars for each of the first marks."""
    rows = [_row(number, mark) for number, mark in enumerate(answer.marks[:DRAWN], start=1)]
    if rows:
        images = crops(index, [parse_cell(cell)[0] for row in rows for cell, _ in row.cells])
        caption = "Marks that follow a label, a split or a source, by the cells nearest to their medoid"
        yield Picture(("artifacts",), lambda: draw_rows(rows, images, index.grid), caption)


DRAWINGS = {Artifacts: picture_artifacts}


def _row(number: int, mark: Mark) -> Row:
    tie = mark.ties[0]
    words = (
        str(tie),
        f"{counts(tie.images)} images, elsewhere {counts(tie.elsewhere)}",
        f"{plural(mark.cells, 'cell')}, place {times(mark.position)}",
    )
    return Row(words, tuple((cell, "") for cell in mark.exemplars[:SHOWN]), number)
