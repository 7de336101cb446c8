"""How many lists of a large index to look into: measured on its own cells, against comparing all."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from auditor.search.nearest import find_cells
from auditor.search.proposals import Lists
from auditor.store import Index

TARGET = 0.98
SURE = 2.0  # standard errors by which the cells that choose must be above it: others find less
HITS = 20  # nearest cells of which recall is the share that is found
ASKED = 200  # cells that choose how many lists are looked into; as many others measure what that finds
RERANKED = (200, 1000, 5000)

Flags = NDArray[np.bool_]
Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """Cells (q,) that ask, their unit vectors (q, C), and how near the nearest others are.

    `cosines` (q, HITS) are those of the nearest cells so far, one of each other image, in any order.
    """

    cells: NDArray[np.int64]
    vectors: NDArray[np.float32]
    cosines: NDArray[np.float32]

    @classmethod
    def of(cls, index: Index, allowed: Flags) -> Self:
        """Drawn from those that may be found (images, H * W); nothing is near them yet."""
        cells = draw(allowed, 2 * ASKED, np.random.default_rng(1))
        return cls(cells, index.vectors(cells), np.full((len(cells), HITS), -np.inf, np.float32))

    def compare(self, images: NDArray[np.int64], vectors: NDArray[np.float32], allowed: Flags) -> None:
        """See what is near among the cells (m * H * W, C) of these images (m,)."""
        width = allowed.shape[1]
        cosines = self.vectors @ vectors.T
        cosines[:, ~allowed[images].ravel()] = -np.inf
        best = cosines.reshape(len(self.cells), len(images), width).max(axis=2)
        best[(self.cells // width)[:, None] == images] = -np.inf
        every = -np.concatenate([self.cosines, best], axis=1)
        self.cosines[:] = -np.partition(every, HITS - 1, axis=1)[:, :HITS]


def choose_search(index: Index, lists: Any, allowed: Flags, asked: Asked) -> dict[str, Any]:
    """The fewest lists, and the fewest cells to re-rank, that find `TARGET` of the nearest cells.

    Half of the cells that ask choose, with a margin; the other half measure. Where these find less than the
    target after all, more lists are looked into until they do not.
    """
    import faiss

    most = int(faiss.extract_index_ivf(lists).nlist)

    def found(probed: int, reranked: int, half: slice) -> Shares:
        return _shares(index, Lists(lists, probed, reranked), allowed, asked, half)

    def at_least(probed: int, reranked: int) -> float:
        shares = found(probed, reranked, slice(0, None, 2))
        return float(shares.mean() - SURE * shares.std() / len(shares) ** 0.5)

    reranked = next((n for n in RERANKED if at_least(most, n) >= TARGET), RERANKED[-1])
    probed = 1 + bisect_left(range(1, most), TARGET, key=lambda probed: at_least(probed, reranked))
    while (shares := found(probed, reranked, slice(1, None, 2))).mean() < TARGET and probed < most:
        probed = min(most, probed + max(1, probed // 4))
    return {
        "lists": most,
        "probed": probed,
        "reranked": reranked,
        "recall": float(shares.mean()),
        "asked": len(shares),
    }


def draw(allowed: Flags, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Ids of so many different cells that may be found, or of all where they are fewer, in order."""
    places = np.arange(allowed.size) if allowed.size < 8 * count else _some(allowed.size, 8 * count, rng)
    cells = places[allowed.ravel()[places]]
    return np.sort(rng.permutation(cells)[:count])


def _some(size: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """About so many different numbers below a size, without a list of all."""
    return np.unique(rng.integers(0, size, count))


def _shares(index: Index, by: Lists, allowed: Flags, asked: Asked, half: slice) -> Shares:
    """Of each cell that asks the share of the nearest cells, one of each other image, that are found."""
    shares, others = [], allowed.copy()
    for cell, vector, cosines in zip(
        asked.cells[half], asked.vectors[half], asked.cosines[half], strict=True
    ):
        image = int(cell) // allowed.shape[1]
        others[image] = False
        _, found = find_cells(index, by, vector, HITS, others, 1)
        others[image] = allowed[image]
        there = cosines[np.isfinite(cosines)]
        hits = np.count_nonzero(found >= there.min(initial=1) - 1e-6)
        shares.append(min(hits / max(len(there), 1), 1))  # two may tie for the last place
    return np.array(shares)
