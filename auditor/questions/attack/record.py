"""A targeted attack on an image, cell by cell and step by step (Figure 11, A.9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auditor.report.record import NOT_WRITTEN, Record


@dataclass(frozen=True, slots=True)
class Attack(Record):
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
        steps = np.flatnonzero(self.image_labels == self.target)
        return int(steps[0]) if len(steps) else None

    @property
    def target_cells(self) -> NDArray[np.int64]:
        """Cells (T,) whose top-1 is the target."""
        return np.asarray((self.labels == self.target).sum(axis=(1, 2)), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class AttackCell:
    """One cell at one step of an attack, with what the image is taken for then, as files hold it."""

    path: str
    step: int
    image_label: int
    image_name: str
    target_probability: float
    row: int
    col: int
    label: int
    name: str
    probability: float
