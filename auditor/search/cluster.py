"""Clusters on a map, and the cells that stand for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.grids import split_cell_id
from auditor.store import Index

EXEMPLARS = 8
LEAST = 10  # cells of a cluster, or one in 500 of the sample
DENSITY = 10  # neighbours by which HDBSCAN tells dense from sparse
HELD = 1 << 22  # numbers of a cluster's features

PATHS = "SELECT id, path FROM images WHERE id IN (SELECT unnest($images::INTEGER[]))"


def find_clusters(points: NDArray[np.float32]) -> NDArray[np.int64]:
    """HDBSCAN's clusters of points (n, 2): numbered from 1, the largest first; 0 belongs to none.

    On the map, not on the features: on 50 principal axes the 36 corner markers planted in the demo's scenes
    fell into one cluster with 48 other cells; 27 % of all cells belonged to none. On the map it had 5 to 9
    others, all but one of them neighbours that see the marker, and 6 to 15 % belonged to none (12 maps).
    """
    from sklearn.cluster import HDBSCAN

    least = max(LEAST, len(points) // 500)
    labels = HDBSCAN(min_cluster_size=least, min_samples=DENSITY, copy=True).fit_predict(points)
    sizes = np.bincount(labels[labels >= 0], minlength=int(labels.max()) + 1)
    numbers = np.empty(len(sizes) + 1, dtype=np.int64)
    numbers[np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    numbers[-1] = 0  # where HDBSCAN's -1 points
    return np.asarray(numbers[labels], dtype=np.int64)


def find_exemplars(
    index: Index, cells: NDArray[np.int64], members: NDArray[np.int64]
) -> dict[int, tuple[str, ...]]:
    """For each cluster the sampled cells nearest to its medoid, itself first, one of each image.

    Cells and clusters are (n,), a cluster for each cell id; exemplars are named `path:row,col`.
    """
    numbers = [number for number in np.unique(members).tolist() if number]
    central = [central_cells(index, cells[members == number]) for number in numbers]
    return dict(zip(numbers, name_cells(index, central), strict=True))


def central_cells(index: Index, cells: NDArray[np.int64]) -> list[int]:
    """Of some cells (n,) those nearest to their medoid, itself first, one of each image."""
    vectors, total = _reader(index, cells), np.zeros(index.manifest.dim, np.float32)
    for part in vectors():
        total = np.concatenate([total[None], part]).sum(axis=0)
    # of unit vectors the one with the largest mean cosine to all is the nearest to their mean
    first = np.concatenate([part @ (total / np.float32(len(cells))) for part in vectors()]).argmax()
    medoid = index.vectors(cells[[first]])[0]
    cosines = np.concatenate([part @ medoid for part in vectors()])
    ranked = cells[np.argsort(-cosines, kind="stable")]
    _, firsts = np.unique(ranked // index.manifest.cells_per_image, return_index=True)
    return [int(cell) for cell in ranked[np.sort(firsts)][:EXEMPLARS]]


def _reader(index: Index, cells: NDArray[np.int64]) -> Callable[[], Iterator[NDArray[np.float32]]]:
    """What goes over the unit vectors (m, C) of cells, some at a time; those of a few are held."""
    size = max(1, HELD // index.manifest.dim)
    if len(cells) <= size:
        held = (index.vectors(cells),)
        return lambda: iter(held)
    return lambda: (index.vectors(cells[start : start + size]) for start in range(0, len(cells), size))


def name_cells(index: Index, groups: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
    """Groups of cell ids, each cell named `path:row,col`."""
    places = [[split_cell_id(cell, index.grid) for cell in cells] for cells in groups]
    images = sorted({image for cells in places for image, _, _ in cells})
    rows = index.query(PATHS, {"images": images})
    paths = dict(zip(rows["id"].tolist(), rows["path"].tolist(), strict=True))
    return [tuple(f"{paths[image]}:{row},{col}" for image, row, col in cells) for cells in places]
