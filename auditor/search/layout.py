"""All cells of an index laid out in two dimensions (Figure 10, A.8).

PCA, then UMAP on a sample with an equal share of every image; the other cells are placed by their nearest
sampled neighbours, since UMAP itself needs too long for 100,000 cells and too much memory for a million.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.records.watch import Watch
from auditor.search.cluster import find_clusters
from auditor.search.content import has_content, usable_images
from auditor.store import Index

COMPONENTS = 50
NEIGHBOURS = 15  # of UMAP
PLACED_BY = 5  # sampled neighbours that place a cell
BLOCK = 10_000  # cells placed at a time
READ = 2_000  # and read
COMPARED = 200  # and compared with all that are sampled, which fits into a cache
RUNS = 1_000  # of sampled cells, among which the nearest are sought

Points = NDArray[np.float32]


def lay_out(index: Index, sample: int, seed: int, watch: Watch) -> dict[str, NDArray[np.generic]]:
    """Coordinates and cluster of every usable cell that has content, as the columns of map.parquet."""
    width, images = index.manifest.cells_per_image, usable_images(index)
    cells = (images[:, None] * width + np.arange(width))[has_content(index, images)]
    sampled = sample_cells(images, width, sample, np.random.default_rng(seed))
    sampled = sampled[np.isin(sampled, cells)]
    if len(sampled) <= NEIGHBOURS:
        raise DatasetError(
            f"{index.name} has {len(cells)} cells, too few for a map: it needs {NEIGHBOURS + 1}"
        )
    vectors = _read(index, sampled, watch)
    watch.start("principal axes", 1)
    axes = Axes.of(vectors)
    nearest = Nearest(axes.project(vectors))
    points = embed(nearest, seed, watch)
    watch.start("clusters", 1)
    placing = Placing(nearest, points, find_clusters(points))
    watch.advance(1)
    placed, clusters = _place_all(index, axes, cells, sampled, placing, watch)
    return {
        "image": cells // width,
        "cell": cells % width,
        "x": placed[:, 0],
        "y": placed[:, 1],
        "cluster": clusters,
        "is_sampled": np.isin(cells, sampled),
        "sample": np.full(len(cells), sample),
        "seed": np.full(len(cells), seed),
    }


def sample_cells(
    images: NDArray[np.int64], width: int, sample: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """At most `sample` cell ids in order, as many of each image as of any other, give or take one."""
    share, rest = divmod(min(sample, len(images) * width), max(len(images), 1))
    more = set(rng.choice(len(images), rest, replace=False).tolist())
    drawn = [
        image * width + rng.choice(width, share + (position in more), replace=False)
        for position, image in enumerate(images.tolist())
        if share or position in more
    ]
    return np.sort(np.concatenate([np.empty(0, np.int64), *drawn]))


@dataclass(frozen=True, slots=True)
class Axes:
    """The principal axes (C, d) of vectors around their centre (C,)."""

    centre: NDArray[np.float32]
    axes: NDArray[np.float32]

    @classmethod
    def of(cls, vectors: Points) -> Axes:
        """At most `COMPONENTS` of them, the most spread first."""
        centre = vectors.mean(axis=0)
        centred = (vectors - centre).astype(np.float64)  # else rounding would decide what the map looks like
        _, axes = np.linalg.eigh(centred.T @ centred)
        return cls(centre, np.ascontiguousarray(axes[:, ::-1][:, :COMPONENTS], dtype=np.float32))

    def project(self, vectors: Points) -> Points:
        """Vectors (n, C) on the axes (n, d)."""
        return np.asarray(vectors @ self.axes - self.centre @ self.axes, dtype=np.float32)


class Nearest:
    """The sampled cells on the axes (n, d), and which of them are nearest to any cell: all are compared.

    UMAP alone looks for neighbours step by step (NN-descent), misses some, and compiles itself for it; to
    compare 20,000 cells with one another takes two seconds. The others are placed by the same comparison.
    """

    def __init__(self, vectors: Points) -> None:
        self.vectors = vectors
        self._in_run = max(len(vectors) // RUNS, 1)
        self._runs = -(-len(vectors) // self._in_run)
        missing = self._runs * self._in_run - len(vectors)
        # |b|² - 2ab, which orders cells b as |a - b|² does, is a product of (a, 1) and (-2b, |b|²)
        squares = np.append(np.square(vectors).sum(axis=1), np.full(missing, np.inf, np.float32))
        self._factors = np.vstack([np.pad(-2 * vectors, ((0, missing), (0, 0))).T, squares])

    def find(self, vectors: Points, count: int) -> tuple[NDArray[np.int32], Points]:
        """Of the sampled cells the `count` nearest to each vector (m, d), and their distances, (m, count)."""
        found = [self._find(block, min(count, len(self.vectors))) for block in _blocks(vectors, COMPARED)]
        near, far = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return near, far

    def _find(self, vectors: Points, count: int) -> tuple[NDArray[np.int32], Points]:
        order = np.pad(vectors, ((0, 0), (0, 1)), constant_values=1) @ self._factors
        # so many lie in as many runs at most, in those whose own nearest are the nearest; a run is every
        # `_runs`-th cell, so that its nearest is found for all runs at once
        firsts = order.reshape(len(vectors), self._in_run, self._runs).min(axis=1)
        runs = np.argpartition(firsts, count - 1, axis=1)[:, :count]
        among = (runs[:, None] + self._runs * np.arange(self._in_run)[:, None]).reshape(len(vectors), -1)
        best = np.argpartition(np.take_along_axis(order, among, 1), count - 1, axis=1)[:, :count]
        near = np.take_along_axis(among, best, 1)
        far = np.linalg.norm(self.vectors[near] - vectors[:, None], axis=2)  # without rounding: twins have 0
        ranked = np.argsort(far, axis=1, kind="stable")
        return np.take_along_axis(near, ranked, 1).astype(np.int32), np.take_along_axis(far, ranked, 1)


class _Epochs:
    """The file that UMAP's own progress bar is written to, which tells a watch of the epochs in it."""

    def __init__(self, watch: Watch) -> None:
        self._watch, self._done, self._total = watch, 0, 0

    def write(self, text: str) -> None:
        """The bar anew, as done/total."""
        done, _, total = text.strip().partition("/")
        if not total:
            return
        if not self._total:
            self._total = int(total)
            self._watch.start("UMAP, epochs", self._total)
        self._watch.advance(int(done) - self._done)
        self._done = int(done)

    def flush(self) -> None:
        """Nothing is held back."""


def embed(nearest: Nearest, seed: int, watch: Watch) -> Points:
    """UMAP (n, 2) of the sampled cells, the same for the same seed."""
    vectors = nearest.vectors
    watch.start("neighbours in the sample", len(vectors))
    found = []
    for rows in _blocks(np.arange(len(vectors)), READ):
        found.append(nearest.find(vectors[rows], NEIGHBOURS))
        watch.advance(len(rows))
    near, far = (np.concatenate(parts) for parts in zip(*found, strict=True))
    watch.start("UMAP, loading it", 1)
    with warnings.catch_warnings():
        # said on import where TensorFlow, which only its parametric variant needs, is not installed
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        # and of neighbours that were found elsewhere: it could not place further cells, which it need not
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)
        import umap

        reducer = umap.UMAP(
            n_neighbors=NEIGHBOURS,
            precomputed_knn=(near, far),
            init="pca",  # a spectral start fails, with a warning, where the neighbours' graph falls apart
            random_state=seed,
            n_jobs=1,  # several would not give the same map twice
            tqdm_kwds={
                "disable": False,
                "file": _Epochs(watch),
                "bar_format": "{n}/{total}",
                "mininterval": 0.2,
            },
        )
        return np.asarray(reducer.fit_transform(vectors), dtype=np.float32)


def _read(index: Index, cells: NDArray[np.int64], watch: Watch) -> Points:
    watch.start("reading cells", len(cells))
    vectors = np.empty((len(cells), index.manifest.dim), dtype=np.float32)
    for rows in _blocks(np.arange(len(cells)), READ):
        vectors[rows] = index.vectors(cells[rows])
        watch.advance(len(rows))
    return vectors


def _place_all(
    index: Index,
    axes: Axes,
    cells: NDArray[np.int64],
    sampled: NDArray[np.int64],
    placing: Placing,
    watch: Watch,
) -> tuple[Points, NDArray[np.int64]]:
    """Points and clusters of all cells; those of sampled cells are their own."""
    is_sampled = np.isin(cells, sampled)
    placed, members = np.empty((len(cells), 2), np.float32), np.zeros(len(cells), np.int64)
    placed[is_sampled], members[is_sampled] = placing.points, placing.clusters
    others = np.flatnonzero(~is_sampled)
    watch.start("placing the other cells", len(others))
    for block in _blocks(others, BLOCK):
        placed[block], members[block] = placing.place(axes.project(index.vectors(cells[block])))
        watch.advance(len(block))
    return placed, members


def _blocks(rows: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


class Placing:
    """Places vectors by the sampled ones that are nearest to them, the nearer the heavier."""

    def __init__(self, nearest: Nearest, points: Points, clusters: NDArray[np.int64]) -> None:
        self._nearest = nearest
        self.points, self.clusters = points, clusters

    def place(self, vectors: Points) -> tuple[Points, NDArray[np.int64]]:
        """Their weighted mean point and their weightiest cluster; weights are 1 / distance."""
        near, far = self._nearest.find(vectors, PLACED_BY)
        weights = 1 / np.maximum(far, 1e-6)
        weights /= weights.sum(axis=1, keepdims=True)
        clusters = self.clusters[near]
        votes = (weights[:, None, :] * (clusters[:, :, None] == clusters[:, None, :])).sum(axis=2)
        winners = np.take_along_axis(clusters, votes.argmax(axis=1)[:, None], axis=1)[:, 0]
        return np.einsum("nk,nkd->nd", weights, self.points[near]).astype(np.float32), winners
