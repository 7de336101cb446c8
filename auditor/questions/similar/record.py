"""The cells most similar to one cell."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.records import Hit
from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class Similar(Record):
    """The cells most similar to one cell, best first."""

    index: str
    path: str
    row: int
    col: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class RankedHit:
    """A hit with its place, as files hold it."""

    rank: int
    hit: Hit
