"""Cells are proposed, the stored vectors decide: all cells are compared, or those of the likely lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from auditor.store import Index
from auditor.store.codes import Codes, one_thread, selector

LARGE = 5_000_000
"""Cells that are compared one by one; where more may be found, the lists of the index propose.

So many of 512 numbers take 0.3 to 0.5 CPU-seconds exactly, and of 1,280 about one (benchmarks/RESULTS.md).
"""

SLACK = 1e-3
"""More than the length of an fp16 row can be off by (2 ** -11), so that no cell is lost to rounding."""

MARGIN = 64  # hits beyond those that are wanted
RANKED = 160  # cells that are ranked for the 20 hits by which recall is measured


class Proposer(Protocol):
    """Finds what may be among the nearest cells; `is_exact` says that nothing else can be."""

    @property
    def is_exact(self) -> bool:
        """Whether the k best are among what is proposed for k."""

    def propose(self, vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Ids of allowed cells, those that may be among the k of largest cosine with a unit vector (C,)."""


@dataclass(frozen=True, slots=True)
class All:
    """Compares every allowed cell."""

    codes: Codes
    is_exact: bool = True

    def propose(self, vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Every allowed cell within SLACK of the k-th.

        A few more than k are asked for, and more again only where ties go on behind them.
        """
        if k <= 0:
            return np.empty(0, dtype=np.int64)
        flat = allowed.ravel()
        total, wanted = int(np.count_nonzero(flat)), k + MARGIN
        while True:
            cosines, cells = self.codes.search(vector, min(wanted, total), flat)
            near = np.count_nonzero(cosines >= cosines[k - 1] - SLACK)  # they come best first
            if wanted >= total or near < len(cells):
                return cells[:near]
            wanted *= 4


@dataclass(frozen=True, slots=True)
class Lists:
    """Compares the codes of the allowed cells in the `probed` lists that are nearest to the vector."""

    faiss: Any
    probed: int
    reranked: int
    is_exact: bool = False

    def propose(self, vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The best by their codes: `reranked`, and more where more than the usual are to be ranked."""
        wanted = min(self.reranked * max(1, -(-k // RANKED)), int(np.count_nonzero(allowed)))
        if wanted <= 0:
            return np.empty(0, dtype=np.int64)
        with one_thread():
            (cells,) = self.best(vector[None], wanted, allowed)
        return np.asarray(cells[cells >= 0])

    def best(self, vectors: NDArray[np.float32], count: int, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For unit vectors (q, C) the ids (q, count) of the best cells by their codes; -1 behind the last."""
        import faiss

        inner = faiss.SearchParametersIVF(sel=selector(allowed), nprobe=self.probed)  # type: ignore[call-arg]
        parameters = faiss.SearchParametersPreTransform(index_params=inner)  # type: ignore[call-arg]
        return np.asarray(self.faiss.search(vectors, count, params=parameters)[1], dtype=np.int64)


def proposer(index: Index, allowed: NDArray[np.bool_]) -> Proposer:
    """All cells where no more than `LARGE` may be found or the index has no lists, else its lists."""
    search = index.generation.search
    if search is None or np.count_nonzero(allowed) <= LARGE or index.lists is None:
        return All(index.codes)
    return Lists(index.lists, search.probed, search.reranked)


def recall_of(index: Index, allowed: NDArray[np.bool_]) -> float | None:
    """The measured share of the nearest cells that a search finds; None where it is exact."""
    search = index.generation.search
    return None if search is None or proposer(index, allowed).is_exact else search.recall
