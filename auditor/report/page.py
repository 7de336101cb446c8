"""The report: one HTML file that holds everything it shows and asks nothing of any network."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from PIL import Image

from auditor.files import write_bytes
from auditor.report.sections import Figure, Page, Section
from auditor.report.text import certify, visible
from auditor.report.views import View, view


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
    command: str
    pictures: tuple[_Picture, ...]


def write_page(path: Path, page: Page) -> None:
    """Write the page as one self-contained HTML file, whole or not at all."""
    write_bytes(path, render_page(page).encode())


def render_page(page: Page) -> str:
    """The page as HTML; every name in it is text, whatever it holds."""
    return _template().render(
        page=page,
        parts=[_part(section) for section in page.sections],
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


def _part(section: Section) -> _Part:
    return _Part(view(section.record), section.command, tuple(map(_picture, section.figures)))


def _picture(figure: Figure) -> _Picture:
    with Image.open(io.BytesIO(figure.image)) as opened:
        width, height = opened.size
    source = f"data:{figure.media};base64,{b64encode(figure.image).decode()}"
    return _Picture(source, width, height, figure.alt, figure.caption)
