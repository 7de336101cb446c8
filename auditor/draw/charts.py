"""Curves as pictures, drawn by matplotlib without a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from auditor.records import Rate, ThresholdPoint, Thresholds
from auditor.report.experiment_tables import SCORES
from auditor.report.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart by colour-blind readers too
_STYLES = ("-", "--", "-.", ":")  # and in grey
_SIZE, _DPI = (13.0, 4.4), 110

Coordinate = Callable[[ThresholdPoint], float]


def draw_thresholds(found: Thresholds) -> Image.Image:
    """Figures 5 and 6: Loc. and BG Act. over the threshold, and one against the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    over_loc, over_bg_act, against = figure.subplots(1, 3)
    _plot(over_loc, found, _tau, _loc, ("threshold τ", "Loc. (%)"))
    _plot(over_bg_act, found, _tau, _bg_act, ("threshold τ", "BG Act. (%)"))
    _plot(against, found, _bg_act, _loc, ("BG Act. (%)", "Loc. (%)"))
    against.plot(*_start(found), "ko", markersize=5, label="all cells kept")
    handles, names = against.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    title = f"{visible(found.index)}: keeping only cells whose score exceeds τ"
    figure.suptitle(title, parse_math=False, fontsize=12)  # a $ in a name is no formula
    return _picture(figure)


def _plot(axes: Axes, found: Thresholds, across: Coordinate, up: Coordinate, names: tuple[str, str]) -> None:
    for score, colour, style in zip(SCORES, _COLOURS, _STYLES, strict=True):
        points = found.curve(score)
        if points:
            x, y = [across(point) for point in points], [up(point) for point in points]
            axes.plot(x, y, style, color=colour, label=SCORES[score], linewidth=1.8)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.grid(alpha=0.25)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, 1 if across is _tau else None)
    axes.spines[["top", "right"]].set_visible(False)


def _start(found: Thresholds) -> tuple[list[float], list[float]]:
    """Where the confidences' curves begin: at 0 they keep every cell."""
    first = found.points[0]
    return [_bg_act(first)], [_loc(first)]


def _tau(point: ThresholdPoint) -> float:
    return point.tau


def _loc(point: ThresholdPoint) -> float:
    return _percent(point.loc)


def _bg_act(point: ThresholdPoint) -> float:
    return _percent(point.bg_act)


def _percent(rate: Rate) -> float:
    """In percent; not a number, which is left out of a curve, where nothing was counted."""
    return float("nan") if rate.value is None else 100 * rate.value


def _picture(figure: Figure) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return Image.fromarray(pixels).convert("RGB")
