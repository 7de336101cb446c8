"""The report: one HTML file that holds everything it shows and asks nothing of any network."""

from __future__ import annotations

import io
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image

from auditor.files import write_bytes
from auditor.report.page_parts import Figure, Page, Section, Verdict
from auditor.report.tables import Table, explain, split
from auditor.report.text import certify, chance, interval, percent, visible
from auditor.report.views import View, view_of

PLACES = {"context": "classes", "map": "map", "compare": "compare"}
"""Questions that have a part of the page of their own; all others stand among the further answers."""

_PLACED = ("classes", "map", "compare")
_LEGIBLE = 4  # rows side by side in a column each; more of them stay rows
_SOURCE = re.compile(r"\s*\(((?:Tables?|Figures?|section) \d[^()]*)\)")


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
    question: str


def write_page(path: Path, page: Page) -> None:
    """Write the page as one self-contained HTML file, whole or not at all."""
    write_bytes(path, render_page(page).encode())


def weigh_page(page: Page) -> int:
    """Bytes of the page as it is."""
    return len(render_page(page).encode())


def policy(page: Page) -> str:
    """What the page may do: its own script, style and pictures, and ask for its data where they lie."""
    connect = "connect-src 'self'; " if page.data.get("live") else ""
    beside = " 'self'" if page.data.get("folder") else ""
    return (
        f"default-src 'none'; script-src '{_hash(_file('bundle/page.js'))}'{beside}; "
        f"style-src '{_hash(_file('style.css'))}'; img-src data: blob:{beside}; {connect}base-uri 'none'; "
        "form-action 'none'"
    )


def render_page(page: Page) -> str:
    """The page as HTML; every name in it is text, whatever it holds."""
    parts = [_part(section) for section in page.sections]
    style, script = _file("style.css"), _file("bundle/page.js")
    return _template("page.html").render(
        page=page,
        subjects=list(_subjects(page.verdicts)),
        at={place: [part for part in parts if PLACES.get(part.question) == place] for place in _PLACED},
        others=[part for part in parts if part.question not in PLACES],
        certificate=certify(page.certificate),
        style=Markup(style),
        script=Markup(script),
        policy=Markup(policy(page)),
        data=None if page.data.get("folder") else _embed(page.data),
        pictures=_embed([b64encode(picture).decode() for picture in page.pictures]),
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
    environment.filters |= {
        "plain": _plain,
        "source": lambda text: "; ".join(_SOURCE.findall(text)),
        "percent": percent,
        "interval": interval,
        "chance": chance,
        "picture": _picture,
    }
    return environment.get_template(name)


def render_view(view: View) -> str:
    """The tables of a view as HTML without a page around them, for a notebook."""
    return _template("view.html").render(view=view, tables=_laid_out(view))


@cache
def _file(name: str) -> str:
    return files("auditor.report").joinpath("web", *name.split("/")).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What the page's policy knows its own style and script by."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _embed(data: Any) -> Markup:
    """JSON in ASCII that cannot end the element it stands in; what is invisible in a name is written out."""
    text = json.dumps(_shown(data), separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def script_of(variable: str, data: Any) -> str:
    """A script that gives a page beside its data some of them, in ASCII."""
    return f"globalThis.{variable} = {_embed(data)};\n"


def _shown(data: Any) -> Any:
    if isinstance(data, str):
        return visible(data)
    if isinstance(data, dict):
        return {visible(name): _shown(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_shown(value) for value in data]
    return data


def _subjects(verdicts: tuple[Verdict, ...]) -> Iterator[tuple[int, str, list[Verdict]]]:
    """Findings by the subject that they are of."""
    for rank, several in groupby(verdicts, key=lambda each: each.rank):
        found = list(several)
        yield rank, found[0].finding.subject, found


def _part(section: Section) -> _Part:
    view = view_of(section.record)
    pictures = tuple(map(_picture, section.figures))
    return _Part(view, _laid_out(view), section.command, pictures, section.question)


def _laid_out(view: View) -> tuple[Table, ...]:
    """Long tables by their ends; few rows of many numbers turned, each with what its numbers count."""
    tables = [
        explain(_unsourced(table)) if table.is_turnable and len(table.rows) <= _LEGIBLE else table
        for table in view.tables
    ]
    return tuple(part for table in tables for part in split(table))


def _unsourced(table: Table) -> Table:
    """The table with definitions that a reader needs no paper for."""
    columns = (replace(column, definition=_plain(column.definition)) for column in table.columns)
    return replace(table, columns=tuple(columns))


def _plain(text: str) -> str:
    """Words without the numbers of the paper's tables and figures, which stand in tooltips."""
    return _SOURCE.sub("", text)


def _picture(figure: Figure) -> _Picture:
    with Image.open(io.BytesIO(figure.image)) as opened:
        width, height = opened.size
    source = f"data:{figure.media};base64,{b64encode(figure.image).decode()}"
    return _Picture(source, width, height, figure.alt, figure.caption)
