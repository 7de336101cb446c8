"""Accuracy by pooling rule, and the images whose prediction changes, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from auditor.questions.pool.record import Effect, PoolChange, Pooling, PoolRow
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, bounded_entry, columns_of, metric_entry
from auditor.report.views import Rows, View

_CHANGES = 20  # images listed; all of them are in --json
_METRICS = metrics_of(PoolRow)


def view_pooling(pooling: Pooling) -> View:
    """The rules, and what they change."""
    changes = (_tabulate_changes(pooling.changes),) if pooling.changes else ()
    return View(
        "Pooling rules",
        (_tabulate_rules(pooling), *changes),
        "What the image would be taken for, had its cells been pooled by another rule (section 6).",
        rows=Rows(PoolRow, pooling.rows),
    )


VIEWS = {Pooling: view_pooling}


def _tabulate_rules(pooling: Pooling) -> Table:
    """Image-level accuracy under every rule, beside the model's own."""
    columns = (
        Column(f"{each.title} (95 %)" if name == "accuracy" else each.title, True, each.definition)
        for name, each in _METRICS.items()
    )
    blank = [Entry("")] * (len(_METRICS) - 1)
    own = (Entry("the model's own"), bounded_entry(pooling.own, pooling.own_interval), *blank)
    note = (
        f"The mean of the cells has the model's own prediction on {pooling.agreement.hits:,} of "
        f"{pooling.agreement.total:,} images. Temperature of lse {pooling.temperature:g}; threshold keeps "
        f"cells whose max softmax exceeds {pooling.tau:g}. Without cells to keep, all are averaged."
    )
    return Table(
        "Image-level accuracy by pooling rule, in percent",
        (Column("Rule", is_number=False), *columns),
        (own, *map(_row, pooling.rows)),
        (note,),
    )


def _row(row: PoolRow) -> tuple[Entry, ...]:
    entries = {name: metric_entry(getattr(row, name), each.unit) for name, each in _METRICS.items()}
    entries["accuracy"] = bounded_entry(row.accuracy, row.interval)
    return Entry(row.rule), *entries.values()


def _tabulate_changes(changes: Sequence[PoolChange]) -> Table:
    """The first images whose prediction changes, those that gain or lose their label first."""
    ordered = sorted(changes, key=lambda change: get_args(Effect).index(change.effect))
    rows = tuple(
        tuple(Entry(text) for text in (change.path, change.rule, change.before, change.after, change.effect))
        for change in ordered[:_CHANGES]
    )
    left = len(changes) - len(rows)
    notes = (f"{left:,} more changes are in --json.",) if left else ()
    return Table("Changed predictions", columns_of("Image|Rule|From|To|Label", ""), rows, notes)
