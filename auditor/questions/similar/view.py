"""Retrieved cells as a table."""

from __future__ import annotations

from auditor.questions.similar.record import RankedHit, Similar
from auditor.records import Hit
from auditor.report.tables import Entry, Table, columns_of
from auditor.report.text import NO_DATA, left_out, plural
from auditor.report.views import Rows, View

_PLACES = {True: "foreground", False: "background", None: NO_DATA}


def view_similar(similar: Similar) -> View:
    """The hits, best first."""
    cell = f"{similar.path}:{similar.row},{similar.col}"
    columns = (*columns_of("Cell", "Cosine"), *columns_of("Image labelled|Cell predicted|Place", ""))
    table = Table(f"Cells most similar to {cell}", columns, tuple(map(_row, similar.hits)), _notes(similar))
    ranked = [RankedHit(rank, hit) for rank, hit in enumerate(similar.hits, start=1)]
    return View(f"Similar to {cell}", (table,), rows=Rows(RankedHit, ranked))


VIEWS = {Similar: view_similar}


def _notes(similar: Similar) -> tuple[str, ...]:
    """What was searched, and what was left out."""
    where = "All images" if similar.same else "Other images only (--same: the same as well)"
    where += f", {similar.only}" if similar.only else ""
    limit = f"at most {plural(similar.per_image, 'cell')} of each" if similar.per_image else "all cells"
    more = " (--per-image N; 0: no limit)" if similar.per_image else ""
    left = (*left_out(similar.empty), *_far_longer(similar.long))
    return (f"{where}, {limit}{more}.", *left, *_approximate(similar.recall))


def _approximate(recall: float | None) -> tuple[str, ...]:
    """What a search that is not exact may have missed."""
    if recall is None:
        return ()
    return (f"Approximate: on cells of this index, {recall:.1%} of the 20 nearest were found (audit list).",)


def _far_longer(cells: int) -> tuple[str, ...]:
    """What the index is known to hold that looks like content and is none."""
    return (
        (f"Left out as far longer than the others (audit hygiene): {plural(cells, 'cell')}.",)
        if cells
        else ()
    )


def _row(hit: Hit) -> tuple[Entry, ...]:
    return (
        Entry(f"{hit.path}:{hit.row},{hit.col}"),
        Entry(f"{hit.cosine:.4f}"),
        Entry(hit.label or NO_DATA),
        Entry(hit.predicted or NO_DATA),
        Entry(_PLACES[hit.foreground]),
    )
