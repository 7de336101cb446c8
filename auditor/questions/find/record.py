"""The images that show what a box of one image shows."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.grids import Box
from auditor.records import Rate
from auditor.report.metric import metric
from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class Found(Record):
    """An image, and for each cell of the box its most similar one (`path:row,col`), in the box's order."""

    path: str
    score: float = field(
        metadata=metric(
            "Likeness",
            "mean over the box's cells, each by the part of it that the box covers, of the cosine to the "
            "image's most similar cell",
            unit="factor",
        )
    )
    label: str | None
    background: Rate = field(
        metadata=metric(
            "On background",
            "cells without annotated foreground ÷ cells, of those in annotated images that answer the box's",
        )
    )
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Find(Record):
    """`audit find`: the images most like a region of one image, best first.

    `box` is left, top, right and bottom in pixels of the upright image, `seen` the same in pixels of what the
    backbone saw; `cells` (`path:row,col`) are those that it covers, `shares` which part of each. `background`
    says whether only background was compared; then those of `unannotated` images were not. `empty`
    counts the cells without content, left out.
    """

    index: str
    path: str
    box: Box
    seen: tuple[int, int, int, int]
    cells: tuple[str, ...]
    shares: tuple[float, ...]
    found: tuple[Found, ...]
    background: bool = False
    unannotated: int = 0
    empty: int = 0


@dataclass(frozen=True, slots=True)
class RankedImage:
    """An image that was found with its place, as files hold it."""

    rank: int
    found: Found
