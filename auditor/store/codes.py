"""All cells of an index as FAISS sees them, mapped from cells.faiss and compared a block at a time."""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.store.blocks import release

BLOCK = 1 << 25  # bytes that are compared before their pages go back to the system


class Codes:
    """`rows` (cells, C): the fp16 unit vectors at the end of the file; row = cell id.

    The first search maps one block of them at a time, so that it takes no memory, whatever the size. Who
    searches again keeps what is mapped, since to map it takes as long as to compare it.
    """

    def __init__(self, path: Path, cells: int, dim: int) -> None:
        self._is_kept = False
        with path.open("rb") as file:
            self._map = mmap(file.fileno(), 0, access=ACCESS_READ)
        start = len(self._map) - 2 * cells * dim
        self.rows: NDArray[np.float16] = np.frombuffer(self._map, np.float16, cells * dim, start).reshape(
            cells, dim
        )

    def search(
        self, vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k allowed (cells,) cells of largest inner product with a vector (C,), best first, and those."""
        size = max(1, BLOCK // (2 * self.rows.shape[1]))
        products, cells = [np.empty(0, np.float32)], [np.empty(0, np.int64)]
        for start in range(0, len(self.rows), size):
            part = slice(start, start + size)
            if wanted := min(k, int(allowed[part].sum())):
                found = _search(self.rows[part], vector, wanted, allowed[part])
                if not self._is_kept:
                    release(self._map)
                products.append(found[0])
                cells.append(found[1] + start)
        self._is_kept = True
        best = np.argsort(-np.concatenate(products), kind="stable")[:k]
        return np.concatenate(products)[best], np.concatenate(cells)[best]


def _search(
    rows: NDArray[np.float16], vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The same of rows (n, C) that FAISS reads where they are."""
    import faiss

    held: Any = faiss.IndexScalarQuantizer(
        rows.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    own: Any = faiss.MaybeOwnedVectorUInt8
    held.codes = own.create_view(faiss.swig_ptr(rows.view(np.uint8).ravel()), rows.nbytes, own().owner)
    held.ntotal = len(rows)
    # the types that FAISS ships are those of its C++ constructors
    parameters = faiss.SearchParameters(sel=selector(allowed))  # type: ignore[call-arg]
    products, places = held.search(vector[None], k, params=parameters)
    return products[0], places[0]


def selector(allowed: NDArray[np.bool_]) -> Any:
    """What tells FAISS which ids may be found."""
    import faiss

    return faiss.IDSelectorBitmap(np.packbits(allowed.ravel(), bitorder="little"))  # type: ignore[call-arg, arg-type]
