"""All cells of an index as a search sees them: the shards' own fp16 rows, compared where they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.store.blocks import Rows
from auditor.store.halves import widen

BLOCK = 1 << 25  # bytes that are compared before their pages go back to the system

FEW = 1 << 23
"""Numbers that NumPy compares, for 2 ns each: to load FAISS takes a tenth of a second."""

STEP = 1 << 18  # numbers that are widened at a time, in the cache


class Codes:
    """The cells of shards that begin with these image ids, and end before the last of them.

    `opened` gives a shard's features (n, H, W, C) by its number; C numbers of two bytes are a code. The first
    search maps one block of them at a time, so that it takes no memory, whatever the size. Who searches again
    keeps what is mapped, since to map it takes as long as to compare it.
    """

    def __init__(self, firsts: Sequence[int], width: int, dim: int, opened: Callable[[int], Rows]) -> None:
        self._firsts, self._width, self._opened = firsts, width, opened
        self._step = max(1, BLOCK // (2 * width * dim))  # images
        self._is_kept = False

    def search(
        self, vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k allowed (cells,) cells of largest inner product with a vector (C,), best first, and those."""
        compare = _compare if self._firsts[-1] * self._width * len(vector) <= FEW else _search
        products, cells = [np.empty(0, np.float32)], [np.empty(0, np.int64)]
        for number, (first, end) in enumerate(pairwise(self._firsts)):
            for start in range(first, end, self._step):
                stop = min(start + self._step, end)
                part = allowed[start * self._width : stop * self._width]
                if not (wanted := min(k, int(np.count_nonzero(part)))):
                    continue
                rows = self._opened(number)
                codes = rows.between(start - first, stop - first).reshape(-1, len(vector))
                found = compare(codes, vector, wanted, part)
                if not self._is_kept:
                    rows.release()
                products.append(found[0])
                cells.append(found[1] + start * self._width)
        self._is_kept = True
        best = np.argsort(-np.concatenate(products), kind="stable")[:k]
        return np.concatenate(products)[best], np.concatenate(cells)[best]


def _compare(
    rows: NDArray[np.float16], vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k allowed (n,) of few rows (n, C) with the largest inner products, by NumPy."""
    step = max(1, STEP // len(vector))
    parts = (rows[start : start + step] for start in range(0, len(rows), step))
    products = np.concatenate([widen(part) @ vector for part in parts])
    products[~allowed] = -np.inf
    best = np.argsort(-products, kind="stable")[:k]
    return products[best], best


def _search(
    rows: NDArray[np.float16], vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The same by FAISS, which reads the rows where they are."""
    import faiss

    held: Any = faiss.IndexScalarQuantizer(
        rows.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    own: Any = faiss.MaybeOwnedVectorUInt8
    held.codes = own.create_view(faiss.swig_ptr(rows.view(np.uint8).ravel()), rows.nbytes, own().owner)
    held.ntotal = len(rows)
    # the types that FAISS ships are those of its C++ constructors
    parameters = faiss.SearchParameters(sel=selector(allowed))  # type: ignore[call-arg]
    with one_thread():
        products, places = held.search(vector[None], k, params=parameters)
    return products[0], places[0]


def selector(allowed: NDArray[np.bool_]) -> Any:
    """What tells FAISS which ids may be found."""
    import faiss

    return faiss.IDSelectorBitmap(np.packbits(allowed.ravel(), bitorder="little"))  # type: ignore[call-arg, arg-type]


@contextmanager
def one_thread() -> Iterator[None]:
    """FAISS splits work by queries: of one the other threads do nothing but wait, at full speed."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
