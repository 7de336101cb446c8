"""Exact retrieval: FAISS proposes, the stored vectors decide."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.grids import split_cell_id
from auditor.records import Hit
from auditor.store import Index

SLACK = 1e-3
"""More than the length of an fp16 row can be off by (2 ** -11), so that no cell is lost to rounding."""

HITS = """
SELECT wanted.cell, path, coalesce(named.name, true_name) AS label, cells.foreground,
       predicted.name AS predicted
FROM (SELECT unnest($cells::BIGINT[]) AS cell) wanted
JOIN images ON images.id = wanted.cell // $width
LEFT JOIN cells ON cells.image = images.id AND cells.cell = wanted.cell % $width AND variant = 0
LEFT JOIN classes named ON named.id = images.label
LEFT JOIN classes predicted ON predicted.id = cells.top1
"""


def searchable(index: Index) -> NDArray[np.bool_]:
    """(images, cells) that may be returned: not those of images that were broken, filtered or removed."""
    usable = np.zeros((index.manifest.images, index.manifest.cells_per_image), dtype=np.bool_)
    usable[index.query("SELECT id FROM images WHERE usable")["id"]] = True
    return usable


def nearest_cells(
    index: Index, vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]
) -> tuple[Hit, ...]:
    """The k allowed cells of largest cosine with a unit vector (C,), best first, equals by their id.

    `allowed` (images, cells) says which cells may be returned. Exact: every cell that FAISS's fp16 rows leave
    in doubt is compared from the stored features.
    """
    cells = _candidates(index.faiss, vector, min(k, int(allowed.sum())), allowed)
    cosines = index.vectors(cells) @ vector
    order = np.lexsort((cells, -cosines))[:k]
    return describe_hits(index, cells[order], cosines[order])


def _candidates(faiss_index: Any, vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]) -> Any:
    """Ids of every allowed cell that may be among the k best: those within SLACK of FAISS's k-th."""
    import faiss

    if k <= 0:
        return np.empty(0, dtype=np.int64)
    bits = np.packbits(allowed.ravel(), bitorder="little")
    # the types that FAISS ships are those of its C++ constructors
    chosen = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
    parameters = faiss.SearchParameters(sel=chosen)  # type: ignore[call-arg]
    cosines, cells = faiss_index.search(vector[None], k, params=parameters)
    _, _, cells = faiss_index.range_search(vector[None], float(cosines[0, -1]) - SLACK, params=parameters)
    return cells


def describe_hits(index: Index, cells: NDArray[np.int64], cosines: NDArray[np.float32]) -> tuple[Hit, ...]:
    """Cell ids and their cosines as hits, in the same order."""
    facts = index.query(HITS, {"cells": cells.tolist(), "width": index.manifest.cells_per_image})
    rows = {int(cell): row for row, cell in enumerate(facts["cell"])}
    hits = []
    for cell, cosine in zip(cells, cosines, strict=True):
        _, row, col = split_cell_id(int(cell), index.grid)
        path, label, foreground, predicted = (
            _plain(facts[name][rows[int(cell)]]) for name in ("path", "label", "foreground", "predicted")
        )
        hits.append(Hit(path, row, col, min(float(cosine), 1.0), label, foreground, predicted))
    return tuple(hits)


def _plain(value: Any) -> Any:
    if value is np.ma.masked or value is None:
        return None
    return value.item() if isinstance(value, np.generic) else value
