"""All cells of an index laid out in two dimensions (Figure 10, A.8).

PCA, then UMAP on a sample with an equal share of every image; the other cells are placed by their nearest
sampled neighbours, since UMAP itself needs too long for 100,000 cells and too much memory for a million.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

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
    projected = axes.project(vectors)
    points = embed(projected, seed, watch)
    watch.start("clusters", 1)
    placing = Placing(projected, points, find_clusters(points))
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
        centred = (vectors - centre).astype(np.float64)
        _, axes = np.linalg.eigh(centred.T @ centred)
        return cls(centre, axes[:, ::-1][:, :COMPONENTS].astype(np.float32))

    def project(self, vectors: Points) -> Points:
        """Vectors (n, C) on the axes (n, d)."""
        return np.ascontiguousarray((vectors - self.centre) @ self.axes, dtype=np.float32)


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


def embed(vectors: Points, seed: int, watch: Watch) -> Points:
    """UMAP (n, 2) of vectors (n, d), the same for the same seed."""
    watch.start("UMAP, loading it and finding neighbours", 1)
    with warnings.catch_warnings():
        # said on import where TensorFlow, which only its parametric variant needs, is not installed
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        import umap
    reducer = umap.UMAP(
        n_neighbors=NEIGHBOURS,
        init="pca",  # a spectral start fails, with a warning, where the neighbours' graph falls apart
        random_state=seed,
        n_jobs=1,  # several would not give the same map twice
        tqdm_kwds={"disable": False, "file": _Epochs(watch), "bar_format": "{n}/{total}", "mininterval": 0.2},
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


def _blocks(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


class Placing:
    """Places vectors by the sampled ones that are nearest to them, the nearer the heavier."""

    def __init__(self, vectors: Points, points: Points, clusters: NDArray[np.int64]) -> None:
        import faiss

        self._index = faiss.IndexFlatL2(vectors.shape[1])
        self._index.add(vectors)
        self.points, self.clusters = points, clusters

    def place(self, vectors: Points) -> tuple[Points, NDArray[np.int64]]:
        """Their weighted mean point and their weightiest cluster; weights are 1 / distance."""
        squared, near = self._index.search(vectors, min(PLACED_BY, len(self.points)))
        weights = 1 / np.maximum(np.sqrt(np.maximum(squared, 0)), 1e-6)
        weights /= weights.sum(axis=1, keepdims=True)
        clusters = self.clusters[near]
        votes = (weights[:, None, :] * (clusters[:, :, None] == clusters[:, None, :])).sum(axis=2)
        winners = np.take_along_axis(clusters, votes.argmax(axis=1)[:, None], axis=1)[:, 0]
        return np.einsum("nk,nkd->nd", weights, self.points[near]).astype(np.float32), winners
