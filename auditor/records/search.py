"""What the map of an index and a concept's search answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from auditor.records.answers import Hit, Rate
from auditor.records.explanations import NOT_WRITTEN

SIGNIFICANT = 0.05
"""Below this q-value a class counts as over-represented."""


@dataclass(frozen=True, slots=True)
class ClassShare:
    """How many of a class's images were found, and how many of all others.

    `interval` is Wilson's 95 % of the class's rate; `p_value` the chance to find so many or more of the class
    by drawing as many images at random (hypergeometric), `q_value` its Benjamini-Hochberg correction.
    """

    name: str
    images: Rate
    interval: tuple[float, float] | None
    elsewhere: Rate
    p_value: float
    q_value: float

    @property
    def of_found(self) -> float | None:
        """The class's share of the images that were found."""
        return Rate(self.images.hits, self.images.hits + self.elsewhere.hits).value

    @property
    def lift(self) -> float | None:
        """The class's rate over that of all images: 1 when the class makes no difference."""
        found = self.images.hits + self.elsewhere.hits
        everywhere = Rate(found, self.images.total + self.elsewhere.total).value
        return self.images.value / everywhere if self.images.value is not None and everywhere else None

    def __str__(self) -> str:
        return f"{self.name} {100 * (self.of_found or 0):.0f}%"


@dataclass(frozen=True, slots=True)
class PredictedShare:
    """How many of a cluster's cells are predicted as a class."""

    name: str
    cells: Rate

    def __str__(self) -> str:
        return f"{self.name} {100 * (self.cells.value or 0):.0f}%"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Cells that lie together on the map; numbered from 1, the largest first.

    `exemplars` are cells as `path:row,col`, the medoid first, then those nearest to it, one per image.
    `position` says how much more often two cells of different images share a place in the grid than if the
    cells were spread over it evenly: 1 when they are, H * W when all have the same place; None for one image.
    """

    number: int
    cells: int
    images: int
    exemplars: tuple[str, ...]
    classes: tuple[ClassShare, ...]
    predicted: tuple[PredictedShare, ...]
    foreground: Rate
    position: float | None
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
        """
        lift = self.label.lift if self.label is not None else None
        background = 1 - (self.foreground.value or 0.0)
        return (lift or 1.0) * sqrt(max(self.position or 1.0, 1.0)) * background


@dataclass(frozen=True, slots=True)
class CellMap:
    """`audit map`: an index in two dimensions and in clusters, most suspicious first (Figure 10).

    The arrays are those of the cells that UMAP saw: their ids, points (n, 2) and clusters (0: of none).
    `alone` counts the cells of no cluster among all that have a place; all places are in map.parquet.
    """

    index: str
    sample: int
    seed: int
    alone: Rate
    clusters: tuple[Cluster, ...]
    sampled: NDArray[np.int64] = field(metadata=NOT_WRITTEN)
    points: NDArray[np.float32] = field(metadata=NOT_WRITTEN)
    members: NDArray[np.int64] = field(metadata=NOT_WRITTEN)


@dataclass(frozen=True, slots=True)
class Concept:
    """`audit concept`: where else a small reference set is found, how often, and in which classes (6.2).

    A cell's score is its largest cosine to a reference, less the largest to a negative one. `threshold` is
    the lowest score of a reference against the others. `cells` and `images` are counted over the images
    that hold no reference; `references` names what was searched for.
    """

    index: str
    name: str
    references: tuple[str, ...]
    negatives: int
    encoding: str
    threshold: float
    cells: Rate
    images: Rate
    hits: tuple[Hit, ...]
    classes: tuple[ClassShare, ...]
