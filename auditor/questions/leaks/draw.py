"""Images of two splits that share something, side by side."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.draw.cells import Row, draw_rows
from auditor.explain.crops import crops
from auditor.grids import parse_cell
from auditor.questions.leaks.record import Leaks, SharedPair
from auditor.report.text import plural
from auditor.report.views import Picture
from auditor.store import Index

DRAWN = 6  # pairs
SHOWN = 3  # corresponding cells of each


def picture_leaks(index: Index, answer: Leaks) -> Iterator[Picture]:
    """A row for each of the first places, one image before the other, cell by cell."""
    pairs = [pair for pair in answer.pairs if pair.cells_a][:DRAWN]
    if pairs:
        rows = [_row(number, pair) for number, pair in enumerate(pairs, start=1)]
        images = crops(index, [parse_cell(cell)[0] for row in rows for cell, _ in row.cells])
        caption = "Images of different splits in the same place, by the cells that correspond"
        yield Picture(("leaks",), lambda: draw_rows(rows, images, index.grid), caption)


DRAWINGS = {Leaks: picture_leaks}


def _row(number: int, pair: SharedPair) -> Row:
    words = (f"{pair.split_a} and {pair.split_b}", plural(len(pair.cells_a), "corresponding cell"))
    joined = zip(pair.cells_a[:SHOWN], pair.cells_b[:SHOWN], strict=True)
    cells = (
        (cell, split) for two in joined for cell, split in zip(two, (pair.split_a, pair.split_b), strict=True)
    )
    return Row(words, tuple(cells), number)
