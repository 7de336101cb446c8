"""Records as flat tables of plain values: every rate in its hits, total and value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib import import_module
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from auditor.errors import AuditError
from auditor.records import Hit
from auditor.report.record import Record
from auditor.report.views import Rows, view_of

Value = str | int | float | bool | None

_PARTS = {tuple[float, float]: ("low", "high"), tuple[int, int]: ("rows", "cols")}
_PLAIN = (bool, int, float)


@dataclass(frozen=True, slots=True)
class Flat:
    """Rows of plain values; `kinds` are the Python types of the columns, whose values may be None."""

    names: tuple[str, ...]
    kinds: tuple[type, ...]
    rows: tuple[tuple[Value, ...], ...]


def flatten(record: Any) -> Flat:
    """A record as one flat table: a row per index, class, cell, hit or pair, whichever it lists."""
    rows = rows_of(record)
    kind, items = rows.kind, rows.items
    columns = [column for name, hint in facts(kind).items() for column in _columns(name, hint)]
    values = tuple(tuple(_row(kind, item)) for item in items)
    return Flat(tuple(name for name, _ in columns), tuple(kind for _, kind in columns), values)


def rows_of(record: Any) -> Rows:
    """What a record lists, as its view says: a row each; the record itself where it lists nothing."""
    if isinstance(record, list | tuple):
        return Rows(type(record[0]) if record else _Nothing, record)
    if isinstance(record, Record):
        return view_of(record).rows or Rows(type(record), [record])
    return Rows(type(record), [record])


def to_columns(record: Any, kind: Literal["lists", "arrow", "pandas"]) -> Any:
    """A record's rows by column, in one of three forms; AuditError where its package is missing."""
    flat = flatten(record)
    lists = {name: [row[place] for row in flat.rows] for place, name in enumerate(flat.names)}
    if kind == "lists":
        return lists
    package, make = {"arrow": ("pyarrow", "table"), "pandas": ("pandas", "DataFrame")}[kind]
    try:
        return getattr(import_module(package), make)(lists)
    except ImportError:
        raise AuditError(
            f"columns as {kind} need {package}; install it with: pip install {package}"
        ) from None


@cache
def facts(kind: type) -> dict[str, Any]:
    """A record's fields, then what it derives from them (its properties), each with its type."""
    hints = get_type_hints(kind)
    written = [each for each in fields(kind) if each.metadata.get("is_written", True)]
    found = {each.name: hints[each.name] for each in written}
    derived = {name: each.fget for name, each in vars(kind).items() if isinstance(each, property)}
    return found | {name: get_type_hints(getter)["return"] for name, getter in derived.items()}


@dataclass(frozen=True, slots=True)
class _Nothing:
    """The row of an empty list, whose columns nobody can know."""


# ------------------------------------------------------------------------------------- from types to columns


def _columns(name: str, hint: Any) -> Iterator[tuple[str, type]]:
    """The columns that a fact of this type takes, known without looking at a value."""
    hint = _required(hint)
    if hint in _PARTS:
        yield from ((f"{name}_{part}", get_args(hint)[0]) for part in _PARTS[hint])
    elif is_dataclass(hint):
        assert isinstance(hint, type)
        for inner, deeper in facts(hint).items():
            yield from _columns(inner if hint is Hit else f"{name}_{inner}", deeper)
    else:
        yield name, hint if hint in _PLAIN else str


def _row(kind: type, item: Any) -> Iterator[Value]:
    for name, hint in facts(kind).items():
        yield from _values(hint, None if item is None else getattr(item, name))


def _values(hint: Any, value: Any) -> Iterator[Value]:
    hint = _required(hint)
    if hint in _PARTS:
        yield from (None,) * 2 if value is None else value
    elif is_dataclass(hint):
        assert isinstance(hint, type)
        yield from _row(hint, value)
    elif isinstance(value, tuple):
        yield "; ".join(map(str, value))
    elif value is None or (isinstance(value, float) and not isfinite(value)):
        yield None
    else:
        yield hint(value) if hint in _PLAIN else str(value)


def _required(hint: Any) -> Any:
    """The type without its None."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    return hint
