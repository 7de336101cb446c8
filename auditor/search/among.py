"""For every cell of some images its nearest cells in the others of them: exact, for what a page carries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditor.store import Index

WORK = 2e11  # multiplications that a page may wait for: some seconds on two cores


def most_images(index: Index) -> int:
    """How many images can be compared cell by cell within `WORK`."""
    return int((WORK / index.manifest.dim) ** 0.5 / index.manifest.cells_per_image)


def nearest_among(
    index: Index, images: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Places (n, H * W, k) in the images' cells laid end to end, and cosines, best first.

    Of every other image the one most similar cell can be listed, as in `audit similar`. Place -1 where there
    are fewer, and for cells without content, which are similar to nothing.
    """
    width = index.manifest.cells_per_image
    cells = (images[:, None] * width + np.arange(width)).ravel()
    vectors, is_empty = index.vectors(cells), index.is_empty(cells)
    kept = min(k, len(images) - 1)
    places = np.full((len(images), width, k), -1, np.int64)
    cosines = np.zeros((len(images), width, k), np.float32)
    for image in range(len(images)) if kept > 0 else ():
        own = slice(image * width, (image + 1) * width)
        similarity = vectors[own] @ vectors.T
        similarity[:, is_empty] = -np.inf
        similarity[:, own] = -np.inf
        similarity[is_empty[own]] = -np.inf
        by_image = similarity.reshape(width, len(images), width)
        nearest = by_image.argmax(axis=2)
        best = np.take_along_axis(by_image, nearest[..., None], axis=2)[..., 0]
        order = np.argsort(-best, axis=1, kind="stable")[:, :kept]
        cosine = np.take_along_axis(best, order, axis=1)
        cell = order * width + np.take_along_axis(nearest, order, axis=1)
        places[image, :, :kept] = np.where(np.isfinite(cosine), cell, -1)
        cosines[image, :, :kept] = np.where(np.isfinite(cosine), np.minimum(cosine, 1), 0)
    return places, cosines
