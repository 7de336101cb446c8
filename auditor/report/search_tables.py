"""The clusters of a map and the findings of a concept as tables of text."""

from __future__ import annotations

from auditor.records import CellMap, ClassShare, Cluster, Concept
from auditor.report.tables import Entry, Table, columns_of
from auditor.report.text import NO_DATA, chance, counts, interval, percent, plural, share

LISTED = 20
"""Clusters that the table shows; every one is in the JSON, the files and the sheet."""


def tabulate_map(found: CellMap) -> Table:
    """The clusters, most suspicious first."""
    columns = (
        *columns_of("Cluster", "Cells|Images"),
        *columns_of("Over-represented class", "Lift|q"),
        *columns_of("Cells predicted as", "Background %|Position|Peak at"),
        *columns_of("Example", ""),
    )
    rows = tuple(_cluster(cluster) for cluster in found.clusters[:LISTED])
    caption = f"Clusters of {found.alone.total:,} cells, most suspicious first"
    return Table(caption, columns, rows, _map_notes(found))


def _map_notes(found: CellMap) -> tuple[str, ...]:
    hidden = len(found.clusters) - LISTED
    first = found.clusters[0].exemplars[0] if found.clusters else None
    return (
        *([f"{hidden} more clusters: --json, --table or --clusters"] if hidden > 0 else []),
        f"{percent(found.alone)} % of the cells belong to no cluster. UMAP saw {len(found.sampled):,} cells "
        f"(seed {found.seed}); the others lie where their nearest neighbours do.",
        "Lift: the rate among the class's images over that of all. Position: how much more often two cells "
        "of different images share a place than by chance.",
        *([f"What else looks like it: audit similar --patch {first}"] if first else []),
    )


def _cluster(cluster: Cluster) -> tuple[Entry, ...]:
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


def times(value: float | None) -> str:
    """A factor with one decimal."""
    return NO_DATA if value is None else f"x{value:.1f}"


def tabulate_concept(found: Concept) -> Table:
    """The classes in which a concept is found, the most over-represented first."""
    columns = columns_of("Class", "Images with it % (95 %)|Other images %|Lift|p|q")
    note = (
        f"Found in {counts(found.images)} images ({percent(found.images)} %) and {counts(found.cells)} "
        f"cells, those with a score of at least {found.threshold:.4f}: the lowest of a reference against "
        "the others."
    )
    how = f"References: {plural(len(found.references), 'reference')} ({found.encoding})"
    negative = f", less the likeness to {plural(found.negatives, 'negative')}" if found.negatives else ""
    notes = (note, f"{how}{negative}. Images that hold one are not counted.")
    caption = f"Classes that show {found.name}"
    return Table(caption, columns, tuple(_class(row) for row in found.classes[:LISTED]), notes)


def _class(row: ClassShare) -> tuple[Entry, ...]:
    return (
        Entry(row.name),
        Entry(percent(row.images), f"{counts(row.images)}, {interval(row.interval)}"),
        Entry(percent(row.elsewhere), counts(row.elsewhere)),
        Entry(times(row.lift)),
        Entry(chance(row.p_value)),
        Entry(chance(row.q_value)),
    )


def tabulate_concept_hits(found: Concept) -> Table:
    """The cells of highest score outside the images that hold a reference."""
    columns = (*columns_of("Cell", "Score"), *columns_of("Image labelled|Cell predicted", ""))
    rows = tuple(
        (
            Entry(f"{hit.path}:{hit.row},{hit.col}"),
            Entry(f"{hit.cosine:.4f}"),
            Entry(hit.label or NO_DATA),
            Entry(hit.predicted or NO_DATA),
        )
        for hit in found.hits
    )
    return Table(f"Cells most like {found.name}", columns, rows)
