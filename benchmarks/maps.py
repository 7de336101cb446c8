"""The map beside UMAP alone, in time; and UMAP beside PaCMAP, in what their maps keep.

    python benchmarks/maps.py INDEX [INDEX ...]

PaCMAP is no part of the project: `pip install pacmap` where it is to be compared.
"""

from __future__ import annotations

import itertools
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import compare, load, run
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from auditor.records.watch import Silence
from auditor.search import layout
from auditor.search.cluster import find_clusters
from auditor.search.content import has_content, usable_images
from auditor.store import Index

ALONE = """
import sys
import numpy
import umap
vectors = numpy.load(sys.argv[1])
umap.UMAP(n_neighbors=15, init="pca", random_state=int(sys.argv[2]), n_jobs=1).fit_transform(vectors)
"""
SAMPLE = 20_000
JUDGED = 4_000  # cells between which all distances are compared
NEIGHBOURS = 15


def sampled(index: Index, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The ids of the cells that a map's layout sees, and their unit vectors."""
    width, images = index.manifest.cells_per_image, usable_images(index)
    cells = (images[:, None] * width + np.arange(width))[has_content(index, images)]
    drawn = layout.sample_cells(images, width, SAMPLE, np.random.default_rng(seed))
    drawn = drawn[np.isin(drawn, cells)]
    return drawn, index.vectors(drawn)


def time_map(path: Path, goal: float, rounds: int = 3) -> None:
    """`audit map`, made anew each time, against UMAP alone on the very numbers that it is given."""
    with Index.open(path) as index:
        cells, vectors = sampled(index)
        everything = index.images * index.manifest.cells_per_image
    numbers = path.parent / f"{path.name}.npy"
    np.save(numbers, layout.Axes.of(vectors).project(vectors))
    seeds, others = itertools.count(1), itertools.count(1)
    compare(
        f"audit map, {everything:,} cells / UMAP alone on {len(cells):,}",
        lambda: run("-m", "auditor", "map", "--index", path, "--seed", str(next(seeds)), cwd=path.parent),
        lambda: run("-c", ALONE, numbers, str(next(others)), cwd=path.parent),
        goal,
        rounds,
    )


def layouts() -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """Ways to lay out numbers (n, d) in two dimensions by a seed."""
    import umap

    def alone(vectors: np.ndarray, seed: int) -> np.ndarray:
        made: Any = umap.UMAP(n_neighbors=NEIGHBOURS, init="pca", random_state=seed, n_jobs=1)
        return np.asarray(made.fit_transform(vectors))

    def ours(vectors: np.ndarray, seed: int) -> np.ndarray:
        return layout.embed(layout.Nearest(vectors), seed, Silence())

    found: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"UMAP alone": alone, "audit map": ours}
    try:
        import pacmap
    except ImportError:
        return found

    def pairs(vectors: np.ndarray, seed: int) -> np.ndarray:
        made: Any = pacmap.PaCMAP(n_components=2, random_state=seed, apply_pca=False)
        return np.asarray(made.fit_transform(vectors, init="pca"))

    return {**found, "PaCMAP": pairs}


def judge(path: Path, seed: int = 0) -> None:
    """Each layout of an index's sample, by what has no part in making it: its cells' own features and facts.

    Trustworthiness and continuity among some of the cells by their features; how often the 15 nearest on the
    map foretell a cell's predicted class, its image's label and whether it is foreground.
    """
    with Index.open(path) as index:
        cells, vectors = sampled(index, seed)
        facts = facts_of(index, cells)
    projected = layout.Axes.of(vectors).project(vectors)
    some = np.random.default_rng(0).permutation(len(cells))[:JUDGED]
    print(f"{path.name}: {len(cells):,} cells, {load()}", flush=True)
    for name, lay_out in layouts().items():
        lay_out(projected[:5_000], seed)  # compiled
        cpu = time.process_time()
        points = lay_out(projected, seed)
        cpu = time.process_time() - cpu
        scores = {
            "CPU-s": cpu,
            "trustworthiness": trustworthiness(vectors[some], points[some], n_neighbors=NEIGHBOURS),
            "continuity": trustworthiness(points[some], vectors[some], n_neighbors=NEIGHBOURS),
            "in no cluster": float((find_clusters(points.astype(np.float32)) == 0).mean()),
            **{f"{fact} by neighbours": foretell(points, known) for fact, known in facts.items()},
        }
        print(f"  {name:<12}" + ", ".join(f"{key} {value:.3f}" for key, value in scores.items()), flush=True)


def facts_of(index: Index, cells: np.ndarray) -> dict[str, np.ndarray]:
    """What is known of each cell beside its feature, those facts that vary."""
    rows = index.query(
        "SELECT top1, label, cells.foreground::INTEGER AS foreground "
        "FROM (SELECT unnest($ids::BIGINT[]) AS asked) "
        "JOIN images ON images.id = asked // $width JOIN cells ON cells.image = images.id "
        "AND cells.cell = asked % $width AND variant = 0 ORDER BY asked",
        {"ids": cells.tolist(), "width": index.manifest.cells_per_image},
    )
    known = {name: np.ma.filled(np.ma.asarray(column), -1) for name, column in rows.items()}
    return {name: column for name, column in known.items() if len(np.unique(column)) > 1}


def foretell(points: np.ndarray, known: np.ndarray) -> float:
    """How often a cell's fact is that of most of its neighbours on the map, every tenth cell held out."""
    held = np.arange(len(points)) % 10 == 0
    rule = KNeighborsClassifier(NEIGHBOURS).fit(points[~held], known[~held])
    return float(rule.score(points[held], known[held]))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for chosen in sys.argv[1:]:
        judge(Path(chosen))
