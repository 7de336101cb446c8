"""What every pixel contributes to the score of one cell (Figure 8, A.7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.report.record import Record

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
        """|sum of relevance - score| / |score|: what biases and stabilisers absorb; None for a score of 0."""
        return abs(self.total - self.score) / abs(self.score) if self.score else None


@dataclass(frozen=True, slots=True)
class RelevancePixel:
    """One pixel of a relevance map, as files hold it."""

    path: str
    label: int
    name: str
    y: int
    x: int
    relevance: float
