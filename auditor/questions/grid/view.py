"""A prediction grid as letters and as a table of its classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import ascii_lowercase

import numpy as np

from auditor.questions.grid.record import GridCell, PredictionGrid
from auditor.records import ImageGrids
from auditor.report.tables import Entry, Table, columns_of
from auditor.report.text import share, variant_title
from auditor.report.views import Letters, Rows, View


def view_grid(grids: PredictionGrid) -> View:
    """Letters for classes, a map per variant, and what the letters stand for."""
    letters = _letters(grids)
    maps = tuple(_map(grids, variant, letters) for variant in range(len(grids.variants)))
    notes = () if grids.foreground is None else ("Capitals: foreground cells.",)
    table = _tabulate(grids, letters)
    return View(
        f"Prediction grid of {grids.path}", (table,), notes=notes, letters=maps, rows=grid_cells([grids])
    )


VIEWS = {PredictionGrid: view_grid}


def grid_cells(images: Sequence[ImageGrids]) -> Rows:
    """Every cell of some images in every variant."""
    return Rows(GridCell, [cell for grids in images for cell in _cells(grids)])


def _cells(grids: ImageGrids) -> Iterator[GridCell]:
    for (variant, row, col), label in np.ndenumerate(grids.labels):
        yield GridCell(
            path=grids.path,
            variant=grids.variants[variant],
            row=row,
            col=col,
            label=int(label),
            name=grids.name_of(int(label)),
            probability=float(grids.probabilities[variant, row, col]),
            foreground=None if grids.foreground is None else bool(grids.foreground[row, col]),
        )


def _tabulate(grids: ImageGrids, letters: Mapping[int, str]) -> Table:
    """The classes seen anywhere in an image, most cells first: cells per variant, highest probability."""
    columns = columns_of("Class", "|".join((*map(variant_title, grids.variants), "Highest prob. %")))
    rows = tuple(_row(grids, label, letter) for label, letter in letters.items())
    return Table("Cells per class", columns, rows)


def _row(grids: ImageGrids, label: int, letter: str) -> tuple[Entry, ...]:
    cells = grids.labels == label
    return (
        Entry(f"{letter}  {grids.name_of(label)}", "evaluation class" if label == grids.label else ""),
        *(Entry(str(count)) for count in cells.sum(axis=(1, 2))),
        Entry(share(float(grids.probabilities[cells].max()))),
    )


def _letters(grids: ImageGrids) -> dict[int, str]:
    """A letter for each of the 26 most frequent classes, in that order; the rest share a dot."""
    return {label: ascii_lowercase[i] if i < 26 else "." for i, label in enumerate(grids.rank_classes())}


def _map(grids: ImageGrids, variant: int, letters: Mapping[int, str]) -> Letters:
    labels = grids.labels[variant]
    inside = np.zeros(labels.shape, np.bool_) if grids.foreground is None else grids.foreground
    cased = ((letters[label], letters[label].upper()) for label in labels.ravel().tolist())
    shown = [
        upper if is_inside else lower for (lower, upper), is_inside in zip(cased, inside.flat, strict=True)
    ]
    rows = tuple("".join(row) for row in np.reshape(shown, labels.shape).tolist())
    marks = tuple(tuple(row) for row in (labels == grids.label).tolist())
    return Letters(variant_title(grids.variants[variant]), rows, marks)
