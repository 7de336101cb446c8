"""An index in two dimensions and in clusters, and what is suspicious about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from auditor.records import SIGNIFICANT, ClassShare, Rate
from auditor.report.metric import metric
from auditor.report.record import NOT_WRITTEN, Record

LISTED = 20
"""Clusters that the table lists and the sheet shows; every one is in the JSON and the files."""


@dataclass(frozen=True, slots=True)
class PredictedShare(Record):
    """How many of a cluster's cells are predicted as a class."""

    name: str
    cells: Rate

    def __str__(self) -> str:
        return f"{self.name} {100 * (self.cells.value or 0):.0f}%"


@dataclass(frozen=True, slots=True)
class Cluster(Record):
    """Cells that lie together on the map; numbered from 1, the largest first.

    `exemplars` are cells as `path:row,col`, the medoid first, then those nearest to it, one per image.
    `position` says how much more often two cells of different images share a place in the grid than if the
    cells were spread over it evenly: 1 when they are, H * W when all have the same place; None for one image.
    """

    number: int
    cells: int = field(metadata=metric("Cells", "cells of the cluster", unit="count"))
    images: int = field(metadata=metric("Images", "images in which it has cells", unit="count"))
    exemplars: tuple[str, ...]
    classes: tuple[ClassShare, ...]
    predicted: tuple[PredictedShare, ...]
    foreground: Rate
    position: float | None = field(
        metadata=metric(
            "Position",
            "how much more often two cells of different images share a place than by chance",
            unit="factor",
            source="A.8",
        )
    )
    peak: tuple[int, int]
    peak_cells: int

    @property
    def label(self) -> ClassShare | None:
        """The most over-represented class, where that is no chance."""
        first = self.classes[0] if self.classes else None
        return first if first is not None and first.q_value < SIGNIFICANT else None

    @property
    def suspicion(self) -> float:
        """Lift of the class x root of position x share of background cells, leaving out what is unknown.

        What belongs to one class, to one place, and to no annotated object is what nobody meant to be there.
        The root, since the padding of a network alone gives every corner of the grid clusters of its own.
        0 for the cells of a single image, whose class and place are necessarily one.
        """
        if self.images == 1:
            return 0.0
        lift = self.label.lift if self.label is not None else None
        background = 1 - (self.foreground.value or 0.0)
        return (lift or 1.0) * sqrt(max(self.position or 1.0, 1.0)) * background


@dataclass(frozen=True, slots=True)
class CellMap(Record):
    """`audit map`: an index in two dimensions and in clusters, most suspicious first (Figure 10).

    The arrays are those of the cells that UMAP saw: their ids, points (n, 2) and clusters (0: of none).
    `alone` counts the cells of no cluster among all that have a place; all places are in map.parquet. `empty`
    counts the cells without content (features of zeros), which have none. Clusters of one image come last.
    """

    index: str
    sample: int
    seed: int
    alone: Rate
    clusters: tuple[Cluster, ...]
    sampled: NDArray[np.int64] = field(metadata=NOT_WRITTEN)
    points: NDArray[np.float32] = field(metadata=NOT_WRITTEN)
    members: NDArray[np.int64] = field(metadata=NOT_WRITTEN)
    empty: int = 0


@dataclass(frozen=True, slots=True)
class MapCell:
    """A cell on the map, as `--export` writes it; cluster 0 is none, foreground None where not annotated."""

    path: str
    row: int
    col: int
    x: float
    y: float
    cluster: int
    is_sampled: bool
    label: str | None
    predicted: str | None
    probability: float | None
    foreground: bool | None
