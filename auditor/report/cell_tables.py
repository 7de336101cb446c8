"""Cells as tables of text: a class's images, what is similar, what corresponds, what a grid shows."""

from __future__ import annotations

import numpy as np

from auditor.records import ClassDetail, ImageGrids, Match, Similar
from auditor.report.tables import Entry, Table, columns_of
from auditor.report.text import NO_DATA, plural, share

_TITLES = {
    "original": "original",
    "without_bg": "without background",
    "without_fg": "without foreground",
    "inpainted": "inpainted",
    "inpainted_without_fg": "inpainted, without foreground",
}


def title(variant: str) -> str:
    """A variant in words."""
    return _TITLES.get(variant, variant)


def tabulate_class(detail: ClassDetail) -> Table:
    """`audit context --class K`: its images, with the cells that show the class in each variant."""
    variants = tuple(dict.fromkeys(variant for grids in detail.images for variant in grids.variants))
    rows = tuple(
        (Entry(grids.path), *(_occupied(grids, variant, detail.row.label) for variant in variants))
        for grids in detail.images
    )
    caption = f"Cells predicted as {detail.row.name}, of the foreground (FG) and background (BG) cells"
    return Table(caption, columns_of("Image", "|".join(map(title, variants))), rows)


def _occupied(grids: ImageGrids, variant: str, label: int) -> Entry:
    if variant not in grids.variants or grids.foreground is None:
        return Entry(NO_DATA)
    found = grids.labels[grids.variants.index(variant)] == label
    inside, outside = (
        f"{np.count_nonzero(found & place)}/{np.count_nonzero(place)}"
        for place in (grids.foreground, ~grids.foreground)
    )
    return Entry(f"FG {inside}", f"BG {outside}")


def tabulate_similar(similar: Similar) -> Table:
    """The retrieved cells, best first."""
    columns = (*columns_of("Cell", "Cosine"), *columns_of("Image labelled|Cell predicted|Place", ""))
    places = {True: "foreground", False: "background", None: NO_DATA}
    rows = tuple(
        (
            Entry(f"{hit.path}:{hit.row},{hit.col}"),
            Entry(f"{hit.cosine:.4f}"),
            Entry(hit.label or NO_DATA),
            Entry(hit.predicted or NO_DATA),
            Entry(places[hit.foreground]),
        )
        for hit in similar.hits
    )
    return Table(f"Cells most similar to {similar.path}:{similar.row},{similar.col}", columns, rows)


def tabulate_match(match: Match) -> Table:
    """The corresponding cell pairs of two images, best first, with their shares of the images' similarity."""
    columns = columns_of("Pair", "Cell in A|Cell in B|Cosine|Share %")
    rows = tuple(
        (
            Entry(str(rank)),
            Entry(f"{pair.a[0]},{pair.a[1]}"),
            Entry(f"{pair.b[0]},{pair.b[1]}"),
            Entry(f"{pair.cosine:.4f}"),
            Entry(_share_of(match, pair.share)),
        )
        for rank, pair in enumerate(match.pairs, start=1)
    )
    return Table(f"A: {match.a}   B: {match.b}", columns, rows, (explain_match(match),))


def explain_match(match: Match) -> str:
    """What the listed pairs say about the similarity of the two images, in one or two sentences."""
    listed = _share_of(match, sum(pair.share for pair in match.pairs))
    said = (
        f"The mean-pooled features have cosine {match.cosine:.4f}; "
        f"the {plural(len(match.pairs), 'pair')} listed carry {listed} % of it."
    )
    if match.mutual is not None:
        said += f" {plural(match.mutual, 'pair')} of cells are each other's nearest; only such are listed."
    if match.is_exact:
        return said
    return f"{said} The backbone does not pool by the mean, so the shares do not explain its own similarity."


def _share_of(match: Match, part: float) -> str:
    return share(part / match.cosine) if match.cosine else NO_DATA


def tabulate_classes(grids: ImageGrids) -> Table:
    """The classes seen anywhere in an image, most cells first: cells per variant, highest probability."""
    columns = columns_of("Class", "|".join((*map(title, grids.variants), "Highest prob. %")))
    return Table("Cells per class", columns, tuple(_seen(grids, label) for label in rank_classes(grids)))


def _seen(grids: ImageGrids, label: int) -> tuple[Entry, ...]:
    found = grids.labels == label
    return (
        Entry(class_name(grids, label), "evaluation class" if label == grids.label else ""),
        *(Entry(str(cells)) for cells in found.sum(axis=(1, 2))),
        Entry(share(float(grids.probabilities[found].max()))),
    )


def class_name(grids: ImageGrids, label: int) -> str:
    """A class by its name, or by its id where it has none."""
    return grids.names.get(label, f"class {label}")


def rank_classes(grids: ImageGrids) -> list[int]:
    """The class ids seen in any variant, by number of cells, then by id."""
    found, cells = np.unique(grids.labels, return_counts=True)
    return [int(found[i]) for i in np.lexsort((found, -cells))]
