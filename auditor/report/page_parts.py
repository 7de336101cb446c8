"""What a page is made of, and what a question is told when a page asks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from auditor.records import Certificate


@dataclass(frozen=True, slots=True)
class Subject:
    """The image that a page asks the model about, and the class to look for in it."""

    path: str
    label: int


@dataclass(frozen=True, slots=True)
class Wish:
    """How much a page shall show: cells to start from, classes image by image, images with their grids.

    `subject` is the image for questions that need the model again; None where they are not to be asked.
    """

    patches: tuple[str, ...] = ()
    classes: int = 3
    images: int = 4
    subject: Subject | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A record, or a tuple of records of one type, and the words that ask for it after `audit NAME`."""

    record: Any
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing for the page: an encoded picture, what it shows, and the text read out in its place."""

    image: bytes
    caption: str
    alt: str
    media: str = "image/webp"


@dataclass(frozen=True, slots=True)
class Section:
    """One answer on the page: its record, the command that asked for it, its drawings."""

    record: Any
    command: str = ""
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What `audit report` writes: facts of the index, its certificate, sections in the order shown.

    `facts` and `versions` are pairs of label and value; `notes` say what was recognised, dropped and why,
    `caveats` what must be known of the network before anything is believed.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    certificate: Certificate | None
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    command: str = ""
    caveats: tuple[str, ...] = ()
