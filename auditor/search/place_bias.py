"""Do cells know where they are? How often the nearest cell of another image stands at the same place.

Photographs have a layout of their own, sky above and objects in the middle, so 1 of H * W is too low a null.
But photographs are nearly as often the other way round: what the same place is nearest beyond the mirrored
one (left and right exchanged) is the backbone's doing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.search.content import usable_images
from auditor.store import Index

IMAGES = 100  # among which nearest cells are sought
QUERIES = 1_000  # cells that ask
WORK = 2e10  # multiplications: a third of a second on two cores


@dataclass(frozen=True, slots=True)
class PlaceBias:
    """Of `queries` cells in `images` images, those whose nearest cell is at their place, or the mirrored one.

    asked, same (H, W): cells that asked from each place, and those answered from it; the middle column, which
    is its own mirror image, asks nothing.
    """

    images: int
    queries: int
    same: float
    mirrored: float
    asked_at: NDArray[np.int64]
    same_at: NDArray[np.int64]


def place_bias(index: Index, *, seed: int = 0) -> PlaceBias | None:
    """The measurement on a random part of the index; None with fewer than two images or columns."""
    rng = np.random.default_rng(seed)
    images = np.sort(rng.permutation(usable_images(index))[:IMAGES])
    height, width = index.grid
    count = height * width
    if len(images) < 2 or width < 2:
        return None
    cells = (images[:, None] * count + np.arange(count)).ravel()
    is_empty = index.is_empty(cells)
    column = np.arange(len(cells)) % width
    askers = np.flatnonzero(~is_empty & (2 * column != width - 1))
    most = min(QUERIES, max(1, int(WORK / (len(cells) * index.manifest.dim))))
    asked = np.sort(rng.permutation(askers)[:most])
    if not len(asked):
        return None
    vectors = index.vectors(cells)
    similarity = vectors[asked] @ vectors.T
    similarity[:, is_empty] = -np.inf
    owners = np.arange(len(cells)) // count
    similarity[owners[asked][:, None] == owners[None]] = -np.inf
    place, answer = asked % count, similarity.argmax(axis=1) % count
    mirror = place // width * width + width - 1 - place % width
    is_same = place == answer
    return PlaceBias(
        images=len(images),
        queries=len(asked),
        same=float(is_same.mean()),
        mirrored=float((mirror == answer).mean()),
        asked_at=np.bincount(place, minlength=count).reshape(height, width),
        same_at=np.bincount(place[is_same], minlength=count).reshape(height, width),
    )
