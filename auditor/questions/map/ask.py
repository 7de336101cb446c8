"""The map of an index and its clusters, most suspicious first: owned by one class, or kept to one place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from auditor.errors import DatasetError
from auditor.measure.rates import wilson
from auditor.questions.map.record import CellMap, Cluster, MapCell, PredictedShare
from auditor.records import ClassShare, Rate
from auditor.records.watch import Silence, Watch
from auditor.report.findings import Finding
from auditor.report.text import interval
from auditor.report.wish import Answer, Wish
from auditor.search.class_shares import ImageClasses, class_shares
from auditor.search.cluster import find_exemplars
from auditor.search.cluster_facts import (
    ClusterCounts,
    count_clusters,
    count_predictions,
    images_of_clusters,
    sampled_cells,
)
from auditor.search.content import has_content, usable_images
from auditor.store import Index, find_map, made_with, query_map, save_map, stored_map

CELLS = """
SELECT path, (places.cell // $width)::INTEGER, (places.cell % $width)::INTEGER, x::DOUBLE, y::DOUBLE, cluster,
  is_sampled, coalesce(own.name, true_name), predicted.name, top5_p[1]::DOUBLE, cells.foreground
FROM places JOIN images ON images.id = places.image
LEFT JOIN cells ON cells.image = places.image AND cells.cell = places.cell AND variant = 0
LEFT JOIN classes own ON own.id = images.label LEFT JOIN classes predicted ON predicted.id = cells.top1
ORDER BY places.image, places.cell
"""
"""The columns of `MapCell`, in their order."""

KEPT = 8.0  # times as often in one place as by chance: cells beside objects reach 5, planted marks 9 to 47
ON_OBJECTS = 0.2  # of the cells of a mark that nobody labelled may touch an annotated object
FOUND = 0.3  # of the class's images more than of others, at least
SHOWN = 3  # exemplars that show a mark
NAMED = 3  # predicted classes and over-represented ones that a cluster names


def map_(index: Index, *, sample: int = 20_000, seed: int = 0, watch: Watch | None = None) -> CellMap:
    """The stored map, made first where there is none of this sample and seed."""
    path = find_map(index, sample, seed)
    if path is None or _holds_empty_cells(index, path):
        from auditor.search.layout import lay_out

        path = save_map(index, lay_out(index, sample, seed, watch or Silence()))
    return describe(index, path)


def _holds_empty_cells(index: Index, path: Path) -> bool:
    """Whether the map is of the days when cells without content lay on it too, in a heap of their own."""
    images = usable_images(index)
    cells = query_map(index, path, "SELECT count(*) AS n FROM places")["n"][0]
    return int(cells) > int(has_content(index, images).sum())


def describe(index: Index, path: Path) -> CellMap:
    """The stored map as a record: its clusters, most suspicious first, and the sampled cells."""
    counts, sampled = count_clusters(index, path), sampled_cells(index, path)
    cells = sampled["image"].astype(np.int64) * index.manifest.cells_per_image + sampled["cell"]
    members = sampled["cluster"].astype(np.int64)
    clusters = _clusters(index, path, counts, find_exemplars(index, cells, members))
    placed = sum(each.cells for each in counts)
    return CellMap(
        index=index.name,
        sample=int(sampled["sample"][0]),
        seed=int(sampled["seed"][0]),
        alone=Rate(sum(each.cells for each in counts if not each.number), placed),
        clusters=tuple(sorted(clusters, key=rank_cluster)),
        sampled=cells,
        points=np.stack([sampled["x"], sampled["y"]], axis=1),
        members=members,
        empty=len(usable_images(index)) * index.manifest.cells_per_image - placed,
    )


def rank_cluster(cluster: Cluster) -> tuple[bool, float, int]:
    """Clusters of one image last: however odd it is, it says nothing of the dataset."""
    return cluster.images == 1, -cluster.suspicion, cluster.number


def _clusters(
    index: Index, path: Path, counts: tuple[ClusterCounts, ...], exemplars: dict[int, tuple[str, ...]]
) -> list[Cluster]:
    classes, predicted = _over_represented(index, path), count_predictions(index, path)
    return [
        Cluster(
            number=each.number,
            cells=each.cells,
            images=each.images,
            exemplars=exemplars[each.number],
            classes=classes[each.number][:NAMED],
            predicted=tuple(
                PredictedShare(name, Rate(cells, each.cells))
                for name, cells in predicted.get(each.number, [])[:NAMED]
            ),
            foreground=each.foreground,
            position=each.position_lift(index.grid),
            peak=each.peak,
            peak_cells=each.peak_cells,
        )
        for each in counts
        if each.number
    ]


def _over_represented(index: Index, path: Path) -> dict[int, tuple[ClassShare, ...]]:
    """The classes of each cluster's images, tested over all clusters and classes together."""
    images = images_of_clusters(index, path)
    shares = class_shares(ImageClasses.of(index), list(images.values()))
    return dict(zip(images, shares, strict=True))


def map_cells(index: Index) -> tuple[MapCell, ...]:
    """Every cell that has a place on the stored map; DatasetError where there is none."""
    path = stored_map(index)
    if path is None:
        raise DatasetError(f"{index.name} has no map; make it with: audit map --index {index.name}")
    rows = query_map(index, path, CELLS, width=index.grid[1])
    columns = (column.tolist() for column in rows.values())
    return tuple(MapCell(*values) for values in zip(*columns, strict=True))


def report(index: Index, wish: Wish) -> Iterator[Answer | str]:
    """On a page: the map that the index has; making one takes a minute and loads UMAP."""
    path = stored_map(index)
    if path is None:
        yield f"The map is not on this page until there is one; make it with: audit map --index {index.name}"
        return
    words = (f"--{name}={value}" for name, value in made_with(index, path).items())
    yield Answer(describe(index, path), tuple(words))


def findings(index: Index) -> Iterator[Finding]:
    """Of each class the cluster that its images hold and others do not: on no object, kept to few places."""
    path = stored_map(index)
    if path is None:
        raise DatasetError(
            f"marks that belong to a class are found on the map; make it with: audit map --index {index.name}"
        )
    strongest: dict[str, Finding] = {}
    for cluster in describe(index, path).clusters:
        mark = _mark(cluster)
        if mark is not None and mark.strength > getattr(strongest.get(mark.subject), "strength", FOUND):
            strongest[mark.subject] = mark
    yield from strongest.values()


def _mark(cluster: Cluster) -> Finding | None:
    """A cluster of one class, in one place and on no object, as a finding; None for any other."""
    label = cluster.label
    if label is None or (cluster.foreground.value or 0.0) > ON_OBJECTS or (cluster.position or 0.0) < KEPT:
        return None
    elsewhere = wilson(label.elsewhere)
    if label.interval is None or elsewhere is None:
        return None
    sentence = (
        f"{label.images.hits} of {label.images.total} images of {label.name} ({interval(label.interval)} %) "
        f"hold a cell like {cluster.exemplars[0]}, mostly in the same places and on no object; "
        f"{label.elsewhere.hits} of {label.elsewhere.total} other images do."
    )
    words = ("similar", "--patch", cluster.exemplars[0])
    strength = label.interval[0] - elsewhere[1]
    cells = cluster.exemplars[:SHOWN]
    return Finding(label.name, sentence, label.images, label.interval, label.q_value, strength, words, cells)
