"""Records as flat tables of plain values: every rate in its hits, total and value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from auditor.records import (
    Attack,
    CellMap,
    ClassDetail,
    ClassMaps,
    Concept,
    ContextTable,
    FillTable,
    Hit,
    ImageContext,
    ImageGrids,
    Match,
    Pair,
    Pooling,
    Relevance,
    Shift,
    Similar,
    Thresholds,
)
from auditor.report.cell_tables import class_name
from auditor.report.explanation_tables import (
    AttackCell,
    MapCell,
    RelevancePixel,
    attack_cells,
    map_cells,
    relevance_pixels,
)

Value = str | int | float | bool | None

_PARTS = {tuple[float, float]: ("low", "high"), tuple[int, int]: ("rows", "cols")}
_PLAIN = (bool, int, float)


@dataclass(frozen=True, slots=True)
class Flat:
    """Rows of plain values; `kinds` are the Python types of the columns, whose values may be None."""

    names: tuple[str, ...]
    kinds: tuple[type, ...]
    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True, slots=True)
class _RankedHit:
    rank: int
    hit: Hit


@dataclass(frozen=True, slots=True)
class _RankedPair:
    rank: int
    a_row: int
    a_col: int
    b_row: int
    b_col: int
    cosine: float
    share: float


@dataclass(frozen=True, slots=True)
class _GridCell:
    path: str
    variant: str
    row: int
    col: int
    label: int
    name: str
    probability: float
    foreground: bool | None


def flatten(record: Any) -> Flat:
    """A record as one flat table: a row per index, class, cell, hit or pair, whichever it lists."""
    kind, items = _items(record)
    columns = [column for name, hint in facts(kind).items() for column in _columns(name, hint)]
    rows = tuple(tuple(_row(kind, item)) for item in items)
    return Flat(tuple(name for name, _ in columns), tuple(kind for _, kind in columns), rows)


@cache
def facts(kind: type) -> dict[str, Any]:
    """A record's fields, then what it derives from them (its properties), each with its type."""
    hints = get_type_hints(kind)
    written = [each for each in fields(kind) if each.metadata.get("is_written", True)]
    found = {each.name: hints[each.name] for each in written}
    derived = {name: each.fget for name, each in vars(kind).items() if isinstance(each, property)}
    return found | {name: get_type_hints(getter)["return"] for name, getter in derived.items()}


def _items(record: Any) -> tuple[type, Sequence[Any]]:
    match record:
        case ContextTable():
            return _typed(record.rows, ContextTable, "rows")
        case FillTable():
            return _typed(record.rows, FillTable, "rows")
        case Pooling():
            return _typed(record.rows, Pooling, "rows")
        case Thresholds():
            return _typed(record.points, Thresholds, "points")
        case ImageContext():
            return _typed([flip for shift in record.shifts for flip in shift.flips], Shift, "flips")
        case ClassDetail():
            return _GridCell, [cell for grids in record.images for cell in _grid_cells(grids)]
        case ImageGrids():
            return _GridCell, list(_grid_cells(record))
        case CellMap():
            return _typed(record.clusters, CellMap, "clusters")
        case Concept():
            return _typed(record.classes, Concept, "classes")
        case Similar():
            return _RankedHit, [_RankedHit(i, hit) for i, hit in enumerate(record.hits, start=1)]
        case Match():
            return _RankedPair, [_ranked_pair(i, pair) for i, pair in enumerate(record.pairs, start=1)]
        case ClassMaps():
            return MapCell, list(map_cells(record))
        case Relevance():
            return RelevancePixel, list(relevance_pixels(record))
        case Attack():
            return AttackCell, list(attack_cells(record))
        case list() | tuple():
            return (type(record[0]) if record else _Nothing), record
        case _:
            return type(record), [record]


@dataclass(frozen=True, slots=True)
class _Nothing:
    """The row of an empty list, whose columns nobody can know."""


def _typed(rows: Sequence[Any], owner: type, name: str) -> tuple[type, Sequence[Any]]:
    return get_args(get_type_hints(owner)[name])[0], rows


def _ranked_pair(rank: int, pair: Pair) -> _RankedPair:
    return _RankedPair(rank, *pair.a, *pair.b, pair.cosine, pair.share)


def _grid_cells(grids: ImageGrids) -> Iterator[_GridCell]:
    for (variant, row, col), label in np.ndenumerate(grids.labels):
        yield _GridCell(
            path=grids.path,
            variant=grids.variants[variant],
            row=row,
            col=col,
            label=int(label),
            name=class_name(grids, int(label)),
            probability=float(grids.probabilities[variant, row, col]),
            foreground=None if grids.foreground is None else bool(grids.foreground[row, col]),
        )


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
