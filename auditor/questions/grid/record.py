"""The class of every cell of one image."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.records import ImageGrids
from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class PredictionGrid(ImageGrids, Record):
    """`audit grid`: one image's top-1 class and probability in every cell (Figure 0)."""


@dataclass(frozen=True, slots=True)
class GridCell:
    """One cell in one variant, as files hold it."""

    path: str
    variant: str
    row: int
    col: int
    label: int
    name: str
    probability: float
    foreground: bool | None
