"""For every cell of some images its nearest cells in the others of them: exact, for what a page carries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditor.records.watch import Watch
from auditor.store import Index

BLOCK, QUERIES = 64, 2048  # images and cells compared at a time
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


def nearest_in_others(
    index: Index, cells: NDArray[np.int64], images: NDArray[np.int64], k: int, watch: Watch
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each of these other images the most similar cell; the k best for every cell: ids and cosines (n, k).

    Exact, in one pass over the features. Equals by image; id -1 where there are fewer, and for cells without
    content.
    """
    width = index.manifest.cells_per_image
    vectors, own = index.vectors(cells), cells // width
    found = np.full((len(cells), k), -1, np.int64)
    cosines = np.full((len(cells), k), -np.inf, np.float32)
    watch.start("images", len(images))
    for block in np.split(images, range(BLOCK, len(images), BLOCK)):
        ids = (block[:, None] * width + np.arange(width)).ravel()
        others, is_empty = index.vectors(ids), index.is_empty(ids)
        for part in np.split(np.arange(len(cells)), range(QUERIES, len(cells), QUERIES)):
            similarity = vectors[part] @ others.T
            similarity[:, is_empty] = -np.inf
            by_image = similarity.reshape(len(part), len(block), width)
            by_image[own[part][:, None] == block] = -np.inf
            place = by_image.argmax(axis=2)
            best = np.take_along_axis(by_image, place[..., None], axis=2)[..., 0]
            every = np.concatenate([cosines[part], best], axis=1)
            every_id = np.concatenate([found[part], block * width + place], axis=1)
            order = np.argsort(-every, axis=1, kind="stable")[:, :k]
            cosines[part] = np.take_along_axis(every, order, axis=1)
            found[part] = np.take_along_axis(every_id, order, axis=1)
        watch.advance(len(block))
    has_none = ~np.isfinite(cosines) | index.is_empty(cells)[:, None]
    return np.where(has_none, -1, found), np.where(has_none, 0, cosines)
