"""An answer in words, numbers and pictures: what console, page, files and notebook show of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from auditor.report.tables import Table

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Letters:
    """A small map of letters for a console, which has no pictures: `is_marked` letters stand out."""

    title: str
    rows: tuple[str, ...]
    is_marked: tuple[tuple[bool, ...], ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """What files hold of an answer: items of one frozen dataclass, a flat row each."""

    kind: type
    items: Sequence[Any]


@dataclass(frozen=True, slots=True)
class View:
    """A record in words: a heading and a sentence on how to read it, tables, and what else is to say.

    `letters` stand before the tables on a console. `rows` are what CSV, Parquet and columns hold; the record
    itself is the only row where they are None.
    """

    heading: str
    tables: tuple[Table, ...] = ()
    lead: str = ""
    notes: tuple[str, ...] = ()
    letters: tuple[Letters, ...] = ()
    rows: Rows | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing of an answer: the words of its file's name, the image or what draws it, and its caption.

    Pictures of one name are stacked in one file. One that is `only_with` an option is written by a command
    with that option alone; a page shows every one. Its file has at most so many bytes: a sheet of
    photographs would take 3 MB; None where the pixels are the answer themselves.
    """

    words: tuple[str, ...]
    image: Image | Callable[[], Image]
    caption: str
    only_with: str | None = None
    most: int | None = 2_000_000

    def drawn(self) -> Image:
        """The image, drawn now where it was not yet: what nobody asks for is not drawn."""
        return self.image() if callable(self.image) else self.image


def view_of(answer: Any) -> View:
    """The view of a record, or of a tuple of records of one type, from the `view.py` beside its record."""
    if isinstance(answer, tuple) and not answer:
        return View("Nothing to show.")
    kind = type(answer[0] if isinstance(answer, tuple) else answer)
    view: View = _beside(kind, "view").VIEWS[kind](answer)
    return view


def pictures_of(index: Any, record: Any) -> Iterator[Picture]:
    """The pictures of a record, from the `draw.py` beside its record; none where there is no such file."""
    kind = type(record[0] if isinstance(record, tuple) else record)
    package = kind.__module__.rpartition(".")[0]
    if find_spec(f"{package}.draw") is None:
        return
    drawings: Mapping[type, Any] = _beside(kind, "draw").DRAWINGS
    if kind in drawings:
        yield from drawings[kind](index, record)


def _beside(kind: type, part: str) -> Any:
    return import_module(f"{kind.__module__.rpartition('.')[0]}.{part}")
