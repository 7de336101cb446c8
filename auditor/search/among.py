"""For every cell of some images its nearest cells in the others of them: exact, each against all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.records.watch import Silence, Watch
from auditor.search.content import has_content
from auditor.search.nearest import scan
from auditor.store import Index

QUERIES = 2048  # cells compared at a time
WORK = 2e11  # multiplications that a page may wait for: some seconds on two cores


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest cells of every cell, one of each other image, best first, in images laid end to end.

    places (n * H * W, k) and cosines; place -1 where there are fewer, and for cells that are left out.
    """

    places: NDArray[np.int64]
    cosines: NDArray[np.float32]


def most_images(index: Index, work: float = WORK) -> int:
    """How many images can be compared cell by cell within so many multiplications."""
    return int((work / index.manifest.dim) ** 0.5 / index.manifest.cells_per_image)


def nearest_among(
    index: Index,
    images: NDArray[np.int64],
    k: int,
    left_out: NDArray[np.bool_] | None = None,
    watch: Watch | None = None,
) -> Nearest:
    """Each cell's nearest in the k nearest other images, as `audit similar` lists them.

    Cells without content are similar to nothing, and so are those that are `left_out` (n, H * W).
    """
    width = index.manifest.cells_per_image
    cells = (images[:, None] * width + np.arange(width)).ravel()
    found, cosines = nearest_in_others(index, cells, images, k, watch or Silence(), left_out)
    place = np.zeros(index.images, np.int64)
    place[images] = np.arange(len(images))
    for start in range(0, len(found), QUERIES):  # in its place, since it may be most of what is held
        some = found[start : start + QUERIES]
        some[...] = np.where(some < 0, -1, place[some // width] * width + some % width)
    return Nearest(found, cosines)


def nearest_in_others(
    index: Index,
    cells: NDArray[np.int64],
    images: NDArray[np.int64],
    k: int,
    watch: Watch,
    left_out: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each of these other images the most similar cell; the k best for every cell: ids and cosines (n, k).

    Exact, in one pass over the features. Equals by image; id -1 where there are fewer, and for cells without
    content. `left_out` (n, H * W) says which cells of the images are similar to nothing as well.
    """
    width = index.manifest.cells_per_image
    vectors, own = index.vectors(cells), cells // width
    is_out = ~has_content(index, np.arange(index.images))
    if left_out is not None:
        is_out[images] |= left_out
    found = np.full((len(cells), k), -1, np.int64)
    cosines = np.full((len(cells), k), -np.inf, np.float32)
    for chosen, others in scan(index, images, watch, wide=QUERIES):
        block = images[chosen]
        for part in (slice(start, start + QUERIES) for start in range(0, len(cells), QUERIES)):
            is_own = own[part][:, None] == block
            _merge(found[part], cosines[part], vectors[part] @ others.T, block, is_out[block].ravel(), is_own)
    has_none = ~np.isfinite(cosines) | is_out.ravel()[cells, None]
    found[has_none] = -1
    np.minimum(cosines, 1, out=cosines)
    cosines[has_none] = 0
    return found, cosines


def _merge(
    found: NDArray[np.int64],
    cosines: NDArray[np.float32],
    similarity: NDArray[np.float32],
    block: NDArray[np.int64],
    is_out: NDArray[np.bool_],
    is_own: NDArray[np.bool_],
) -> None:
    """Put each image's best among the best so far, (q, k), from cosines with all cells (q, m * H * W).

    Few images beat the last of those, so that only they are sorted, and looked through for their cell.
    """
    width = similarity.shape[1] // len(block)
    if is_out.any():
        similarity[:, is_out] = -np.inf
    best = np.maximum.reduceat(similarity, np.arange(0, similarity.shape[1], width), axis=1)
    best[is_own] = -np.inf
    query, image = np.nonzero(best > cosines[:, -1:])
    if not len(query):
        return
    place = similarity.reshape(*best.shape, width)[query, image].argmax(axis=1)
    rows, firsts, counts = np.unique(query, return_index=True, return_counts=True)
    row, column = np.repeat(np.arange(len(rows)), counts), np.arange(len(query)) - np.repeat(firsts, counts)
    more = int(counts.max())
    every = np.pad(cosines[rows], ((0, 0), (0, more)), constant_values=-np.inf)
    every_id = np.pad(found[rows], ((0, 0), (0, more)), constant_values=-1)
    every[row, cosines.shape[1] + column] = best[query, image]
    every_id[row, cosines.shape[1] + column] = block[image] * width + place
    order = np.argsort(-every, axis=1, kind="stable")[:, : cosines.shape[1]]
    cosines[rows] = np.take_along_axis(every, order, axis=1)
    found[rows] = np.take_along_axis(every_id, order, axis=1)
