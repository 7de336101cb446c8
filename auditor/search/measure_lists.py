"""How many lists of a large index to look into: measured on its own cells, against comparing all."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from auditor.records.watch import Watch
from auditor.search.proposals import Lists
from auditor.store import Index

TARGET = 0.98
SURE = 2.0  # standard errors by which the cells that choose must be above it: others find less
HITS = 20  # nearest cells of which recall is the share that is found
ASKED = 200  # cells that choose how many lists are looked into; as many others measure what that finds
RERANKED = (200, 1000, 5000, 20_000)
SPARED = 0.005  # of recall that all lists are not worth, where they miss the target
NUMBERS = 40  # of lists that are tried, from one to all
TOGETHER = 20  # cells that ask in one search, whose candidates are held

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


def choose_search(index: Index, lists: Any, allowed: Flags, asked: Asked, watch: Watch) -> dict[str, Any]:
    """The fewest lists, and the fewest cells to re-rank, that find `TARGET` of the nearest cells.

    Half of the cells that ask choose, with a margin; the other half measure. Where these find less than the
    target after all, more lists are looked into until they do not. Where codes are too short for it, so that
    all lists together miss it, what all lists find, but for half a point, is the target.
    """
    import faiss

    most = int(faiss.extract_index_ivf(lists).nlist)
    numbers = np.unique(np.geomspace(1, most, NUMBERS).round().astype(np.int64)).tolist()
    tries = range(len(RERANKED) + len(numbers).bit_length() + 1)
    left = iter(tries)
    watch.start("measuring how many lists to search", len(tries))

    def found(probed: int, reranked: int, half: slice) -> Shares:
        watch.advance(int(next(left, None) is not None))
        return _shares(index, Lists(lists, probed, reranked), allowed, asked, half)

    def at_least(probed: int, reranked: int) -> float:
        shares = found(probed, reranked, slice(0, None, 2))
        return float(shares.mean() - SURE * shares.std() / len(shares) ** 0.5)

    for reranked in RERANKED:
        if (least := at_least(most, reranked)) >= TARGET:
            break
    goal = TARGET if least >= TARGET else least - SPARED
    place = bisect_left(numbers[:-1], goal, key=lambda probed: at_least(probed, reranked))
    for probed in numbers[place:]:
        shares = found(probed, reranked, slice(1, None, 2))
        if (recall := float(shares.mean())) >= goal:
            break
    watch.advance(len(list(left)))
    return {
        "lists": most,
        "probed": probed,
        "reranked": reranked,
        "recall": recall,
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
    """Of each cell that asks the share of the nearest cells, one of each other image, that are found.

    Some ask at once, and leave the cells of their own images out afterwards: to make each of them a selection
    of its own takes longer than to search it. A search goes on where it finds too few images, so it finds no
    less than this says.
    """
    shares, width = [], allowed.shape[1]
    cells, vectors, nearest = asked.cells[half], asked.vectors[half], asked.cosines[half]
    for start in range(0, len(cells), TOGETHER):
        part = slice(start, start + TOGETHER)
        proposed = by.best(vectors[part], by.reranked + width, allowed)
        for cell, vector, cosines, ids in zip(
            cells[part], vectors[part], nearest[part], proposed, strict=True
        ):
            others = ids[(ids >= 0) & (ids // width != cell // width)][: by.reranked]
            found = index.vectors(others) @ vector
            order = np.argsort(-found)
            _, firsts = np.unique(others[order] // width, return_index=True)  # the best of each image
            there = cosines[np.isfinite(cosines)]
            hits = np.count_nonzero(found[order][firsts] >= there.min(initial=1) - 1e-6)
            shares.append(min(hits / max(len(there), 1), 1))  # two may tie for the last place
    return np.array(shares)
