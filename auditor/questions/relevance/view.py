"""What was explained, and how much of the score came back, as a table of facts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from auditor.questions.relevance.record import LIMIT, Box, Relevance, RelevancePixel
from auditor.report.tables import Entry, Table, columns_of
from auditor.report.text import share
from auditor.report.views import Rows, View

PATENT = "LRP is patented for commercial use, its authors say."


def view_relevance(relevance: Relevance) -> View:
    """The facts of the map; files hold its pixels."""
    caption = f"Relevance for cell {relevance.row},{relevance.col} of {relevance.path}"
    rows = tuple((Entry(name), Entry(value)) for name, value in _facts(relevance))
    notes = (f"{relevance.method}.", *(() if relevance.is_reliable else (unreliable(relevance),)), PATENT)
    table = Table(caption, columns_of("Fact|Value", ""), rows, notes)
    return View(caption, (table,), rows=Rows(RelevancePixel, list(_pixels(relevance))))


def unreliable(relevance: Relevance) -> str:
    """Why a map that is not reliable is none."""
    error = relevance.conservation_error
    lost = "the score is 0" if error is None else f"{share(error)} % of the score is missing or too much"
    return f"Unreliable: {lost}, and above {share(LIMIT)} % a map may be of something else than this score."


VIEWS = {Relevance: view_relevance}


def _facts(relevance: Relevance) -> Iterator[tuple[str, str]]:
    left, top, right, bottom = relevance.field
    error, whole = relevance.conservation_error, relevance.pixels.size
    cell, field = (f"{share(_area(box) / whole)} % of the crop" for box in (relevance.box, relevance.field))
    yield "class", relevance.name
    yield "score of the cell", f"{relevance.score:.4f}"
    yield "sum of the relevance", f"{relevance.total:.4f}"
    yield "conservation error", "none: the score is 0" if error is None else f"{share(error)} %"
    yield "reliable", "yes" if relevance.is_reliable else "no"
    yield "inside the cell", f"{share(relevance.inside)} % of all that is relevant, on {cell}"
    yield "99 % of it", f"x {left} to {right}, y {top} to {bottom}: {field}"


def _area(box: Box) -> int:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)


def _pixels(relevance: Relevance) -> Iterator[RelevancePixel]:
    for (y, x), value in np.ndenumerate(relevance.pixels):
        yield RelevancePixel(relevance.path, relevance.label, relevance.name, y, x, float(value))
