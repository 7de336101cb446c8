"""Contexts by their exemplars."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.draw.cells import Row, draw_rows
from auditor.explain.crops import crops
from auditor.grids import parse_cell
from auditor.questions.shortcuts.record import Context, Shortcuts, shown
from auditor.report.text import counts, share
from auditor.report.views import Picture
from auditor.store import Index

DRAWN = 8  # contexts
SHOWN = 6  # exemplars of each


def picture_shortcuts(index: Index, answer: Shortcuts) -> Iterator[Picture]:
    """A row of exemplars for each of the first contexts."""
    rows = [_row(number, context) for number, context in enumerate(shown(answer)[:DRAWN], start=1)]
    if rows:
        images = crops(index, [parse_cell(cell)[0] for row in rows for cell, _ in row.cells])
        caption = "Backgrounds that fire a class, by the cells nearest to their medoid"
        yield Picture(("shortcuts",), lambda: draw_rows(rows, images, index.grid), caption)


DRAWINGS = {Shortcuts: picture_shortcuts}


def _row(number: int, context: Context) -> Row:
    logit = () if context.logit_share is None else (f"{share(context.logit_share)} % of its logit",)
    words = (
        context.name,
        f"{counts(context.images)} images, others {counts(context.elsewhere)}",
        *logit,
    )
    return Row(words, tuple((cell, "") for cell in context.exemplars[:SHOWN]), number)
