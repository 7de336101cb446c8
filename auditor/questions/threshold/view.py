"""The curves at every tenth of the threshold, as a table."""

from __future__ import annotations

from auditor.questions.threshold.record import CellScore, ThresholdPoint, Thresholds
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, metric_entry
from auditor.report.text import plural
from auditor.report.views import Rows, View

SCORES: dict[CellScore, str] = {
    "max_softmax": "max softmax",
    "confidence": "1 - H(p) / log K",
    "feature_fg": "feature prototype",
    "logit_fg": "logit prototype",
}
"""The four scores of A.3 as the table and the chart name them."""

_EVERY = 4  # of 41 thresholds: every tenth of the way
_RATES = metrics_of(ThresholdPoint)


def view_thresholds(thresholds: Thresholds) -> View:
    """What confidence costs and buys."""
    return View(
        "Keeping only confident cells",
        (_tabulate(thresholds),),
        "Keeping only the cells that a score is sure of costs localization; what it buys is less background "
        "(Figures 5 and 6).",
        rows=Rows(ThresholdPoint, thresholds.points),
    )


VIEWS = {Thresholds: view_thresholds}


def _tabulate(thresholds: Thresholds) -> Table:
    """A row per threshold, under every score both rates."""
    curves = {score: thresholds.curve(score)[::_EVERY] for score in thresholds.scores}
    columns = (
        Column(f"{SCORES[score]}: {rate.title}", True, rate.definition)
        for score in curves
        for rate in _RATES.values()
    )
    rows = tuple(
        (Entry(f"{points[0].tau:.1f}"), *(entry for point in points for entry in _entries(point)))
        for points in zip(*curves.values(), strict=True)
    )
    titles = " and ".join(rate.title for rate in _RATES.values())
    return Table(
        f"{titles} over tau, in percent, with the counts behind them",
        (Column("tau", is_number=False), *columns),
        rows,
        (
            *([f"E{thresholds.restriction[1:]}."] if thresholds.restriction else []),
            _describe_prototypes(thresholds),
            *thresholds.notes,
        ),
    )


def _entries(point: ThresholdPoint) -> tuple[Entry, ...]:
    return tuple(metric_entry(getattr(point, name), rate.unit) for name, rate in _RATES.items())


def _describe_prototypes(thresholds: Thresholds) -> str:
    return (
        f"A cell counts where its score exceeds tau. Prototypes: {thresholds.prototypes} of "
        f"{thresholds.classes} classes, from correct foreground cells of "
        f"{plural(thresholds.calibration_images, 'image')} ({thresholds.calibration}), none of them among "
        f"the {thresholds.images:,} evaluated. {plural(thresholds.unknown_cells, 'cell')} of a class without "
        "prototype are never kept by one."
    )
