"""Probes, thresholds and pooling rules as tables of text, for the console and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from auditor.records import CellScore, PoolChange, Pooling, PoolRow, Probe, Rate, Thresholds
from auditor.report.tables import Entry, Table, columns_of, tabulate_metrics
from auditor.report.text import certify, counts, interval, percent, plural

SCORES: dict[CellScore, str] = {
    "max_softmax": "max softmax",
    "confidence": "1 - H(p) / log K",
    "feature_fg": "feature prototype",
    "logit_fg": "logit prototype",
}
"""The four scores of A.3 as tables and charts name them."""

_EVERY = 4  # of 41 thresholds: every tenth of the way
_CHANGES = 20  # images listed; all of them are in --json


def tabulate_probe(probe: Probe) -> Table:
    """The metrics with the probe beside those of the head that the index was built with."""
    own = replace(probe.own, index=f"{probe.index}, own head")
    ours = replace(probe.metrics, index=f"{probe.index}, {probe.kind} probe")
    how = f"out of {probe.folds} folds" if probe.folds > 1 else f"on {probe.trained_on}"
    notes = (
        f"Trained {how}: {plural(probe.trained_images, 'image')}, {plural(probe.epochs, 'epoch')}, "
        f"seed {probe.seed}. The head is {probe.file}.",
        f"Own head: {certify(probe.own.certificate)}",
        f"Probe: {certify(probe.metrics.certificate)}",
        *probe.notes,
    )
    return replace(tabulate_metrics((own, ours)), notes=notes)


def tabulate_thresholds(found: Thresholds) -> Table:
    """Loc. and BG Act. under every score at every tenth of the threshold."""
    curves = {score: found.curve(score)[::_EVERY] for score in found.scores}
    names = "|".join(f"{SCORES[score]}: {rate}" for score in curves for rate in ("Loc.", "BG Act."))
    points = zip(*curves.values(), strict=True)
    rows = tuple(
        (Entry(f"{row[0].tau:.1f}"), *(_rate(rate) for point in row for rate in (point.loc, point.bg_act)))
        for row in points
    )
    notes = (
        f"A cell counts where its score exceeds tau. Prototypes: {found.prototypes} of {found.classes} "
        f"classes, from correct foreground cells of {plural(found.calibration_images, 'image')} "
        f"({found.calibration}), none of them among the {found.images:,} evaluated. "
        f"{plural(found.unknown_cells, 'cell')} of a class without prototype are never kept by one.",
        *found.notes,
    )
    return Table(
        "Loc. and BG Act. over tau, in percent, with the counts behind them",
        columns_of("tau", names),
        rows,
        notes,
    )


def tabulate_pooling(found: Pooling) -> Table:
    """Image-level accuracy under every rule, beside the model's own."""
    own = (Entry("the model's own"), _bounded(found.own, found.own_interval), *[Entry("")] * 4)
    notes = (
        f"The mean of the cells has the model's own prediction on {found.agreement.hits:,} of "
        f"{found.agreement.total:,} images. Temperature of lse {found.temperature:g}; threshold keeps cells "
        f"whose max softmax exceeds {found.tau:g}. Without cells to keep, all are averaged.",
    )
    return Table(
        "Image-level accuracy by pooling rule, in percent",
        columns_of("Rule", "Top-1 (95 %)|Changed|Gained|Lost|Without cells"),
        (own, *(_pool_row(row) for row in found.rows)),
        notes,
    )


def tabulate_changes(changes: Sequence[PoolChange]) -> Table:
    """The first images whose prediction changes, those that gain or lose their label first."""
    ordered = sorted(changes, key=lambda change: ("gained", "lost", "neither").index(change.effect))
    rows = tuple(
        tuple(Entry(text) for text in (change.path, change.rule, change.before, change.after, change.effect))
        for change in ordered[:_CHANGES]
    )
    left = len(changes) - len(rows)
    notes = (f"{left:,} more changes are in --json.",) if left else ()
    return Table("Changed predictions", columns_of("Image|Rule|From|To|Label", ""), rows, notes)


def _pool_row(row: PoolRow) -> tuple[Entry, ...]:
    numbers = (row.changed, row.gained, row.lost, row.fallbacks)
    return Entry(row.rule), _bounded(row.accuracy, row.interval), *(Entry(f"{n:,}") for n in numbers)


def _bounded(rate: Rate, bounds: tuple[float, float] | None) -> Entry:
    return Entry(f"{percent(rate)} ({interval(bounds)})" if bounds else percent(rate), counts(rate))


def _rate(rate: Rate) -> Entry:
    return Entry(percent(rate), counts(rate))
