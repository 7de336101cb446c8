"""Class maps as a table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from auditor.questions.cam.record import ClassMap, ClassMaps, MapCell
from auditor.report.tables import Entry, Table, columns_of
from auditor.report.views import Rows, View


def view_maps(maps: ClassMaps) -> View:
    """A row for every class."""
    columns = columns_of("Class", "Image score|Mean of cells|Lowest|Highest|At")
    how = "their mean is the image's score" if maps.is_exact else "they do not add up to the image's score"
    note = f"Cells as the {maps.readout} readout gives them: {how}."
    heading = f"Class maps of {maps.path}"
    table = Table(heading, columns, tuple(map(_row, maps.maps)), (note,))
    return View(heading, (table,), rows=Rows(MapCell, list(_cells(maps))))


VIEWS = {ClassMaps: view_maps}


def _row(each: ClassMap) -> tuple[Entry, ...]:
    row, col = np.unravel_index(each.cells.argmax(), each.cells.shape)
    numbers = (each.score, each.mean, each.cells.min(), each.cells.max())
    return (Entry(each.name), *(Entry(f"{number:.3f}") for number in numbers), Entry(f"{row},{col}"))


def _cells(maps: ClassMaps) -> Iterator[MapCell]:
    """Every cell of every map."""
    for each in maps.maps:
        for (row, col), score in np.ndenumerate(each.cells):
            yield MapCell(maps.path, each.label, each.name, each.score, row, col, float(score))
