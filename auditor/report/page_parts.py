"""What a page is made of."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from auditor.records import Certificate
from auditor.report.findings import Finding

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing for the page: an encoded picture, what it shows, and the text read out in its place."""

    image: bytes
    caption: str
    alt: str
    media: str = "image/webp"

    @classmethod
    def of(cls, image: Image, caption: str, alt: str) -> Self:
        """A drawing as WebP, a tenth of the PNG's bytes."""
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=80, use_sharp_yuv=True)  # coloured letters blur without it
        return cls(buffer.getvalue(), caption, alt)


@dataclass(frozen=True, slots=True)
class Section:
    """One answer on the page: its record, the command that asked for it, its drawings, its question."""

    record: Any
    command: str = ""
    figures: tuple[Figure, ...] = ()
    question: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding on the page: its number, its subject's rank, the command that goes deeper, its picture."""

    number: int
    rank: int
    finding: Finding
    command: str
    figure: Figure | None = None


@dataclass(frozen=True, slots=True)
class Tile:
    """A number of the whole set: its title, its value and counts as text, what it counts, its interval."""

    title: str
    value: str
    counts: str
    definition: str
    source: str = ""
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What `audit report` writes: findings, sections in the order shown, and the data of what moves.

    `facts` and `versions` are pairs of label and value; `notes` say what was recognised, dropped and why,
    `banners` what must be known before anything is believed. `nothing` is said where there is no finding.
    `data` is JSON for the page's script; `pictures` are the WebP crops of its images, in their order.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    certificate: Certificate | None
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    command: str = ""
    banners: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    nothing: str = ""
    tiles: tuple[Tile, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[bytes, ...] = ()
