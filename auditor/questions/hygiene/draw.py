"""Where the class stands in its cells, the lengths of all cells, and where cells know their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from auditor.draw.charts import as_written, new_figure, picture
from auditor.questions.hygiene.record import Hygiene
from auditor.report.metric import metrics_of
from auditor.report.views import Picture
from auditor.store import Index

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 1430, 420
_BAR, _LINE = "#0072b2", "#d55e00"
_CAPTION = (
    "The class's median place in its foreground cells, image by image, against the middle place; the lengths "
    "of all cells, and the limit beyond which one is far longer than the others; for every place of the "
    "grid, how often the nearest cell of another image stands there too"
)


def picture_hygiene(index: Index, answer: Hygiene) -> Iterator[Picture]:
    """What was measured, side by side."""
    if answer.lengths:
        yield Picture(("hygiene",), draw_hygiene(answer), _CAPTION)


DRAWINGS = {Hygiene: picture_hygiene}


def draw_hygiene(answer: Hygiene) -> Image.Image:
    """Ranks and lengths as histograms, places as a map of the grid."""
    figure = new_figure(_WIDTH, _HEIGHT, is_laid_out=True)
    plots = [_plot_ranks] * bool(answer.ranks) + [_plot_lengths] + [_plot_places] * bool(answer.asked_at)
    for plot, axes in zip(plots, figure.subplots(1, len(plots), squeeze=False)[0], strict=True):
        plot(axes, answer)
    figure.suptitle(f"{as_written(answer.index)}: {answer.brief}", fontsize=12)
    return picture(figure)


def _plot_ranks(axes: Axes, answer: Hygiene) -> None:
    classes = round(2 * (answer.rank_by_chance or 0)) + 1
    axes.hist(1 + np.array(answer.ranks), bins=min(classes, 40), range=(0.5, classes + 0.5), color=_BAR)
    _mark(axes, 1 + (answer.rank_by_chance or 0), "the middle")
    _name(axes, f"median place of the class, of {classes:,}", "images")


def _plot_lengths(axes: Axes, answer: Hygiene) -> None:
    edges = np.array(answer.length_edges)
    axes.bar(edges[:-1], answer.lengths, np.diff(edges), align="edge", color=_BAR)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _mark(axes, answer.norm_limit or 0, "limit")
    _name(axes, "length of a cell's feature", "cells")


def _plot_places(axes: Axes, answer: Hygiene) -> None:
    asked, same = (np.array(part, dtype=np.float64) for part in (answer.asked_at, answer.same_at))
    percent = np.where(asked > 0, 100 * same / np.maximum(asked, 1), np.nan)
    shown = axes.imshow(percent, cmap="cividis", vmin=0, vmax=100)
    axes.set_title(
        f"{metrics_of(Hygiene)['same_place'].title}: {100 * (answer.same_place or 0):.1f} %", fontsize=11
    )
    axes.set_xlabel("column")
    axes.set_ylabel("row")
    axes.figure.colorbar(shown, ax=axes, label="% of the cells asked there", shrink=0.8)


def _mark(axes: Axes, place: float, name: str) -> None:
    axes.axvline(place, color=_LINE, linestyle="--", label=name)
    axes.legend(frameon=False)


def _name(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
