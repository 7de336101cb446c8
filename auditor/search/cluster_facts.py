"""What a stored map says of its clusters, counted in DuckDB: their cells, images, places and predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.records import Rate
from auditor.store import Index, query_map

SIZES = """
SELECT cluster, sum(n)::BIGINT AS cells, count(*) AS images, sum(n * (n - 1))::BIGINT AS same_image
FROM (SELECT cluster, image, count(*) AS n FROM places GROUP BY ALL)
GROUP BY cluster ORDER BY cluster
"""
POSITIONS = """
SELECT cluster, sum(n * (n - 1))::BIGINT AS same_place, max(n) AS most, arg_max(cell, (n, -cell)) AS peak
FROM (SELECT cluster, cell::INTEGER AS cell, count(*) AS n FROM places GROUP BY ALL)
GROUP BY cluster ORDER BY cluster
"""
FOREGROUND = """
SELECT cluster, count(*) FILTER (foreground) AS hits, count(foreground) AS total
FROM places
LEFT JOIN cells ON cells.image = places.image AND cells.cell = places.cell AND variant = 0
GROUP BY cluster ORDER BY cluster
"""
PREDICTED = """
SELECT cluster, name, count(*) AS cells
FROM places
JOIN cells ON cells.image = places.image AND cells.cell = places.cell AND variant = 0
JOIN classes ON classes.id = top1
GROUP BY ALL ORDER BY cluster, cells DESC, name
"""
MEMBERS = "SELECT DISTINCT cluster, image FROM places ORDER BY cluster, image"
SAMPLED = """
SELECT image, cell, x, y, cluster, sample, seed FROM places WHERE is_sampled ORDER BY image, cell
"""


@dataclass(frozen=True, slots=True)
class ClusterCounts:
    """One cluster counted; number 0 are the cells of none.

    `pairs` are the ordered pairs of its cells that lie in different images, `same_place` those of them that
    share a place in the grid; `peak` is the place (row, column) that most of its cells have, `peak_cells`.
    """

    number: int
    cells: int
    images: int
    pairs: int
    same_place: int
    peak: tuple[int, int]
    peak_cells: int
    foreground: Rate

    def position_lift(self, grid: tuple[int, int]) -> float | None:
        """How much more often its cells share a place than by chance."""
        return position_lift(self.same_place, self.pairs, grid)


def count_clusters(index: Index, path: Path) -> tuple[ClusterCounts, ...]:
    """Every cluster of a stored map by its number."""
    sizes, positions, foreground = (query_map(index, path, sql) for sql in _COUNTED)
    return tuple(
        ClusterCounts(
            number=number,
            cells=cells,
            images=images,
            pairs=cells * (cells - 1) - same_image,
            same_place=int(positions["same_place"][row]),
            peak=divmod(int(positions["peak"][row]), index.grid[1]),
            peak_cells=int(positions["most"][row]),
            foreground=Rate(int(foreground["hits"][row]), int(foreground["total"][row])),
        )
        for row, (number, cells, images, same_image) in enumerate(
            zip(*(sizes[name].tolist() for name in ("cluster", "cells", "images", "same_image")), strict=True)
        )
    )


_COUNTED = (SIZES, POSITIONS, FOREGROUND)


def position_lift(same_place: int, pairs: int, grid: tuple[int, int]) -> float | None:
    """How often pairs of cells of different images share a place, over how often they would by chance.

    Two cells of one image never share one, so `same_place` and `pairs` count different images only; the
    expectation is 1 for cells spread evenly, however few they are.
    """
    return same_place / pairs * grid[0] * grid[1] if pairs else None


def count_predictions(index: Index, path: Path) -> dict[int, list[tuple[str, int]]]:
    """The classes that each cluster's cells are predicted as and how many cells, the commonest first."""
    counts = query_map(index, path, PREDICTED)
    predicted: dict[int, list[tuple[str, int]]] = {}
    for number, name, cells in zip(*(counts[key].tolist() for key in counts), strict=True):
        predicted.setdefault(number, []).append((name, cells))
    return predicted


def images_of_clusters(index: Index, path: Path) -> dict[int, NDArray[np.int64]]:
    """The ids of the images in which each cluster has cells; those of no cluster are left out."""
    pairs = query_map(index, path, MEMBERS)
    numbers = [number for number in np.unique(pairs["cluster"]).tolist() if number]
    return {number: pairs["image"][pairs["cluster"] == number].astype(np.int64) for number in numbers}


def sampled_cells(index: Index, path: Path) -> dict[str, NDArray[Any]]:
    """The cells that UMAP saw as columns: image, cell, x, y, cluster, and the sample and seed asked for."""
    return query_map(index, path, SAMPLED)
