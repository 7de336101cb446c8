"""What questions that need the model again answer: class maps, relevance, attacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the crop, far edge exclusive."""

NOT_WRITTEN = {"is_written": False}
"""Metadata of a field that is too large for JSON and tables."""


@dataclass(frozen=True, slots=True)
class ClassMap:
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
class ClassMaps:
    """`audit cam`: class maps of one image, in the order in which the classes were asked for.

    `readout` is pointwise or exact; `is_exact` says whether it adds up to the image's scores.
    """

    index: str
    path: str
    readout: str
    is_exact: bool
    maps: tuple[ClassMap, ...]


@dataclass(frozen=True, slots=True)
class Relevance:
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
class Attack:
    """`audit attack`: targeted PGD on the image's scores, read cell by cell (Figure 11, A.9).

    labels and probabilities (T, H, W) are each cell's top-1 before the first step and after each;
    image_labels and target_probabilities (T,) the image's own. original (S, S, 3) is what the network saw,
    perturbed (S, S, 3) the last step in [0, 1] before it is rounded; `saved_label` is what the image is taken
    for once it is rounded to 8 bits, as in a PNG.
    """

    index: str
    path: str
    target: int
    epsilon: float
    step: float
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    image_labels: NDArray[np.int64]
    target_probabilities: NDArray[np.float64]
    saved_label: int
    names: Mapping[int, str]
    original: NDArray[np.uint8] = field(metadata=NOT_WRITTEN)
    perturbed: NDArray[np.float32] = field(metadata=NOT_WRITTEN)

    @property
    def steps(self) -> int:
        """Steps taken."""
        return len(self.labels) - 1

    @property
    def flipped_at(self) -> int | None:
        """The first step after which the image is taken for the target, 0 before any; None if never."""
        found = np.flatnonzero(self.image_labels == self.target)
        return int(found[0]) if len(found) else None

    @property
    def target_cells(self) -> NDArray[np.int64]:
        """Cells (T,) whose top-1 is the target."""
        return np.asarray((self.labels == self.target).sum(axis=(1, 2)), dtype=np.int64)
