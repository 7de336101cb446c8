"""Images that show the same: as a whole, or by cells that are each other's nearest and lie alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditor.search.among import Nearest
from auditor.store.index import unit

PICTURE = 0.6
"""Of their distance to the median image: nearly the same pictures are not farther apart. Of photos that were
cropped by up to 6 %, halved and saved again none was above 0.57, of others none below 0.72 (two networks)."""

Numbers = NDArray[np.int64]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


def compare_whole(vectors: Floats) -> Floats:
    """Cosines (m, m) of images (m, H * W, C) as a whole: all their cells laid end to end.

    Pooled vectors do not tell copies from others: 0.42 of the distance to the median image was a copy, 0.24
    were others.
    """
    grids = unit(vectors.reshape(len(vectors), -1))
    return np.asarray(grids @ grids.T, dtype=np.float32)


def _are_close(whole: Floats) -> NDArray[np.bool_]:
    """Which images (m, m) are much nearer to each other than to the median image, either of them."""
    others = np.where(np.eye(len(whole), dtype=np.bool_), np.nan, whole)
    typical = np.nanmedian(others, axis=1)
    return np.asarray(1 - whole <= PICTURE * (1 - (typical[:, None] + typical) / 2), dtype=np.bool_)


def same_pictures(vectors: Floats, whole: Floats, is_file: Flags, grid: tuple[int, int]) -> Numbers:
    """Pairs (p, 2) of images (m, H * W, C) that are nearly the same, but not the same file."""
    close = np.argwhere(np.triu(_are_close(whole) & ~is_file, 1)).tolist()
    pairs = [(a, b) for a, b in close if _lie_alike(vectors[a], vectors[b], grid)]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _lie_alike(a: Floats, b: Floats, grid: tuple[int, int]) -> bool:
    """Whether half the cells of one image (H * W, C) have their nearest in the other beside the same place.

    Two plain grounds are close to each other too, but any cell of one is like any of the other.
    """
    place, other = np.arange(len(a)), (a @ b.T).argmax(axis=1)
    down, across = (
        np.abs(x - y) for x, y in zip(np.divmod(place, grid[1]), np.divmod(other, grid[1]), strict=True)
    )
    return bool(np.mean((down <= 1) & (across <= 1)) >= 0.5)


def of_one_shift(cells: Numbers, grid: tuple[int, int]) -> Numbers:
    """The most pairs of cells (p, 2) whose shifts from image to image are within a cell of one of them."""
    down, across = np.divmod(cells % (grid[0] * grid[1]), grid[1])
    shifts = np.stack([np.diff(down, axis=1), np.diff(across, axis=1)], axis=2)[:, 0]
    agree = (np.abs(shifts[:, None] - shifts) <= 1).all(axis=2)
    return np.asarray(cells[agree[agree.sum(axis=1).argmax()]], dtype=np.int64)


def corresponding(nearest: Nearest, splits: Numbers, width: int) -> Numbers:
    """Pairs (p, 2) of cells that are each other's nearest across splits.

    One neighbour after another: most cells have one of another split among their first.
    """
    rows = left = np.arange(len(nearest.places))
    found = np.full(len(rows), -1, np.int64)
    for near in nearest.places.T:
        across = (near[left] >= 0) & (splits[near[left] // width] != splits[left // width])
        found[left[across]] = near[left[across]]
        left = left[~across]
    is_pair = (found > rows) & (found[found] == rows)
    return np.stack([rows[is_pair], found[is_pair]], axis=1)
