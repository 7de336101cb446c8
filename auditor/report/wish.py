"""What a question is told when a page asks it, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Subject:
    """The image that a page asks the model about, and the class to look for in it."""

    path: str
    label: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What a page shall show: cells to start from, and the image for questions that need the model again.

    `subject` is None where those are not to be asked.
    """

    patches: tuple[str, ...] = ()
    subject: Subject | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A record, or a tuple of records of one type, and the words that ask for it after `audit NAME`."""

    record: Any
    words: tuple[str, ...] = ()
