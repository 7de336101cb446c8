"""Clusters on the map, and what is suspicious about them: owned by one class, or kept to one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.grids import split_cell_id
from auditor.records import CellMap, ClassShare, Cluster, PredictedShare, Rate
from auditor.search.class_shares import ImageClasses, class_shares
from auditor.store import Index

EXEMPLARS = 8
LISTED = 3  # predicted classes and over-represented ones that a cluster names
LEAST = 10  # cells of a cluster, or one in 500 of the sample
DENSITY = 10  # neighbours by which HDBSCAN tells dense from sparse

SIZES = """
SELECT cluster, sum(n)::BIGINT AS cells, count(*) AS images, sum(n * (n - 1))::BIGINT AS same_image
FROM (SELECT cluster, image, count(*) AS n FROM read_parquet($map) GROUP BY ALL)
GROUP BY cluster ORDER BY cluster
"""
POSITIONS = """
SELECT cluster, sum(n * (n - 1))::BIGINT AS same_place, max(n) AS most, arg_max(cell, (n, -cell)) AS peak
FROM (SELECT cluster, cell::INTEGER AS cell, count(*) AS n FROM read_parquet($map) GROUP BY ALL)
GROUP BY cluster ORDER BY cluster
"""
FOREGROUND = """
SELECT cluster, count_if(foreground) AS hits, count(foreground) AS total
FROM read_parquet($map) places
LEFT JOIN cells ON cells.image = places.image AND cells.cell = places.cell AND variant = 0
GROUP BY cluster ORDER BY cluster
"""
PREDICTED = """
SELECT cluster, name, count(*) AS cells
FROM read_parquet($map) places
JOIN cells ON cells.image = places.image AND cells.cell = places.cell AND variant = 0
JOIN classes ON classes.id = top1
GROUP BY ALL ORDER BY cluster, cells DESC, name
"""
MEMBERS = "SELECT DISTINCT cluster, image FROM read_parquet($map) ORDER BY cluster, image"
SAMPLED = """
SELECT image, cell, x, y, cluster, sample, seed FROM read_parquet($map) WHERE is_sampled ORDER BY image, cell
"""

Columns = dict[str, NDArray[Any]]


def find_clusters(points: NDArray[np.float32]) -> NDArray[np.int64]:
    """HDBSCAN's clusters of points (n, 2): numbered from 1, the largest first; 0 belongs to none.

    On the map, not on the features: on 50 principal axes the 36 corner markers planted in the demo's scenes
    fell into one cluster with 48 other cells; 27 % of all cells belonged to none. On the map it had 5 to 9
    others, all but one of them neighbours that see the marker, and 6 to 15 % belonged to none (12 maps).
    """
    from sklearn.cluster import HDBSCAN

    least = max(LEAST, len(points) // 500)
    found = HDBSCAN(min_cluster_size=least, min_samples=DENSITY, copy=True).fit_predict(points)
    sizes = np.bincount(found[found >= 0], minlength=int(found.max()) + 1)
    numbers = np.empty(len(sizes) + 1, dtype=np.int64)
    numbers[np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    numbers[-1] = 0  # where HDBSCAN's -1 points
    return np.asarray(numbers[found], dtype=np.int64)


def describe(index: Index, path: Path) -> CellMap:
    """The stored map as a record: its clusters, most suspicious first, and the sampled cells."""
    columns = {
        name: index.query(sql, {"map": str(path)})
        for name, sql in (("sizes", SIZES), ("positions", POSITIONS), ("foreground", FOREGROUND))
    }
    sampled = index.query(SAMPLED, {"map": str(path)})
    cells = sampled["image"].astype(np.int64) * index.manifest.cells_per_image + sampled["cell"]
    members = sampled["cluster"].astype(np.int64)
    numbers = columns["sizes"]["cluster"].tolist()
    clusters = _clusters(index, path, columns, _exemplars(index, cells, members))
    total = int(columns["sizes"]["cells"].sum())
    return CellMap(
        index=index.name,
        sample=int(sampled["sample"][0]),
        seed=int(sampled["seed"][0]),
        alone=Rate(int(columns["sizes"]["cells"][numbers.index(0)]) if 0 in numbers else 0, total),
        clusters=tuple(sorted(clusters, key=lambda cluster: (-cluster.suspicion, cluster.number))),
        sampled=cells,
        points=np.stack([sampled["x"], sampled["y"]], axis=1),
        members=members,
    )


def _clusters(
    index: Index, path: Path, columns: dict[str, Columns], exemplars: dict[int, tuple[str, ...]]
) -> list[Cluster]:
    sizes, positions, foreground = columns["sizes"], columns["positions"], columns["foreground"]
    classes, predicted = _classes(index, path), _predicted(index, path, sizes)
    found = []
    for row, number in enumerate(sizes["cluster"].tolist()):
        if number == 0:
            continue
        cells = int(sizes["cells"][row])
        pairs = cells * (cells - 1) - int(sizes["same_image"][row])
        found.append(
            Cluster(
                number=number,
                cells=cells,
                images=int(sizes["images"][row]),
                exemplars=exemplars[number],
                classes=classes[number][:LISTED],
                predicted=predicted.get(number, ()),
                foreground=Rate(int(foreground["hits"][row]), int(foreground["total"][row])),
                position=position_lift(int(positions["same_place"][row]), pairs, index.grid),
                peak=divmod(int(positions["peak"][row]), index.grid[1]),
                peak_cells=int(positions["most"][row]),
            )
        )
    return found


def position_lift(same_place: int, pairs: int, grid: tuple[int, int]) -> float | None:
    """How often pairs of cells of different images share a place, over how often they would by chance.

    Two cells of one image never share one, so `same_place` and `pairs` count different images only; the
    expectation is 1 for cells spread evenly, however few they are.
    """
    return same_place / pairs * grid[0] * grid[1] if pairs else None


def _classes(index: Index, path: Path) -> dict[int, tuple[ClassShare, ...]]:
    """The classes of each cluster's images, tested over all clusters and classes together."""
    pairs = index.query(MEMBERS, {"map": str(path)})
    numbers = [number for number in np.unique(pairs["cluster"]).tolist() if number]
    groups = [pairs["image"][pairs["cluster"] == number].astype(np.int64) for number in numbers]
    return dict(zip(numbers, class_shares(ImageClasses.of(index), groups), strict=True))


def _predicted(index: Index, path: Path, sizes: Columns) -> dict[int, tuple[PredictedShare, ...]]:
    counts = index.query(PREDICTED, {"map": str(path)})
    totals = dict(zip(sizes["cluster"].tolist(), sizes["cells"].tolist(), strict=True))
    found: dict[int, tuple[PredictedShare, ...]] = {}
    for number, name, cells in zip(*(counts[key].tolist() for key in counts), strict=True):
        listed = found.get(number, ())
        found[number] = (*listed, PredictedShare(name, Rate(cells, totals[number])))[:LISTED]
    return found


def _exemplars(
    index: Index, cells: NDArray[np.int64], members: NDArray[np.int64]
) -> dict[int, tuple[str, ...]]:
    """The sampled cells nearest to each cluster's medoid, itself first, one of each image."""
    return {
        number: tuple(_name(index, cell) for cell in _central(index, cells[members == number]))
        for number in np.unique(members).tolist()
        if number
    }


def _central(index: Index, cells: NDArray[np.int64]) -> list[int]:
    vectors = index.vectors(cells)
    # of unit vectors the one with the largest mean cosine to all is the nearest to their mean
    medoid = vectors[np.argmax(vectors @ vectors.mean(axis=0))]
    ranked = cells[np.argsort(-(vectors @ medoid), kind="stable")]
    _, firsts = np.unique(ranked // index.manifest.cells_per_image, return_index=True)
    return [int(cell) for cell in ranked[np.sort(firsts)][:EXEMPLARS]]


def _name(index: Index, cell: int) -> str:
    image, row, col = split_cell_id(cell, index.grid)
    return f"{index.path_of(image)}:{row},{col}"
