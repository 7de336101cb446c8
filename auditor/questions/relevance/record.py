"""What every pixel contributes to the score of one cell (Figure 8, A.7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.report.record import Record

LIMIT = 0.05
"""A map with a larger conservation error is not reliable. The rules keep all of the score (to 0.1 % in
benchmarks/RESULTS.md), so where 5 % are missing a layer lost them that the rules do not know."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the crop, far edge exclusive."""


@dataclass(frozen=True, slots=True)
class Relevance(Record):
    """`audit relevance`: what every pixel contributes to the score of one cell (Figure 8, A.7).

    pixels (S, S) is summed over colours. `method` names the rules. `field` is a box that holds 99 % of the
    absolute relevance, `inside` the share of it that lies in the cell's own box, `box`.
    """

    index: str
    path: str
    row: int
    col: int
    label: int
    name: str
    score: float
    method: str
    box: Box
    field: Box
    inside: float
    pixels: NDArray[np.float64]

    @property
    def total(self) -> float:
        """The sum of all relevance."""
        return float(self.pixels.sum())

    @property
    def conservation_error(self) -> float | None:
        """|sum of relevance - score| / |score|: what no pixel was given; None for a score of 0."""
        return abs(self.total - self.score) / abs(self.score) if self.score else None

    @property
    def is_reliable(self) -> bool:
        """Whether the conservation error is at most 5 %."""
        return self.conservation_error is not None and self.conservation_error <= LIMIT


@dataclass(frozen=True, slots=True)
class RelevancePixel:
    """One pixel of a relevance map, as files hold it."""

    path: str
    label: int
    name: str
    y: int
    x: int
    relevance: float
