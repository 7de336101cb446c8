"""How far cells see: what becomes of background cells, by their distance from an object that is covered.

The receptive field that counts is smaller than the layers allow. No model is needed: the index holds what
every cell said with the objects and with all of them covered, and cells that do not see them say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.grids import widened
from auditor.measure.annotations import annotated_images, cells_on
from auditor.measure.guesses import READ, read_guesses
from auditor.store import Index

FEWEST = 30  # cells at a distance
LEAST = 0.1  # of the change beside an object is still a change


@dataclass(frozen=True, slots=True)
class Reach:
    """The mean change of background cells at distances 1, 2, ... of cells, diagonals counting as one.

    And how many cells are there; the last distance is the last that enough cells have.
    """

    changes: tuple[float, ...]
    cells: tuple[int, ...]

    @property
    def distance(self) -> int:
        """The last at which the change is still a tenth of that beside objects; 0 where there is none."""
        least = LEAST * self.changes[0]
        return max((d for d, change in enumerate(self.changes, start=1) if change > least), default=0)


def measure_reach(index: Index) -> Reach | None:
    """The changes by distance; None where no cell beside a covered object is stored."""
    images, foreground = annotated_images(index), cells_on(index, "foreground")
    parts = [images[start : start + READ] for start in range(0, len(images), READ)]
    read = [_read(index, part, foreground[part]) for part in parts]
    if not read:
        return None
    far, change = (np.concatenate(each) for each in zip(*read, strict=True))
    counts = np.bincount(far[far > 0], minlength=2)[1:]
    last = int(np.argmin([*(counts >= FEWEST), False]))
    if not last:
        return None
    means = [float(change[far == distance].mean()) for distance in range(1, last + 1)]
    return Reach(tuple(means), tuple(counts[:last].tolist()))


def _read(
    index: Index, images: NDArray[np.int64], foreground: NDArray[np.bool_]
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """How far each cell of images (n,) is from foreground (n, N); its change where it was seen both times.

    By how much the probability of its first class changes once the objects are covered; one that is no longer
    among the five best counts as gone.
    """
    ids, before = read_guesses(index, images, 0, first=1)
    covered, after = read_guesses(index, images, 2)
    both = np.intersect1d(np.intersect1d(ids, covered), images)
    top, p = (each[np.searchsorted(ids, both)] for each in (before.top, before.p))
    then, then_p = (each[np.searchsorted(covered, both)] for each in (after.top, after.p))
    change = np.abs(p[..., 0] - (then_p * (then == top)).sum(axis=-1))
    is_seen = (top[..., 0] >= 0) & (then[..., 0] >= 0)
    far = _distances(foreground[np.searchsorted(images, both)].reshape(-1, *index.grid))
    return far.reshape(is_seen.shape)[is_seen].astype(np.int16), change[is_seen].astype(np.float64)


def _distances(foreground: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of every cell (n, H, W) how many cells it is from foreground; 0 in it, -1 where there is none."""
    distances = np.where(foreground, 0, -1)
    reached = foreground
    for distance in range(1, max(foreground.shape[1:])):
        wider = widened(reached)
        distances[wider & ~reached] = distance
        reached = wider
    return distances
