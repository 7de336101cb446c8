"""How far cells see: what becomes of background cells, by their distance from an object that is covered.

The receptive field that counts is smaller than the layers allow. No model is needed: the index holds what
every cell said with the objects and with all of them covered, and cells that do not see them say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.grids import widened
from auditor.store import Index

FEWEST = 30  # cells at a distance
LEAST = 0.1  # of the change beside an object is still a change

CELLS = """
WITH seen AS (
  SELECT image, cell, variant, cells.foreground AS fg, top1, top5, top5_p
  FROM cells JOIN images ON images.id = image WHERE usable AND cells.foreground IS NOT NULL)
SELECT before.image, before.cell, before.fg, abs(before.top5_p[1]
  - coalesce(after.top5_p[list_position(after.top5, before.top1)], 0))::DOUBLE AS change
FROM seen AS before JOIN seen AS after USING (image, cell)
WHERE before.variant = 0 AND after.variant = 2 AND before.top1 IS NOT NULL AND after.top1 IS NOT NULL
ORDER BY before.image, before.cell
"""
"""Every cell, and by how much the probability of its first class changes once the objects are covered.

A class that is no longer among the five best counts as gone.
"""


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
    rows = index.query(CELLS)
    images, places = np.unique(np.asarray(rows["image"]), return_inverse=True)
    cells = np.asarray(rows["cell"], dtype=np.int64)
    foreground = np.zeros((len(images), index.manifest.cells_per_image), np.bool_)
    foreground[places, cells] = np.asarray(rows["fg"], dtype=np.bool_)
    far = _distances(foreground.reshape(-1, *index.grid)).reshape(foreground.shape)[places, cells]
    change = np.asarray(rows["change"], dtype=np.float64)
    counts = np.bincount(far[far > 0], minlength=2)[1:]
    last = int(np.argmin([*(counts >= FEWEST), False]))
    if not last:
        return None
    means = [float(change[far == distance].mean()) for distance in range(1, last + 1)]
    return Reach(tuple(means), tuple(counts[:last].tolist()))


def _distances(foreground: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of every cell (n, H, W) how many cells it is from foreground; 0 in it, -1 where there is none."""
    distances = np.where(foreground, 0, -1)
    reached = foreground
    for distance in range(1, max(foreground.shape[1:])):
        wider = widened(reached)
        distances[wider & ~reached] = distance
        reached = wider
    return distances
