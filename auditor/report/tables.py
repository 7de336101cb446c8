"""Tables of text, for the console and the page.

An entry's `detail` is the small print that belongs to it: the counts behind a rate, the place of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from auditor.records import Rate
from auditor.report.metric import Unit
from auditor.report.text import NO_DATA, chance, counts, interval, percent, points, share, times


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in one row under one column."""

    text: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, whether it holds numbers (aligned right, never broken), and what they count."""

    name: str
    is_number: bool = True
    definition: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of entries under columns; the first column names the row.

    A page shows the first and last rows that `ends` counts, every row where it is None. A table that
    `is_turnable` has few rows of many numbers: where it is too wide, columns and rows change places.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()
    ends: tuple[int, int] | None = None
    is_turnable: bool = False


def turn(table: Table) -> Table:
    """Columns as rows: for a few rows of many numbers."""
    names = (Column("", is_number=False), *(Column(row[0].text) for row in table.rows))
    rows = tuple(
        (Entry(column.name), *(row[place] for row in table.rows))
        for place, column in enumerate(table.columns)
        if place
    )
    return replace(table, columns=names, rows=rows)


def unstack(table: Table) -> Table:
    """The small print in columns of its own, so that every row takes one line."""
    first, *others = table.columns
    columns = (first, *(each for column in others for each in (column, Column("of"))))
    rows = tuple(
        (row[0], *(each for entry in row[1:] for each in (Entry(entry.text), Entry(entry.detail))))
        for row in table.rows
    )
    return replace(table, columns=columns, rows=rows)


def explain(table: Table) -> Table:
    """The table turned, each of its rows with what its numbers count."""
    turned = unstack(turn(table))
    definitions = (Entry(column.definition) for column in table.columns[1:])
    rows = tuple((*row, definition) for row, definition in zip(turned.rows, definitions, strict=True))
    return replace(turned, columns=(*turned.columns, Column("What it counts", is_number=False)), rows=rows)


def split(table: Table) -> tuple[Table, ...]:
    """The whole table where it is short, else its first and its last rows, as many as `ends` says."""
    top, bottom = table.ends or (len(table.rows), 0)
    total = len(table.rows)
    if total <= top + bottom:
        return (table,)
    first = replace(table, caption=f"{table.caption}: first {top} of {total}", rows=table.rows[:top])
    if not bottom:
        return (first,)
    last = replace(table, caption=f"{table.caption}: last {bottom} of {total}", rows=table.rows[-bottom:])
    return replace(first, notes=()), last


def columns_of(words: str, numbers: str) -> tuple[Column, ...]:
    """Columns of words, then of numbers, named in strings divided by bars."""
    named = [Column(name, is_number=False) for name in words.split("|") if name]
    return (*named, *(Column(name) for name in numbers.split("|") if name))


# ------------------------------------------------------------------------------------- numbers as entries


def rate_entry(rate: Rate) -> Entry:
    """A rate in percent over its counts."""
    return Entry(percent(rate), counts(rate))


def bounded_entry(rate: Rate, bounds: tuple[float, float] | None) -> Entry:
    """A rate in percent with its interval, over its counts."""
    return Entry(f"{percent(rate)} ({interval(bounds)})" if bounds else percent(rate), counts(rate))


def metric_entry(value: Any, unit: Unit) -> Entry:
    """A metric as its unit has it: a Rate, a share, a difference of shares, a count, a p-value, a factor."""
    if value is None:
        return Entry(NO_DATA)
    return _ENTRIES[unit](value)


def chance_entry(entry: Entry, chance: float | None, mark: str = ", by chance ") -> Entry:
    """The entry of a rate with what chance would give, behind a mark, in its small print."""
    if chance is None or not entry.detail:
        return entry
    return replace(entry, detail=f"{entry.detail}{mark}{share(chance)}")


_ENTRIES: Mapping[Unit, Callable[[Any], Entry]] = {
    "percent": lambda value: rate_entry(value) if isinstance(value, Rate) else Entry(share(value)),
    "points": lambda value: Entry(points(value), "points"),
    "count": lambda value: Entry(f"{value:,}"),
    "chance": lambda value: Entry(chance(value)),
    "factor": lambda value: Entry(times(value)),
}
