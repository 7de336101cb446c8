"""Cells parted into groups of like ones by k-means: small marks have a group of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.search.content import has_content, usable_images
from auditor.search.layout import READ, Axes, sample_cells
from auditor.store import Index

SAMPLE = 50_000  # cells that the groups are found on, as many of each image
GROUPS = 600
CELLS = 20  # of the sample to a group on average, at least

Cells = NDArray[np.int64]
Groups = NDArray[np.int16]
Parting = Callable[[NDArray[np.float32]], Groups]
"""The group (n,) of each unit vector (n, C)."""


def part_all(index: Index, seed: int) -> Groups:
    """Groups (n, H * W) of the cells of all usable images, the same for the same seed; -1 without content.

    The clusters of a map hold one in 500 cells at least, so that a mark in nine of 600 images is in none of
    them; here it had a group of its own with 200, 600 and 1,000 groups.
    """
    width, images = index.manifest.cells_per_image, usable_images(index)
    is_held = has_content(index, images)
    sampled = sample_cells(images, width, SAMPLE, np.random.default_rng(seed))
    sampled = sampled[is_held[np.searchsorted(images, sampled // width), sampled % width]]
    if len(sampled) < 2 * CELLS:
        raise DatasetError(f"{index.name} has {is_held.sum()} cells, too few for groups of {CELLS}")
    part, groups = _find_groups(index, sampled, GROUPS, seed), np.full(is_held.shape, -1, np.int16)
    block = max(1, READ // width)
    for here in (slice(start, start + block) for start in range(0, len(images), block)):
        groups[here][is_held[here]] = part(index.grids(images[here])[is_held[here]])
    return groups


def part_cells(index: Index, cells: Cells, sampled: Cells, most: int, seed: int) -> Groups:
    """The group (n,) of each cell: at most so many, and of `CELLS` sampled ones on average at least."""
    part = _find_groups(index, sampled, most, seed)
    starts = range(0, len(cells), READ)
    return np.concatenate([part(index.vectors(cells[start : start + READ])) for start in starts])


def _find_groups(index: Index, sampled: Cells, most: int, seed: int) -> Parting:
    """Those of the sampled cells, on the principal axes of unit vectors, by mini batches."""
    from sklearn.cluster import MiniBatchKMeans

    groups = min(most, len(sampled) // CELLS)
    if groups < 2:
        return lambda vectors: np.zeros(len(vectors), np.int16)
    vectors = index.vectors(sampled)
    axes = Axes.of(vectors)
    model = MiniBatchKMeans(
        groups, batch_size=4096, n_init=1, max_iter=30, reassignment_ratio=0, random_state=seed
    ).fit(axes.project(vectors))
    centres = model.cluster_centers_
    # |b|² - 2ab, the product of (-2b, |b|²) and (a, 1), orders centres b as |a - b|² does, and as `predict`
    factors = np.vstack([-2 * centres.T, np.einsum("ij,ij->i", centres, centres)])

    def part(vectors: NDArray[np.float32]) -> Groups:
        points = np.pad(axes.project(vectors), ((0, 0), (0, 1)), constant_values=1)
        return np.asarray((points @ factors).argmin(axis=1), dtype=np.int16)

    return part
