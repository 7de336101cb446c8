"""One class's score of every cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class ClassMap(Record):
    """One class's score of every cell, Z[k] (H, W), and of the whole image, z[k] (Figure 7)."""

    label: int
    name: str
    score: float
    cells: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """The mean over cells: the image's score itself where the readout is exact."""
        return float(self.cells.mean())


@dataclass(frozen=True, slots=True)
class ClassMaps(Record):
    """`audit cam`: class maps of one image, in the order in which the classes were asked for.

    `readout` is pointwise or exact; `is_exact` says whether it adds up to the image's scores.
    """

    index: str
    path: str
    readout: str
    is_exact: bool
    maps: tuple[ClassMap, ...]


@dataclass(frozen=True, slots=True)
class MapCell:
    """One cell of one class map, as files hold it."""

    path: str
    label: int
    name: str
    image_score: float
    row: int
    col: int
    score: float
