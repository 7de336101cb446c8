"""Every record that the page can show: its heading, a sentence on how to read it, its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from auditor.records import (
    Attack,
    CellMap,
    ClassDetail,
    ClassMaps,
    ContextTable,
    FillTable,
    ImageContext,
    ImageGrids,
    Match,
    Metrics,
    Pooling,
    Relevance,
    Similar,
    Thresholds,
)
from auditor.report.cell_tables import (
    explain_match,
    tabulate_class,
    tabulate_classes,
    tabulate_match,
    tabulate_similar,
)
from auditor.report.context_views import tabulate_fills, tabulate_flips, tabulate_panels, tabulate_shifts
from auditor.report.experiment_tables import tabulate_changes, tabulate_pooling, tabulate_thresholds
from auditor.report.explanation_tables import tabulate_attack, tabulate_maps, tabulate_relevance
from auditor.report.search_tables import tabulate_map
from auditor.report.tables import (
    METRICS,
    Column,
    Entry,
    Table,
    tabulate_context,
    tabulate_metrics,
    tabulate_readouts,
    turn,
    unstack,
)

_TOP, _BOTTOM = 20, 10  # rows shown of a long table
_LEGIBLE = 4  # indexes side by side in a column each; more of them go in rows


@dataclass(frozen=True, slots=True)
class View:
    """A record in words."""

    heading: str
    lead: str
    tables: tuple[Table, ...]


def view(record: Any) -> View:
    """The view of a record, or of a tuple of Metrics."""
    return _VIEWS[type(record[0] if isinstance(record, tuple) else record)](record)


# ------------------------------------------------------------------------------------- the whole set


def _view_metrics(rows: tuple[Metrics, ...]) -> View:
    table = tabulate_metrics(rows)
    tables = (_explain(table) if len(rows) <= _LEGIBLE else table,)
    return View("Metrics", "", tables if len(rows) == 1 else (*tables, tabulate_readouts(rows)))


def _explain(table: Table) -> Table:
    """Metrics in rows, each with what it counts."""
    turned = unstack(turn(table))
    rows = tuple((*row, Entry(METRICS[row[0].text])) for row in turned.rows)
    return replace(turned, columns=(*turned.columns, Column("What it counts", is_number=False)), rows=rows)


_RANKED = {
    "delta": (
        "Context dependence: classes by Delta",
        "Delta above zero: with the foreground occluded, the class is predicted in the background more often "
        "than before. Such a class is recognised by its surroundings (Table 8).",
    ),
    "bg_act_wo_fg": (
        "Context dependence: classes by BG Act. (w/o FG)",
        "A class that is predicted in the background of most of its images although the foreground is "
        "occluded: the surroundings are enough for it (Table 7).",
    ),
}


def _view_context(context: ContextTable) -> View:
    return View(*_RANKED[context.by], tuple(_ends(tabulate_context(context))))


def _ends(table: Table) -> list[Table]:
    """The whole table where it is short, else its top and its bottom."""
    total = len(table.rows)
    if total <= _TOP + _BOTTOM:
        return [table]
    top = replace(_start(table), notes=())
    bottom = replace(table, caption=f"{table.caption}: last {_BOTTOM} of {total}", rows=table.rows[-_BOTTOM:])
    return [top, bottom]


def _start(table: Table) -> Table:
    """The first rows of a long table."""
    total = len(table.rows)
    if total <= _TOP:
        return table
    return replace(table, caption=f"{table.caption}: first {_TOP} of {total}", rows=table.rows[:_TOP])


def _view_fills(table: FillTable) -> View:
    lead = (
        "Occlusion is itself a change of the image. Does Delta hold under other fills, and is it larger than "
        "what the same shape does when it covers only background (A.6)?"
    )
    return View("Delta under other fills, and under a placebo", lead, tuple(_ends(tabulate_fills(table))))


def _view_thresholds(found: Thresholds) -> View:
    lead = (
        "Keeping only the cells that a score is sure of costs localization; what it buys is less background "
        "(Figures 5 and 6)."
    )
    return View("Keeping only confident cells", lead, (tabulate_thresholds(found),))


def _view_pooling(found: Pooling) -> View:
    lead = "What the image would be taken for, had its cells been pooled by another rule (section 6)."
    changes = (_start(tabulate_changes(found.changes)),) if found.changes else ()
    return View("Pooling rules", lead, (tabulate_pooling(found), *changes))


def _view_map(found: CellMap) -> View:
    lead = (
        "Every cell in two dimensions; cells that look alike to the backbone lie together (Figure 10). A "
        "cluster of one class, in one place, on no annotated object is what nobody meant to be there."
    )
    return View("Map of all cells", lead, (tabulate_map(found),))


# ------------------------------------------------------------------------------------- classes and images


def _view_class(detail: ClassDetail) -> View:
    row = replace(tabulate_context(ContextTable(detail.index, "delta", (detail.row,))), caption="The class")
    tables = (row, tabulate_class(detail)) if detail.images else (row,)
    return View(f"Class {detail.row.label}: {detail.row.name}", "", tables)


def _view_grids(grids: ImageGrids) -> View:
    return View(f"Prediction grid of {grids.path}", "", (tabulate_classes(grids),))


def _view_image_context(context: ImageContext) -> View:
    tables = (tabulate_panels(context), tabulate_shifts(context), _start(tabulate_flips(context)))
    return View(f"Occluded and inpainted: {context.grids.path}", "", tables)


def _view_maps(found: ClassMaps) -> View:
    return View(f"Class maps of {found.path}", "", (tabulate_maps(found),))


def _view_relevance(found: Relevance) -> View:
    heading = f"Relevance for cell {found.row},{found.col} of {found.path}"
    return View(heading, "", (tabulate_relevance(found),))


def _view_attack(found: Attack) -> View:
    return View(f"Attack on {found.path}", "", (tabulate_attack(found),))


def _view_match(match: Match) -> View:
    table = replace(tabulate_match(match), notes=())
    return View(f"Correspondence of {match.a} and {match.b}", explain_match(match), (table,))


def _view_similar(similar: Similar) -> View:
    return View(f"Similar to {similar.path}:{similar.row},{similar.col}", "", (tabulate_similar(similar),))


_VIEWS: Mapping[type, Callable[[Any], View]] = {
    Metrics: _view_metrics,
    ContextTable: _view_context,
    FillTable: _view_fills,
    Thresholds: _view_thresholds,
    Pooling: _view_pooling,
    CellMap: _view_map,
    ClassDetail: _view_class,
    ImageGrids: _view_grids,
    ImageContext: _view_image_context,
    ClassMaps: _view_maps,
    Relevance: _view_relevance,
    Attack: _view_attack,
    Match: _view_match,
    Similar: _view_similar,
}
