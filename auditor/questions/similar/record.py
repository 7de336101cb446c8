"""The cells most similar to one cell."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.records import Hit
from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class Similar(Record):
    """The cells most similar to one cell, best first.

    `same` says whether cells of the same image may be among them, `per_image` how many of each image, 0 being
    no limit; `empty` counts the cells without content (features of zeros), which are left out, and `long`
    those that are far longer than the others, where an index has many: they keep notes on the whole image.
    `only` says which cells were asked for, if not all. `recall` is the measured share of the nearest cells
    that such a search finds; None where it is exact.
    """

    index: str
    path: str
    row: int
    col: int
    hits: tuple[Hit, ...]
    same: bool = False
    per_image: int = 0
    empty: int = 0
    only: str = ""
    recall: float | None = None
    long: int = 0


@dataclass(frozen=True, slots=True)
class RankedHit:
    """A hit with its place, as files hold it."""

    rank: int
    hit: Hit
