"""For every cell of some images its nearest cells in the others of them: exact, each against all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.records.watch import Silence, Watch
from auditor.store import Index

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
    width, watch = index.manifest.cells_per_image, watch or Silence()
    cells = (images[:, None] * width + np.arange(width)).ravel()
    vectors, is_out = index.vectors(cells), index.is_empty(cells)
    if left_out is not None:
        is_out |= left_out.ravel()
    kept = min(k, len(images) - 1)
    places = np.full((len(cells), k), -1, np.int64)
    cosines = np.zeros((len(cells), k), np.float32)
    watch.start("comparing images", len(images))
    for image in range(len(images)) if kept > 0 else ():
        own = slice(image * width, (image + 1) * width)
        similarity = vectors[own] @ vectors.T
        similarity[:, is_out] = -np.inf
        similarity[:, own] = -np.inf
        similarity[is_out[own]] = -np.inf
        by_image = similarity.reshape(width, len(images), width)
        nearest = by_image.argmax(axis=2)
        best = np.take_along_axis(by_image, nearest[..., None], axis=2)[..., 0]
        order = np.argsort(-best, axis=1, kind="stable")[:, :kept]
        cosine = np.take_along_axis(best, order, axis=1)
        cell = order * width + np.take_along_axis(nearest, order, axis=1)
        places[own, :kept] = np.where(np.isfinite(cosine), cell, -1)
        cosines[own, :kept] = np.where(np.isfinite(cosine), np.minimum(cosine, 1), 0)
        watch.advance(1)
    return Nearest(places, cosines)
