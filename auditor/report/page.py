"""The report: one HTML file that holds everything it shows and asks nothing of any network."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from PIL import Image

from auditor.records import ClassDetail, ContextTable, ImageGrids, Match, Metrics, Similar
from auditor.report.cell_tables import (
    explain_match,
    tabulate_class,
    tabulate_classes,
    tabulate_match,
    tabulate_similar,
)
from auditor.report.files import write_bytes
from auditor.report.sections import Figure, Page, Section
from auditor.report.tables import (
    METRICS,
    Column,
    Entry,
    Table,
    tabulate_context,
    tabulate_metrics,
    turn,
    unstack,
)
from auditor.report.text import certify, visible

_TOP, _BOTTOM = 20, 10  # classes shown of a long context table
_LEGIBLE = 4  # indexes side by side in a column each; more of them go in rows


@dataclass(frozen=True, slots=True)
class _Picture:
    source: str
    width: int
    height: int
    alt: str
    caption: str


@dataclass(frozen=True, slots=True)
class _View:
    """A section as the template lays it out."""

    heading: str
    lead: str
    tables: tuple[Table, ...]
    command: str = ""
    pictures: tuple[_Picture, ...] = ()


def write_page(path: Path, page: Page) -> None:
    """Write the page as one self-contained HTML file, whole or not at all."""
    write_bytes(path, render_page(page).encode())


def render_page(page: Page) -> str:
    """The page as HTML; every name in it is text, whatever it holds."""
    return _template().render(
        page=page,
        views=[_view(section) for section in page.sections],
        verdict=page.certificate.verdict if page.certificate else "no certificate",
        certificate=certify(page.certificate),
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    return environment.from_string(files("auditor.report").joinpath("page.html").read_text("utf-8"))


def _view(section: Section) -> _View:
    kind = type(section.record[0] if isinstance(section.record, tuple) else section.record)
    pictures = tuple(_picture(figure) for figure in section.figures)
    return replace(_VIEWS[kind](section.record), command=section.command, pictures=pictures)


def _picture(figure: Figure) -> _Picture:
    with Image.open(io.BytesIO(figure.image)) as opened:
        width, height = opened.size
    source = f"data:{figure.media};base64,{b64encode(figure.image).decode()}"
    return _Picture(source, width, height, figure.alt, figure.caption)


# ------------------------------------------------------------------------------------- a view per record


def _view_metrics(rows: tuple[Metrics, ...]) -> _View:
    table = tabulate_metrics(rows)
    return _View("Metrics", "", (_explain(table) if len(rows) <= _LEGIBLE else table,))


def _explain(table: Table) -> Table:
    """Metrics in rows, each with what it counts."""
    turned = unstack(turn(table))
    rows = tuple((*row, Entry(METRICS[row[0].text])) for row in turned.rows)
    return replace(turned, columns=(*turned.columns, Column("What it counts", is_number=False)), rows=rows)


def _view_context(context: ContextTable) -> _View:
    lead = (
        "A class that is predicted in the background more often once the foreground is occluded "
        "is recognised by its surroundings."
    )
    return _View("Context dependence", lead, tuple(_ends(context)))


def _ends(context: ContextTable) -> list[Table]:
    """The whole table where it is short, else its top and its bottom."""
    table, total = tabulate_context(context), len(context.rows)
    if total <= _TOP + _BOTTOM:
        return [table]
    top = replace(
        table, caption=f"{table.caption}: first {_TOP} of {total}", rows=table.rows[:_TOP], notes=()
    )
    bottom = replace(table, caption=f"{table.caption}: last {_BOTTOM} of {total}", rows=table.rows[-_BOTTOM:])
    return [top, bottom]


def _view_class(detail: ClassDetail) -> _View:
    row = replace(tabulate_context(ContextTable(detail.index, "delta", (detail.row,))), caption="The class")
    tables = (row, tabulate_class(detail)) if detail.images else (row,)
    return _View(f"Class {detail.row.label}: {detail.row.name}", "", tables)


def _view_similar(similar: Similar) -> _View:
    return _View(f"Similar to {similar.path}:{similar.row},{similar.col}", "", (tabulate_similar(similar),))


def _view_match(match: Match) -> _View:
    table = replace(tabulate_match(match), notes=())
    return _View(f"Correspondence of {match.a} and {match.b}", explain_match(match), (table,))


def _view_grids(grids: ImageGrids) -> _View:
    return _View(f"Prediction grid of {grids.path}", "", (tabulate_classes(grids),))


_VIEWS: Mapping[type, Callable[[Any], _View]] = {
    Metrics: _view_metrics,
    ContextTable: _view_context,
    ClassDetail: _view_class,
    Similar: _view_similar,
    Match: _view_match,
    ImageGrids: _view_grids,
}
