"""`audit list`, `check` and `models`: which indexes are here, are they sound, which backbones have a name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.terminal.options import INDEXES, AsJson, IndexName, TableFile, index_path
from auditor.terminal.show import show

if TYPE_CHECKING:
    from auditor.records import BackboneRow, Check, IndexSummary
    from auditor.report.tables import Entry
    from auditor.report.views import View


def list_(json: AsJson = False, table: TableFile = None) -> None:
    """List the indexes here: dataset, backbone, images, cells, size, head, certificate.

    Example: audit list
    """
    from auditor.store.index import list_indexes

    summaries = list_indexes(INDEXES)
    show(summaries, as_json=json, table=table, view=view_indexes(summaries))


def check(
    index: IndexName = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild what is derived from the shards.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Verify every file of an index; exit 1 if something is damaged.

    Example: audit check --index birds-dinov2 --repair
    """
    from auditor.store.check import check as verify

    checked = verify(index_path(index), repair=repair)
    show(checked, as_json=json, view=view_check(checked))
    if not checked.is_sound:
        sys.exit(1)


def models(json: AsJson = False, table: TableFile = None) -> None:
    """List the backbones that have a short name; any timm/NAME or open_clip/NAME:TAG works too.

    Example: audit index ./photos --backbone timm/convnext_tiny.fb_in22k
    """
    from auditor.models.catalog import rows

    backbones = rows()
    show(backbones, as_json=json, table=table, view=view_backbones(backbones))


# ------------------------------------------------------------------------------------- as tables


def view_indexes(summaries: Sequence[IndexSummary]) -> View:
    """The indexes here, a row each."""
    from auditor.report.tables import Table, columns_of
    from auditor.report.views import View

    if not summaries:
        return View("Nothing to show.")
    columns = (
        *columns_of("Index|Dataset|Backbone", "Images|Cells|Size"),
        *columns_of("Head|Certificate", ""),
    )
    unfinished = [each.name for each in summaries if not each.is_complete]
    notes = tuple(f"{name} is unfinished; run its audit index again to continue it" for name in unfinished)
    return View("Indexes", (Table("Indexes", columns, tuple(map(_summary, summaries)), notes),))


def _summary(summary: IndexSummary) -> tuple[Entry, ...]:
    from auditor.report.tables import Entry
    from auditor.report.text import NO_DATA, size

    verdict = summary.certificate.verdict if summary.certificate else NO_DATA
    return (
        Entry(summary.name, "" if summary.is_complete else "unfinished"),
        Entry(summary.dataset),
        Entry(summary.backbone),
        Entry(f"{summary.images:,}"),
        Entry(f"{summary.cells:,}"),
        Entry(size(summary.bytes)),
        Entry(summary.head),
        Entry(verdict),
    )


def view_check(checked: Check) -> View:
    """The verdict, what was verified, and what is or was damaged."""
    from auditor.report.text import plural, size
    from auditor.report.views import View

    verdict = "is sound" if checked.is_sound else f"is damaged: {plural(len(checked.problems), 'problem')}"
    lines = (
        f"{plural(checked.files, 'file')}, {size(checked.bytes)} verified",
        *(f"damaged   {problem}" for problem in checked.problems),
        *(f"repaired  {repaired}" for repaired in checked.repaired),
    )
    return View(f"{checked.index} {verdict}", notes=lines)


def view_backbones(rows: Sequence[BackboneRow]) -> View:
    """The catalog, a row each."""
    from auditor.report.tables import Table, columns_of
    from auditor.report.views import View

    columns = (
        *columns_of("Name|Library and model", "Grid|Dim|Size"),
        *columns_of("Aggregation|Readout|Note", ""),
    )
    return View("Backbones", (Table("Backbones", columns, tuple(map(_backbone, rows))),))


def _backbone(row: BackboneRow) -> tuple[Entry, ...]:
    from auditor.report.tables import Entry
    from auditor.report.text import size

    numbers = (f"{row.grid[0]}x{row.grid[1]}", str(row.dim), size(4 * row.parameters))
    model = f"{row.library}/{row.model}"
    texts = (row.name, model, *numbers, row.aggregation, row.readout, row.note)
    return tuple(map(Entry, texts))
