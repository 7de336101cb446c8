"""The report: one HTML file that holds everything it shows and asks nothing of any network."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from PIL import Image

from auditor.files import write_bytes
from auditor.report.page_parts import Figure, Page, Section
from auditor.report.tables import Table, explain, split
from auditor.report.text import certify, visible
from auditor.report.views import View, view_of

_LEGIBLE = 4  # rows side by side in a column each; more of them stay rows


@dataclass(frozen=True, slots=True)
class _Picture:
    source: str
    width: int
    height: int
    alt: str
    caption: str


@dataclass(frozen=True, slots=True)
class _Part:
    """A section as the template lays it out."""

    view: View
    tables: tuple[Table, ...]
    command: str
    pictures: tuple[_Picture, ...]


def write_page(path: Path, page: Page) -> None:
    """Write the page as one self-contained HTML file, whole or not at all."""
    write_bytes(path, render_page(page).encode())


def render_page(page: Page) -> str:
    """The page as HTML; every name in it is text, whatever it holds."""
    return _template("page.html").render(
        page=page,
        parts=[_part(section) for section in page.sections],
        verdict=page.certificate.verdict if page.certificate else "no certificate",
        certificate=certify(page.certificate),
    )


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("auditor.report", "web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    return environment.get_template(name)


def render_view(view: View) -> str:
    """The tables of a view as HTML without a page around them, for a notebook."""
    return _template("view.html").render(view=view, tables=_laid_out(view))


def _part(section: Section) -> _Part:
    view = view_of(section.record)
    return _Part(view, _laid_out(view), section.command, tuple(map(_picture, section.figures)))


def _laid_out(view: View) -> tuple[Table, ...]:
    """Long tables by their ends; few rows of many numbers turned, each with what its numbers count."""
    tables = [
        explain(table) if table.is_turnable and len(table.rows) <= _LEGIBLE else table
        for table in view.tables
    ]
    return tuple(part for table in tables for part in split(table))


def _picture(figure: Figure) -> _Picture:
    with Image.open(io.BytesIO(figure.image)) as opened:
        width, height = opened.size
    source = f"data:{figure.media};base64,{b64encode(figure.image).decode()}"
    return _Picture(source, width, height, figure.alt, figure.caption)
