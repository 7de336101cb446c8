"""The clusters of a map as a table."""

from __future__ import annotations

import shlex

from auditor.questions.map.record import LISTED, CellMap, Cluster
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, columns_of
from auditor.report.text import NO_DATA, chance, left_out, percent, plural, share, times
from auditor.report.views import Rows, View

_LEAD = (
    "Every cell in two dimensions; cells that look alike to the backbone lie together (Figure 10). A "
    "cluster of one class, in one place, on no annotated object is what nobody meant to be there."
)


def view_map(cell_map: CellMap) -> View:
    """The clusters, most suspicious first."""
    columns = (
        *columns_of("Cluster", ""),
        *(_column(name) for name in ("cells", "images")),
        *columns_of("Over-represented class", "Lift|q"),
        *columns_of("Cells predicted as", "Background %"),
        _column("position"),
        *columns_of("", "Peak at"),
        *columns_of("Example", ""),
    )
    rows = tuple(_row(cluster) for cluster in cell_map.clusters[:LISTED])
    caption = f"Clusters of {cell_map.alone.total:,} cells, most suspicious first"
    table = Table(caption, columns, rows, _notes(cell_map))
    return View("Map of all cells", (table,), _LEAD, rows=Rows(Cluster, cell_map.clusters))


VIEWS = {CellMap: view_map}


def _column(name: str) -> Column:
    metric = metrics_of(Cluster)[name]
    return Column(metric.title, True, metric.definition)


def _notes(cell_map: CellMap) -> tuple[str, ...]:
    hidden = len(cell_map.clusters) - LISTED
    lone = sum(cluster.images == 1 for cluster in cell_map.clusters)
    first = cell_map.clusters[0].exemplars[0] if cell_map.clusters else None
    return (
        *left_out(cell_map.empty),
        *([f"{hidden} more clusters: --json or --table"] if hidden > 0 else []),
        f"{percent(cell_map.alone)} % of the cells belong to no cluster. UMAP saw "
        f"{len(cell_map.sampled):,} cells (seed {cell_map.seed}); the others lie where their nearest "
        "neighbours do.",
        *([f"{plural(lone, 'cluster')} of a single image: last in the order."] if lone else []),
        "Lift: the rate among the class's images over that of all. "
        f"Position: {metrics_of(Cluster)['position'].definition}.",
        *([f"What else looks like the first: {_similar(cell_map.index, first)}"] if first else []),
    )


def _similar(index: str, cell: str) -> str:
    return shlex.join(("audit", "similar", "--index", index, "--patch", cell))


def _row(cluster: Cluster) -> tuple[Entry, ...]:
    label, predicted = cluster.label, cluster.predicted[:1]
    background = None if cluster.foreground.value is None else 1 - cluster.foreground.value
    return (
        Entry(str(cluster.number)),
        Entry(f"{cluster.cells:,}"),
        Entry(f"{cluster.images:,}"),
        Entry(f"{label.name}", f"{share(label.of_found)} % of images") if label else Entry(NO_DATA),
        Entry(times(label.lift) if label else NO_DATA),
        Entry(chance(label.q_value) if label else NO_DATA),
        Entry(predicted[0].name, f"{percent(predicted[0].cells)} %") if predicted else Entry(NO_DATA),
        Entry(share(background)),
        Entry(times(cluster.position)),
        Entry(f"{cluster.peak[0]},{cluster.peak[1]}", plural(cluster.peak_cells, "cell")),
        Entry(cluster.exemplars[0]),
    )
