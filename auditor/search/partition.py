"""Cells parted into groups of like ones by k-means: small marks have a group of their own."""

from __future__ import annotations

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


def part_all(index: Index, seed: int) -> tuple[Cells, Cells]:
    """Ids and groups (n,) of all usable cells that have content, the same for the same seed.

    The clusters of a map hold one in 500 cells at least, so that a mark in nine of 600 images is in none of
    them; here it had a group of its own with 200, 600 and 1,000 groups.
    """
    width, images = index.manifest.cells_per_image, usable_images(index)
    cells = (images[:, None] * width + np.arange(width))[has_content(index, images)]
    sampled = sample_cells(images, width, SAMPLE, np.random.default_rng(seed))
    sampled = sampled[np.isin(sampled, cells)]
    if len(sampled) < 2 * CELLS:
        raise DatasetError(f"{index.name} has {len(cells)} cells, too few for groups of {CELLS}")
    return cells, part_cells(index, cells, sampled, GROUPS, seed)


def part_cells(index: Index, cells: Cells, sampled: Cells, most: int, seed: int) -> Cells:
    """The group (n,) of each cell: at most so many, and of `CELLS` sampled ones on average at least.

    On the principal axes of unit vectors, by mini batches.
    """
    from sklearn.cluster import MiniBatchKMeans

    groups = min(most, len(sampled) // CELLS)
    if groups < 2:
        return np.zeros(len(cells), np.int64)
    vectors = index.vectors(sampled)
    axes = Axes.of(vectors)
    model = MiniBatchKMeans(
        groups, batch_size=4096, n_init=1, max_iter=30, reassignment_ratio=0, random_state=seed
    ).fit(axes.project(vectors))
    parts = [
        model.predict(axes.project(index.vectors(cells[start : start + READ])))
        for start in range(0, len(cells), READ)
    ]
    return np.concatenate(parts).astype(np.int64)
