"""Indexes, rates and the catalog as tables of text, once for the console and the page.

An entry's `detail` is the small print that belongs to it: the counts behind a rate, the place of a cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from auditor.records import (
    BackboneRow,
    ClassContext,
    ContextTable,
    IndexSummary,
    Metrics,
    PresentMetrics,
    Rate,
)
from auditor.report.text import NO_DATA, chance, counts, interval, percent, plural, points, share, size


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in one row under one column."""

    text: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, and whether it holds numbers (aligned right, never broken)."""

    name: str
    is_number: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of entries under columns; the first column names the row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()


def turn(table: Table) -> Table:
    """Columns as rows: for a few rows of many numbers."""
    names = (Column(""), *(Column(row[0].text) for row in table.rows))
    rows = tuple(
        (Entry(column.name), *(row[index] for row in table.rows))
        for index, column in enumerate(table.columns)
        if index
    )
    return replace(table, columns=(replace(names[0], is_number=False), *names[1:]), rows=rows)


def unstack(table: Table) -> Table:
    """The small print in columns of its own, so that every row takes one line."""
    first, *others = table.columns
    columns = (first, *(each for column in others for each in (column, Column("of"))))
    rows = tuple(
        (row[0], *(each for entry in row[1:] for each in (Entry(entry.text), Entry(entry.detail))))
        for row in table.rows
    )
    return replace(table, columns=columns, rows=rows)


def columns_of(words: str, numbers: str) -> tuple[Column, ...]:
    """Columns of words, then of numbers, named in strings divided by bars."""
    named = [Column(name, is_number=False) for name in words.split("|") if name]
    return (*named, *(Column(name) for name in numbers.split("|") if name))


def _rate(rate: Rate) -> Entry:
    return Entry(percent(rate), counts(rate))


# ----------------------------------------------------------------------------- the catalog and the indexes


def tabulate_backbones(rows: Sequence[BackboneRow]) -> Table:
    """`audit models`: the catalog."""
    columns = (
        *columns_of("Name|Library and model", "Grid|Dim"),
        *columns_of("Aggregation|Readout|Note", ""),
    )
    return Table("Backbones", columns, tuple(_backbone(row) for row in rows))


def _backbone(row: BackboneRow) -> tuple[Entry, ...]:
    grid = f"{row.grid[0]}x{row.grid[1]}"
    texts = (
        row.name,
        f"{row.library}/{row.model}",
        grid,
        str(row.dim),
        row.aggregation,
        row.readout,
        row.note,
    )
    return tuple(Entry(text) for text in texts)


def tabulate_indexes(summaries: Sequence[IndexSummary]) -> Table:
    """`audit list`: the indexes here."""
    columns = (
        *columns_of("Index|Dataset|Backbone", "Images|Cells|Size"),
        *columns_of("Head|Certificate", ""),
    )
    unfinished = [each.name for each in summaries if not each.is_complete]
    notes = tuple(f"{name} is unfinished; run its audit index again to continue it" for name in unfinished)
    return Table("Indexes", columns, tuple(_summary(each) for each in summaries), notes)


def _summary(summary: IndexSummary) -> tuple[Entry, ...]:
    verdict = summary.certificate.verdict if summary.certificate else NO_DATA
    return (
        Entry(summary.name, "" if summary.is_complete else "unfinished"),
        Entry(summary.dataset),
        Entry(summary.backbone),
        Entry(f"{summary.images:,}"),
        Entry(f"{summary.cells:,}"),
        Entry(size(summary.bytes)),
        Entry(summary.head),
        Entry(verdict),
    )


# ------------------------------------------------------------------------------------- metrics and context


def tabulate_metrics(rows: Sequence[Metrics]) -> Table:
    """Table 1, one row per index, in percent; a column that no index has data for is left out."""
    entries = [_metrics(row) for row in rows]
    kept = [name for name in METRICS if any(row[name].text != NO_DATA for row in entries)]
    body = tuple(
        (Entry(row.index, row.backbone), *(shown[name] for name in kept))
        for row, shown in zip(rows, entries, strict=True)
    )
    caption = "Metrics, in percent, with the counts behind them"
    return Table(caption, columns_of("Index", "|".join(kept)), body, tuple(_present_notes(rows)))


def tabulate_readouts(rows: Sequence[Metrics]) -> Table:
    """Table 6: what the head of each index is, and how far its cells are from adding up to the image."""
    columns = (
        *columns_of("Index|Aggregation|Head|Verdict", "Pointwise error"),
        *columns_of("Exact readout", "Exact error"),
    )
    return Table("Readouts", columns, tuple(_readout(row) for row in rows))


def _readout(row: Metrics) -> tuple[Entry, ...]:
    found = row.certificate
    if found is None:
        return (Entry(row.index), *[Entry(NO_DATA)] * 6)
    errors = (
        NO_DATA if error is None else f"{error:.1e}" for error in (found.pointwise_error, found.exact_error)
    )
    pointwise, exact = (Entry(error) for error in errors)
    words = [Entry(text) for text in (found.aggregation, found.head, found.verdict)]
    return (Entry(row.index), *words, pointwise, Entry(found.exact_readout or NO_DATA), exact)


def _present_notes(rows: Sequence[Metrics]) -> Iterator[str]:
    for row in rows:
        if row.present is not None:
            known = plural(row.present.classes, "class", "classes")
            yield f"{row.index}: (present) is among the {known} that its images are labelled with."


METRICS = {
    "Images": "images indexed",
    "Top-1": "images whose first class is right",
    "Top-5": "images with the right class among the first five",
    "Top-1 (present)": "Top-1 among only the classes that the dataset holds",
    "Top-5 (present)": "Top-5 among only the classes that the dataset holds",
    "FG Det.": "images with the evaluation class predicted in a foreground cell",
    "Loc.": "foreground cells predicted as the evaluation class",
    "Loc. per image": "the mean of Loc. over images",
    "Loc. (w/o BG)": "Loc. with the background occluded",
    "BG Act.": "images with the evaluation class predicted in a background cell",
    "BG Act. (w/o FG)": "BG Act. with the foreground occluded",
    "Delta": "BG Act. (w/o FG) - BG Act., in points",
    "ReaL Acc.": "images whose first class is one of their ReaL labels",
    "ReaL Rec.": "ReaL labels found among the classes of the cells",
    "ReaL Rec. per image": "the mean of ReaL Rec. over images",
    "Det. top-1": "images with the class first in at least one cell",
    "Det. top-5": "images with the class among the first five of at least one cell",
    "Det. top-1 (present)": "Det. top-1 among only the classes that the dataset holds",
    "Det. top-5 (present)": "Det. top-5 among only the classes that the dataset holds",
}
"""The columns of Tables 1 to 3 in the paper's order, and what each counts."""


def _metrics(row: Metrics) -> dict[str, Entry]:
    nothing = PresentMetrics(0, *(Rate(0, 0) for _ in range(4)))
    present = row.present or nothing
    entries = (
        Entry(f"{row.images:,}"),
        _rate(row.top1),
        _rate(row.top5),
        _rate(present.top1),
        _rate(present.top5),
        _rate(row.fg_det),
        _rate(row.loc),
        Entry(share(row.loc_per_image)),
        _rate(row.loc_without_bg),
        _rate(row.bg_act),
        _rate(row.bg_act_without_fg),
        Entry(points(row.delta), "points" if row.delta is not None else ""),
        _rate(row.real_acc),
        _rate(row.real_rec),
        Entry(share(row.real_rec_per_image)),
        _rate(row.det_top1),
        _rate(row.det_top5),
        _rate(present.det_top1),
        _rate(present.det_top5),
    )
    return dict(zip(METRICS, entries, strict=True))


_CONTEXT = columns_of("Class", "Loc.|FG Det.|BG Act. (95 %)|BG Act. (w/o FG) (95 %)|Delta|q")
_ORDERS = {
    "delta": "Delta",
    "bg_act_wo_fg": "BG Act. (w/o FG)",
    "bg_act": "BG Act.",
    "loc": "Loc.",
    "fg_det": "FG Det.",
}


def tabulate_context(table: ContextTable) -> Table:
    """Tables 7 and 8: classes ranked by context dependence, with Wilson intervals and corrected tests."""
    order = _ORDERS.get(table.by, table.by)
    notes = (
        "Delta in points: BG Act. (w/o FG) - BG Act. q: exact McNemar test of Delta over images, "
        "corrected for the number of classes looked at (Benjamini-Hochberg). Below Delta: images whose "
        "background gains and loses the class once the foreground is occluded.",
    )
    caption = f"Classes by {order}, in percent, with the counts behind them"
    return Table(caption, _CONTEXT, tuple(_context(row) for row in table.rows), notes)


def _context(row: ClassContext) -> tuple[Entry, ...]:
    return (
        Entry(row.name, f"#{row.label}, {plural(row.images, 'image')}"),
        _rate(row.loc),
        _rate(row.fg_det),
        _bounded(row.bg_act, row.bg_act_interval),
        _bounded(row.bg_act_without_fg, row.bg_act_without_fg_interval),
        Entry(points(row.delta), f"+{row.gained} -{row.lost}" if row.delta is not None else ""),
        Entry(chance(row.q_value)),
    )


def _bounded(rate: Rate, bounds: tuple[float, float] | None) -> Entry:
    return Entry(f"{percent(rate)} ({interval(bounds)})" if bounds else percent(rate), counts(rate))
