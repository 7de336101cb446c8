"""Thresholds as curves (Figures 5 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from PIL import Image

from auditor.draw.charts import as_written, draw_curve, frame_curves, new_figure, picture
from auditor.questions.threshold.record import ThresholdPoint, Thresholds
from auditor.questions.threshold.view import SCORES
from auditor.records import Rate
from auditor.report.metric import metrics_of
from auditor.report.views import Picture
from auditor.store import Index

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 1430, 484
_TAU = "threshold τ"
_LOC, _BG_ACT = (f"{rate.title} (%)" for rate in metrics_of(ThresholdPoint).values())

Coordinate = Callable[[ThresholdPoint], float]


def picture_thresholds(index: Index, thresholds: Thresholds) -> Iterator[Picture]:
    """The curves of every score."""
    caption = "Loc. and BG Act. over the threshold, and Loc. against BG Act., for every score (Figures 5, 6)"
    yield Picture(("threshold",), draw_thresholds(thresholds), caption)


DRAWINGS = {Thresholds: picture_thresholds}


def draw_thresholds(thresholds: Thresholds) -> Image.Image:
    """Figures 5 and 6: Loc. and BG Act. over the threshold, and one against the other."""
    figure = new_figure(_WIDTH, _HEIGHT, is_laid_out=True)
    over_loc, over_bg_act, against = figure.subplots(1, 3)
    _plot(over_loc, thresholds, _tau, _loc, (_TAU, _LOC))
    _plot(over_bg_act, thresholds, _tau, _bg_act, (_TAU, _BG_ACT))
    _plot(against, thresholds, _bg_act, _loc, (_BG_ACT, _LOC))
    against.plot(*_start(thresholds), "ko", markersize=5, label="all cells kept")
    handles, names = against.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    title = f"{as_written(thresholds.index)}: keeping only cells whose score exceeds τ"
    figure.suptitle("\n".join(filter(None, (title, thresholds.restriction))), fontsize=12)
    return picture(figure)


def _plot(
    axes: Axes, thresholds: Thresholds, across: Coordinate, up: Coordinate, names: tuple[str, str]
) -> None:
    for number, (score, name) in enumerate(SCORES.items()):
        curve = thresholds.curve(score)
        if curve:
            draw_curve(axes, [across(point) for point in curve], [up(point) for point in curve], number, name)
    frame_curves(axes, *names)
    axes.set_xlim(0, 1 if across is _tau else None)


def _start(thresholds: Thresholds) -> tuple[list[float], list[float]]:
    """Where the confidences' curves begin: at 0 they keep every cell."""
    first = thresholds.points[0]
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
