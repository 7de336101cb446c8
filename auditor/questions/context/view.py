"""Classes ranked by context dependence, and one class image by image, as tables."""

from __future__ import annotations

import numpy as np

from auditor.questions.context.record import By, ClassContext, ClassDetail, ContextTable
from auditor.questions.grid.view import grid_cells
from auditor.records import ImageGrids
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, bounded_entry, columns_of, metric_entry
from auditor.report.text import NO_DATA, plural, points, variant_title
from auditor.report.views import Rows, View

_ENDS = (20, 10)
_METRICS = metrics_of(ClassContext)
_ORDERS: dict[By, str] = {
    "delta": _METRICS["delta"].title,
    "bg_act_wo_fg": _METRICS["bg_act_without_fg"].title,
}
_LEADS: dict[By, str] = {
    "delta": "Delta above zero: with the foreground occluded, the class is predicted in the background more "
    "often than before. Such a class is recognised by its surroundings (Table 8).",
    "bg_act_wo_fg": "A class that is predicted in the background of most of its images although the "
    "foreground is occluded: the surroundings are enough for it (Table 7).",
}
_NOTE = (
    "Delta in points: BG Act. (w/o FG) - BG Act. q: exact McNemar test of Delta over images, corrected for "
    "the number of classes looked at (Benjamini-Hochberg). Below Delta: images whose background gains and "
    "loses the class once the foreground is occluded."
)


def view_ranking(table: ContextTable) -> View:
    """The ranking, and how to read it."""
    order = _ORDERS[table.by]
    return View(
        f"Context dependence: classes by {order}",
        (_tabulate(f"Classes by {order}, in percent, with the counts behind them", table.rows),),
        _LEADS[table.by],
        rows=Rows(ClassContext, table.rows),
    )


def view_class(detail: ClassDetail) -> View:
    """The class's own row, and its images."""
    row = detail.row
    tables = [_tabulate(f"{row.name}, in percent, with the counts behind it", (row,))]
    if detail.images:
        tables.append(_tabulate_images(detail))
    return View(f"Class {row.label}: {row.name}", tuple(tables), rows=grid_cells(detail.images))


VIEWS = {ContextTable: view_ranking, ClassDetail: view_class}


def _tabulate(caption: str, rows: tuple[ClassContext, ...]) -> Table:
    bounded = {name for name in _METRICS if f"{name}_interval" in ClassContext.__slots__}
    columns = (
        Column(f"{each.title} (95 %)" if name in bounded else each.title, True, each.definition)
        for name, each in _METRICS.items()
    )
    body = tuple((_name(row), *(_entry(row, name) for name in _METRICS)) for row in rows)
    return Table(caption, (Column("Class", is_number=False), *columns), body, (_NOTE,), ends=_ENDS)


def _name(row: ClassContext) -> Entry:
    return Entry(row.name, f"#{row.label}, {plural(row.images, 'image')}")


def _entry(row: ClassContext, name: str) -> Entry:
    value = getattr(row, name)
    if name == "delta":
        return Entry(points(value), f"+{row.gained} -{row.lost}" if value is not None else "")
    if f"{name}_interval" in ClassContext.__slots__:
        return bounded_entry(value, getattr(row, f"{name}_interval"))
    return metric_entry(value, _METRICS[name].unit)


def _tabulate_images(detail: ClassDetail) -> Table:
    """The images, with the cells that show the class in each variant."""
    variants = tuple(dict.fromkeys(variant for grids in detail.images for variant in grids.variants))
    rows = tuple(
        (Entry(grids.path), *(_occupied(grids, variant, detail.row.label) for variant in variants))
        for grids in detail.images
    )
    caption = f"Cells predicted as {detail.row.name}, of the foreground (FG) and background (BG) cells"
    return Table(caption, columns_of("Image", "|".join(map(variant_title, variants))), rows)


def _occupied(grids: ImageGrids, variant: str, label: int) -> Entry:
    if variant not in grids.variants or grids.foreground is None:
        return Entry(NO_DATA)
    shows = grids.labels[grids.variants.index(variant)] == label
    inside, outside = (
        f"{np.count_nonzero(shows & place)}/{np.count_nonzero(place)}"
        for place in (grids.foreground, ~grids.foreground)
    )
    return Entry(f"FG {inside}", f"BG {outside}")
