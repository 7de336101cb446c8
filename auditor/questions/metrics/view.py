"""Rates of one or more indexes in a table, and what their readouts are worth (Tables 1 to 3, 6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditor.questions.metrics.record import MatchedMetrics, Metrics, PresentMetrics
from auditor.report.metric import Metric, metrics_of
from auditor.report.tables import Column, Entry, Table, chance_entry, columns_of, metric_entry
from auditor.report.text import NO_DATA, certify, plural
from auditor.report.views import View


def view_metrics(rows: Metrics | tuple[Metrics, ...]) -> View:
    """Every metric that some index has data for; side by side with the readouts where there are several."""
    rows = rows if isinstance(rows, tuple) else (rows,)
    table = tabulate_metrics(rows)
    if len(rows) == 1:
        return View("Metrics", (table,), notes=(f"{rows[0].index}: {certify(rows[0].certificate)}",))
    return View("Metrics", (table, tabulate_readouts(rows)))


VIEWS = {Metrics: view_metrics}


def tabulate_metrics(rows: Sequence[Metrics]) -> Table:
    """One row per index, in percent; a column that no index has data for is left out."""
    entries = [dict(_entries(row)) for row in rows]
    kept = [metric for metric in _METRICS if any(row[metric.title].text != NO_DATA for row in entries)]
    return Table(
        "Metrics, in percent, with the counts behind them",
        (Column("Index", is_number=False), *(Column(each.title, True, each.definition) for each in kept)),
        tuple(
            (Entry(row.index, row.backbone), *(shown[metric.title] for metric in kept))
            for row, shown in zip(rows, entries, strict=True)
        ),
        tuple(_notes(rows)),
        is_turnable=True,
    )


def _shown(kind: type) -> dict[str, Metric]:
    """What has a column: a null is small print of its rate."""
    return {name: metric for name, metric in metrics_of(kind).items() if not name.endswith("_chance")}


_PARTS = {"matched": MatchedMetrics, "present": PresentMetrics}
"""The rates that stand behind the others, by the field that holds them."""
_METRICS = tuple(metric for kind in (Metrics, *_PARTS.values()) for metric in _shown(kind).values())


def _entries(row: Metrics) -> Iterator[tuple[str, Entry]]:
    """Every metric's entry by its title; what chance would give is small print of the rate."""
    for record, kind in ((row, Metrics), *((getattr(row, part), kind) for part, kind in _PARTS.items())):
        for name, metric in _shown(kind).items():
            entry = metric_entry(getattr(record, name, None), metric.unit)
            yield metric.title, chance_entry(entry, getattr(record, f"{name}_chance", None))


def tabulate_readouts(rows: Sequence[Metrics]) -> Table:
    """Table 6: what the head of each index is, and how far its cells are from adding up to the image."""
    columns = (
        *columns_of("Index|Aggregation|Head|Verdict", "Pointwise error"),
        *columns_of("Exact readout", "Exact error"),
    )
    return Table("Readouts", columns, tuple(_readout(row) for row in rows))


def _readout(row: Metrics) -> tuple[Entry, ...]:
    certificate = row.certificate
    if certificate is None:
        return (Entry(row.index), *[Entry(NO_DATA)] * 6)
    errors = (certificate.pointwise_error, certificate.exact_error)
    pointwise, exact = (Entry(NO_DATA if error is None else f"{error:.1e}") for error in errors)
    words = [Entry(text) for text in (certificate.aggregation, certificate.head, certificate.verdict)]
    return (Entry(row.index), *words, pointwise, Entry(certificate.exact_readout or NO_DATA), exact)


def _notes(rows: Sequence[Metrics]) -> Iterator[str]:
    """Beside the numbers: what chance is, what became of the images, what cells are worth, what is absent."""
    if any(entry is not None for row in rows for entry in (row.det_top1_chance, row.fg_det_chance)):
        yield (
            "by chance: the rate of as many cells that know nothing, each showing the class as often as "
            "cells of images without it do; it grows with the grid."
        )
    if rows[0].matched is not None:
        height, width = rows[0].matched.grid
        yield (
            f"(one grid): the cells of every index pooled to {height} x {width}, the coarsest grid here; "
            "only these any-cell rates can be compared from index to index."
        )
    for row in rows:
        if row.census is not None:
            yield f"{row.index}: {row.census.sentence}"
        if row.evidence is not None:
            yield f"{row.index}: {row.evidence.sentence}"
        if row.absent is not None:
            yield f"Foreground and background are not counted: {row.absent}."
        if row.present is not None:
            classes = plural(row.present.classes, "class", "classes")
            yield f"{row.index}: (present) is among the {classes} that its images are labelled with."
