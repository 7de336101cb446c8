"""What a page is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from auditor.records import Certificate


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing for the page: an encoded picture, what it shows, and the text read out in its place."""

    image: bytes
    caption: str
    alt: str
    media: str = "image/webp"


@dataclass(frozen=True, slots=True)
class Section:
    """One question of the report: the record that answers it, the command that asked it, its drawings.

    `record` is a tuple of Metrics, or any one record that has a view in report/views.py.
    """

    record: Any
    command: str = ""
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What `audit report` writes: facts of the index, its certificate, sections in the order shown.

    `facts` and `versions` are pairs of label and value; `notes` say what was recognised, dropped and why.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    certificate: Certificate | None
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    command: str = ""
