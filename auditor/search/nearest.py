"""Retrieval: cells are proposed, the stored vectors decide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auditor.grids import split_cell_id
from auditor.records import Hit
from auditor.records.watch import Silence, Watch
from auditor.search.content import has_content, usable_images
from auditor.search.proposals import SLACK, All, Proposer, proposer
from auditor.store import Index

BLOCK = 2**22  # numbers that a scan holds at a time
CACHED = 2**20  # and where it does nothing but compare them: what was read is still in a cache

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
    """(images, cells) that may be returned: with content, of images not broken, filtered or removed."""
    allowed = np.zeros((index.images, index.manifest.cells_per_image), dtype=np.bool_)
    images = usable_images(index)
    allowed[images] = has_content(index, images)
    return allowed


def nearest_cells(
    index: Index, vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_], per_image: int = 0
) -> tuple[Hit, ...]:
    """The k allowed cells of largest cosine with a unit vector (C,), best first, equals by their id.

    `allowed` (images, cells) says which cells may be returned; at most `per_image` of each image, 0 being no
    limit. Exact, unless `recall_of` says otherwise.
    """
    by = proposer(index, allowed)
    cells, cosines = find_cells(index, by, vector, k, allowed, per_image)
    if len(cells) < k and not by.is_exact:  # its lists hold no more
        cells, cosines = find_cells(index, All(index.codes), vector, k, allowed, per_image)
    return describe_hits(index, cells, cosines)


def find_cells(
    index: Index,
    by: Proposer,
    vector: NDArray[np.float32],
    k: int,
    allowed: NDArray[np.bool_],
    per_image: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Ids and cosines of the nearest cells; of lists perhaps fewer than k.

    Every cell that the proposer leaves in doubt is compared from the stored features, and more of them are
    ranked until k are within the limit.
    """
    total = int(np.count_nonzero(allowed))
    wanted = 8 * k if per_image else k  # of an image many cells are alike
    while True:
        wanted = min(wanted, total)
        proposed = by.propose(vector, wanted, allowed)
        cells, cosines = _rank(index, vector, proposed)
        if by.is_exact:  # those behind are in no order of all
            cells, cosines = cells[:wanted], cosines[:wanted]
        kept = _limit(cells // allowed.shape[1], per_image)[:k]
        if len(kept) == k or wanted == total or len(proposed) < wanted:
            return cells[kept], cosines[kept]
        wanted *= 4


def nearest_images(
    index: Index,
    vectors: NDArray[np.float32],
    weights: NDArray[np.floating],
    k: int,
    allowed: NDArray[np.bool_],
    watch: Watch | None = None,
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """The k images most like a set of unit vectors (q, C), best first, equals by their id.

    An image's score is the weighted mean of each vector's largest cosine with an allowed cell of it. Scores
    (k,) and those cells (k, q). One vector finds what `nearest_cells` finds with one cell of each image.
    """
    images, shares = np.flatnonzero(allowed.any(axis=1)), weights / np.sum(weights)
    if len(images) > k:  # by features as they are stored, of almost unit length: which may be among the best
        stored = scan(index, images, watch, len(vectors), is_unit=False)
        scores = np.empty(len(images))
        for part, cosines in _compare(stored, vectors, images, allowed):
            scores[part] = _largest(cosines) @ shares
        images = images[scores >= np.partition(scores, -k)[-k] - 2 * SLACK]
    best = np.empty((len(images), len(vectors)), np.float32)
    cells = np.empty((len(images), len(vectors)), np.int64)
    whole = scan(index, images, wide=len(vectors))
    for part, cosines in _compare(whole, vectors, images, allowed):
        best[part], cells[part] = _largest(cosines), cosines.argmax(axis=1)
    scores = np.minimum(best, 1) @ shares
    order = np.lexsort((images, -scores))[:k]
    return scores[order], images[order, None] * allowed.shape[1] + cells[order]


def _compare(
    scanned: Iterator[tuple[slice, NDArray[np.float32]]],
    vectors: NDArray[np.float32],
    images: NDArray[np.int64],
    allowed: NDArray[np.bool_],
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Some images at a time, and the cosines (m, N, q) of their allowed cells with each vector."""
    for part, features in scanned:
        cosines = (features @ vectors.T).reshape(-1, allowed.shape[1], len(vectors))
        cosines[~allowed[images[part]]] = -np.inf
        yield part, cosines


def _largest(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest (m, q) of the cells (m, N, q), by halves.

    NumPy compares q numbers at once where it goes along the middle axis, which takes four times as long.
    """
    while (count := cosines.shape[1]) > 1:
        half = count // 2
        larger = np.maximum(cosines[:, :half], cosines[:, half : 2 * half])
        if count % 2:
            np.maximum(larger[:, 0], cosines[:, -1], out=larger[:, 0])
        cosines = larger
    return cosines[:, 0]


def scan(
    index: Index,
    images: NDArray[np.int64],
    watch: Watch | None = None,
    wide: int = 0,
    stage: str = "comparing images",
    is_unit: bool = True,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The unit vectors (m * H * W, C) of all cells of images (n,), some images at a time, and their places.

    `wide` is how many numbers the caller makes of each cell, where they are more than its features. Without
    `is_unit` they are as they are stored, which takes less time.
    """
    width, watch = index.manifest.cells_per_image, watch or Silence()
    block = max(1, (BLOCK if is_unit else CACHED) // (width * max(wide, index.manifest.dim)))
    watch.start(stage, len(images))
    for start in range(0, len(images), block):
        chosen = images[start : start + block]
        features = index.grids(chosen) if is_unit else index.stored(chosen)
        yield slice(start, start + block), features.reshape(-1, index.manifest.dim)
        watch.advance(len(chosen))


def _rank(
    index: Index, vector: NDArray[np.float32], cells: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The cells in their order, and their cosines."""
    cosines = index.vectors(cells) @ vector
    order = np.lexsort((cells, -cosines))
    return cells[order], cosines[order]


def _limit(images: NDArray[np.int64], per_image: int) -> NDArray[np.int64]:
    """The places (m,) in a ranking of images (n,) that are among the first `per_image` of their image."""
    if not per_image:
        return np.arange(len(images))
    order = np.argsort(images, kind="stable")
    _, firsts, sizes = np.unique(images[order], return_index=True, return_counts=True)
    place = np.empty(len(images), dtype=np.int64)
    place[order] = np.arange(len(images)) - np.repeat(firsts, sizes)
    return np.flatnonzero(place < per_image)


def describe_hits(index: Index, cells: NDArray[np.int64], cosines: NDArray[np.float32]) -> tuple[Hit, ...]:
    """Cell ids and their cosines as hits, in the same order."""
    facts = index.rows(HITS, {"cells": cells.tolist(), "width": index.manifest.cells_per_image})
    known_of = {cell: known for cell, *known in facts}
    hits = []
    for cell, cosine in zip(cells.tolist(), cosines.tolist(), strict=True):
        _, row, col = split_cell_id(cell, index.grid)
        path, *known = known_of[cell]
        hits.append(Hit(path, row, col, min(cosine, 1.0), *known))
    return tuple(hits)
