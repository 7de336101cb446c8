"""Classes ranked by context dependence, and one class image by image, as tables."""

from __future__ import annotations

import numpy as np

from auditor.questions.context.record import By, ClassContext, ClassDetail, ContextTable
from auditor.questions.grid.view import grid_cells
from auditor.records import ImageGrids
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, bounded_entry, chance_entry, columns_of, metric_entry
from auditor.report.text import NO_DATA, plural, points, share, variant_title
from auditor.report.views import Rows, View

_FIRST = 20
_METRICS = metrics_of(ClassContext)
_RATES = ("loc", "fg_det", "bg_act", "bg_act_without_fg", "delta", "q_value")
_LEAST: dict[By, str] = {"delta": "least_delta", "bg_act_wo_fg": "least_excess"}
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
_ENDS: dict[By, str] = {
    "delta": "Delta at least: the lower end of its 95 % interval (Newcombe, paired over images).",
    "bg_act_wo_fg": "At least: how much more of the background the class takes, with the object covered, in "
    "its own images than in others; the lower end of the 95 % interval (Newcombe, over images). Below it: "
    "the two shares.",
}
_PLAIN = "In the paper's order, by {order} as it is, however few the images."
_NOTE = (
    "Delta in points: BG Act. (w/o FG) - BG Act. q: exact McNemar test of Delta over images, corrected over "
    "all classes of the index (Benjamini-Hochberg). Below Delta: images whose background gains and loses the "
    "class once the foreground is occluded. ~: by chance, the rate of as many cells that know nothing."
)


def view_ranking(table: ContextTable) -> View:
    """The ranking, and how to read it; no table where the data say nothing of any class."""
    order = _ORDERS[table.by]
    title = order if table.plain else f"what the data support of {order}"
    heading = f"Context dependence: classes by {order}"
    rows = Rows(ClassContext, table.rows)
    if not table.rows or not (table.is_judged or table.plain):
        how = (
            (f"; the paper's order: audit context --index {table.index} --by {table.by} --plain",)
            if table.rows
            else ()
        )
        return View(heading, (), _LEADS[table.by], notes=("".join((table.sentence, *how)) + ".",), rows=rows)
    shown = table.rows if table.shows_all else table.rows[:_FIRST]
    left = len(table.rows) - len(shown)
    tabulated = _tabulate(
        f"Classes by {title}, in percent, with the counts behind them",
        shown,
        (_LEAST[table.by],),
        (
            *([f"{left:,} more: --all"] if left else []),
            f"{table.sentence}.",
            _PLAIN.format(order=order)
            if table.plain
            else f"Ranked by what the data support. {_ENDS[table.by]}",
        ),
    )
    return View(heading, (tabulated,), _LEADS[table.by], rows=rows)


def view_class(detail: ClassDetail) -> View:
    """The class's own row, and its images."""
    row = detail.row
    caption = f"{row.name}, in percent, with the counts behind it"
    tables = [_tabulate(caption, (row,), tuple(_LEAST.values()), tuple(_ENDS.values()))]
    if detail.images:
        tables.append(_tabulate_images(detail))
    return View(f"Class {row.label}: {row.name}", tuple(tables), rows=grid_cells(detail.images))


VIEWS = {ContextTable: view_ranking, ClassDetail: view_class}


def _tabulate(
    caption: str, rows: tuple[ClassContext, ...], least: tuple[str, ...], notes: tuple[str, ...]
) -> Table:
    """A row per class: what the data support, then the paper's rates."""
    names = (*least, *_RATES)
    columns = (Column(_title(name), True, _METRICS[name].definition) for name in names)
    body = tuple((_name(row), *(_entry(row, name) for name in names)) for row in rows)
    return Table(caption, (Column("Class", is_number=False), *columns), body, (*notes, _NOTE))


def _title(name: str) -> str:
    title = _METRICS[name].title
    return f"{title} (95 %)" if f"{name}_interval" in ClassContext.__slots__ else title


def _name(row: ClassContext) -> Entry:
    return Entry(row.name, f"#{row.label}, {plural(row.images, 'image')}")


def _entry(row: ClassContext, name: str) -> Entry:
    value = getattr(row, name)
    if name == "delta":
        return Entry(points(value), f"+{row.gained} -{row.lost}" if value is not None else "")
    if name == "least_delta":
        return Entry(points(value))
    if name == "least_excess":
        shares = f"{share(row.bg_share)} vs {share(row.bg_share_elsewhere)}"
        return Entry(points(value), shares if row.bg_share is not None else "")
    entry = metric_entry(value, _METRICS[name].unit)
    if f"{name}_interval" in ClassContext.__slots__:
        entry = bounded_entry(value, getattr(row, f"{name}_interval"))
    return chance_entry(entry, getattr(row, f"{name}_chance", None), " ~")


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
