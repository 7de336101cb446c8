"""The most confused classes against one another, as a matrix."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from auditor.draw.charts import as_written, new_figure, picture
from auditor.questions.confusion.record import Confusion
from auditor.report.views import Picture
from auditor.store import Index

DRAWN = 16  # classes: more make a matrix that nobody reads; the table has every pair
_CELL, _NAMES = 46, 250  # pixels of one pair, and room for the names


def picture_confusion(index: Index, confusion: Confusion) -> Iterator[Picture]:
    """The matrix, where any image is confused."""
    if confusion.pairs:
        caption = "Images of the class in the row that are taken for the class in the column, in percent"
        yield Picture(("confusion",), draw_matrix(confusion), caption)


DRAWINGS = {Confusion: picture_confusion}


def draw_matrix(confusion: Confusion) -> Image.Image:
    """Rows and columns are the classes of most confused images; the diagonal is each class's accuracy."""
    names, shares = _shares(confusion)
    side = _NAMES + _CELL * len(names)
    figure = new_figure(side + 90, side, is_laid_out=True)
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100)
    labels = [as_written(name, 20, _NAMES * 0.8) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), labels)
    axes.set_xlabel("taken for")
    axes.set_ylabel("labelled")
    for (row, col), share in np.ndenumerate(shares):
        if share > 0:
            colour = "black" if share > 60 else "white"
            axes.text(
                col, row, f"{share:.0f}" if share >= 0.5 else "<1", ha="center", va="center", color=colour
            )
    figure.colorbar(shown, label="% of the row's images", shrink=0.7)
    return picture(figure)


def _shares(confusion: Confusion) -> tuple[list[str], np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    """Names (n,) and percentages (n, n) of the classes of the pairs that share most images, both of each."""
    names = {row.label: row.name for row in confusion.classes}
    names |= {pair.predicted: pair.predicted_name for pair in confusion.pairs}
    largest = sorted(confusion.pairs, key=lambda pair: -pair.images.hits)
    involved = dict.fromkeys(label for pair in largest for label in (pair.label, pair.predicted))
    chosen = sorted([*involved][:DRAWN])
    place = {label: number for number, label in enumerate(chosen)}
    shares = np.zeros((len(chosen), len(chosen)))
    for pair in confusion.pairs:
        if pair.label in place and pair.predicted in place:
            shares[place[pair.label], place[pair.predicted]] = 100 * (pair.images.value or 0.0)
    for row in confusion.classes:
        if row.label in place:
            shares[place[row.label], place[row.label]] = 100 * (row.top1.value or 0.0)
    return [names[label] for label in chosen], shares
