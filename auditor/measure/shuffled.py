"""What a measurement gives when images exchange their labels: what is no better than that is no finding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.records import Rate
from auditor.store import Index

RUNS = 199  # exchanges: the smallest p-value is 1 / 200
MOST = 5_000  # images whose labels are exchanged

CELLS = """
SELECT image, top1 AS class, count(*) AS cells FROM cells JOIN images ON images.id = image
WHERE usable AND variant = 0 AND cells.foreground AND len(labels) > 0
GROUP BY image, top1 ORDER BY image, top1
"""
LABELS = """
SELECT id AS image, unnest(list_distinct(labels)) AS class FROM images WHERE usable AND len(labels) > 0
"""


@dataclass(frozen=True, slots=True)
class Shuffled:
    """Foreground cells that show a label of their image, and of the image whose labels they were given.

    `shares` (runs,) are those of as many exchanges of all labels; `p_value` counts the exchanges that are no
    worse, the true labels among them.
    """

    images: int
    share: Rate
    shares: NDArray[np.float64]

    @property
    def p_value(self) -> float:
        """The chance to do as well with labels that mean nothing."""
        return float((1 + np.count_nonzero(self.shares >= (self.share.value or 0))) / (1 + len(self.shares)))


def shuffle_labels(index: Index, *, runs: int = RUNS, seed: int = 0) -> Shuffled | None:
    """The share of foreground cells that show a label of their image, and after exchanging the labels.

    Of more than `MOST` images a random part is asked. None where no labelled image has a foreground cell.
    """
    from scipy.sparse import csr_array

    cells, labels = index.counted(CELLS), index.counted(LABELS)
    images = np.unique(np.asarray(cells["image"], dtype=np.int64))
    if not len(images):
        return None
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(images)[:MOST])
    shape = (len(chosen), len(index.manifest.classes))

    def matrix(rows: dict[str, NDArray[np.int64]], values: NDArray[np.int64]) -> csr_array:
        kept = np.isin(rows["image"], chosen)
        places = (np.searchsorted(chosen, rows["image"][kept]), rows["class"][kept])
        return csr_array((values[kept], places), shape=shape)

    shown = matrix(cells, np.asarray(cells["cells"], dtype=np.int64))
    named = matrix(labels, np.ones(len(labels["image"]), dtype=np.int64))
    total = int(shown.sum())
    hits = [int((shown * named[rng.permutation(len(chosen))]).sum()) for _ in range(runs)]
    return Shuffled(len(chosen), Rate(int((shown * named).sum()), total), np.array(hits) / total)
