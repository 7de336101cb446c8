"""The box, and the images most like it with the cells that answer it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auditor.draw.cards import Card, Query, draw_sheet
from auditor.explain.crops import crop, crops
from auditor.grids import parse_cell
from auditor.questions.find.record import Find, Found
from auditor.questions.find.view import write_box
from auditor.report.text import plural
from auditor.report.views import Picture
from auditor.store import Index


def picture_find(index: Index, answer: Find) -> Iterator[Picture]:
    """The query's image and those found, best first."""
    query = Query(crop(index, answer.path), answer.seen, plural(len(answer.cells), "cell"), answer.path)
    cards = [_card(answer, found) for found in answer.found]
    images = crops(index, [found.path for found in answer.found])
    drawn = draw_sheet(query, cards, images, index.grid)
    words = ("find", Path(answer.path).stem, *write_box(answer.box).split(","))
    yield Picture(words, drawn, f"The images most like {answer.path}:{write_box(answer.box)}")


DRAWINGS = {Find: picture_find}


def _card(answer: Find, found: Found) -> Card:
    """Its cells framed; enlarged the one that answers the cell of which the box covers most."""
    cells = [parse_cell(cell)[1:] for cell in found.cells]
    first = max(range(len(cells)), key=lambda place: answer.shares[place])
    return Card(
        path=found.path,
        cells=(cells[first], *cells[:first], *cells[first + 1 :]),
        score=found.score,
        label=found.label or "",
        name=found.path,
    )
