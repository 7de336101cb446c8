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
    return Nearest(np.where(found < 0, -1, place[found // width] * width + found % width), cosines)


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
        for part in np.split(np.arange(len(cells)), range(QUERIES, len(cells), QUERIES)):
            is_own = own[part][:, None] == block
            best, place = _best_of(vectors[part] @ others.T, is_out[block].ravel(), is_own)
            every = np.concatenate([cosines[part], best], axis=1)
            every_id = np.concatenate([found[part], block * width + place], axis=1)
            order = np.argsort(-every, axis=1, kind="stable")[:, :k]
            cosines[part] = np.take_along_axis(every, order, axis=1)
            found[part] = np.take_along_axis(every_id, order, axis=1)
    has_none = ~np.isfinite(cosines) | is_out.ravel()[cells, None]
    return np.where(has_none, -1, found), np.where(has_none, 0, np.minimum(cosines, 1))


def _best_of(
    similarity: NDArray[np.float32], is_out: NDArray[np.bool_], is_own: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The largest of each image and its place, (q, m), among cosines with all cells (q, m * H * W).

    In a function of its own, so that one block of cosines is gone before the next is made.
    """
    similarity[:, is_out] = -np.inf
    by_image = similarity.reshape(*is_own.shape, -1)
    by_image[is_own] = -np.inf
    place = by_image.argmax(axis=2)
    return np.take_along_axis(by_image, place[..., None], axis=2)[..., 0], place
