"""Matching the classes of a dataset to the classes of a head."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from auditor.records import ClassName


@dataclass(frozen=True, slots=True)
class ClassMatch:
    """`heads[i]` is the head's class of the dataset's class i, or None where nothing fits."""

    heads: tuple[int | None, ...]
    unmatched: tuple[str, ...]

    def translate(self, labels: Sequence[int]) -> tuple[int, ...]:
        """The head's classes of these dataset classes, sorted; those that do not fit are left out."""
        return tuple(sorted({match for label in labels if (match := self.heads[label]) is not None}))

    @property
    def has_none(self) -> bool:
        """Whether there are classes, and none of them is the head's."""
        return bool(self.heads) and len(self.unmatched) == len(self.heads)

    def note(self) -> str | None:
        """A sentence on what could not be matched."""
        if not self.unmatched:
            return None
        first = ", ".join(self.unmatched[:5]) + (" ..." if len(self.unmatched) > 5 else "")
        return f"{len(self.unmatched)} of {len(self.heads)} classes are not among the head's: {first}"


def match_classes(dataset: Sequence[ClassName], head: Sequence[ClassName]) -> ClassMatch:
    """Match by synset, then by name; a folder named by a number below the head's class count is that class.

    Names are compared without case and punctuation. A name that two classes
    of the head share (ImageNet's two cranes) matches neither.
    """
    synsets = {c.synset: i for i, c in enumerate(head) if c.synset}
    counts = Counter(_plain(c.name) for c in head)
    names = {_plain(c.name): i for i, c in enumerate(head) if counts[_plain(c.name)] == 1}
    by_number = _are_numbers(dataset, len(head))
    heads = tuple(
        _first(
            synsets.get(c.synset or c.name),
            names.get(_plain(c.name)),
            int(c.name) if by_number else None,
        )
        for c in dataset
    )
    return ClassMatch(heads, tuple(c.name for c, match in zip(dataset, heads, strict=True) if match is None))


def fixed_label(path: str, labels: Sequence[int]) -> int | None:
    """The one evaluation class of an image with several: drawn by the path, so always the same (A.1)."""
    if not labels:
        return None
    draw = int.from_bytes(blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")
    return sorted(labels)[draw % len(labels)]


def _first(*candidates: int | None) -> int | None:
    return next((c for c in candidates if c is not None), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def _are_numbers(classes: Sequence[ClassName], count: int) -> bool:
    return bool(classes) and all(c.name.isdecimal() and int(c.name) < count for c in classes)
