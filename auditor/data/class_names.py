"""Class names: synsets, lists of classes in files, ids by position."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from auditor.errors import DatasetError
from auditor.records import ClassName

_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # perhaps of a pair
_SYNSET = re.compile(r"n\d{8}")


def is_synset(name: str) -> bool:
    """Whether a name is a WordNet noun synset as ImageNet writes it, for example n01440764."""
    return _SYNSET.fullmatch(name) is not None


def to_class(name: str) -> ClassName:
    """The class of a name; a name that is a synset is kept as one, so that the head's classes match it."""
    return ClassName(name, name if is_synset(name) else None)


def sort_classes(names: Iterable[str]) -> tuple[ClassName, ...]:
    """The distinct classes in the order of their names."""
    return tuple(to_class(name) for name in sorted(set(names)))


def number(classes: Sequence[ClassName]) -> dict[str, int]:
    """Class ids by name: positions."""
    return {each.name: position for position, each in enumerate(classes)}


def read_class_list(path: Path, *, distinct: bool = True) -> tuple[ClassName, ...]:
    """The classes of a classes.txt: one name a line, ordered by id; DatasetError if it has none.

    A head may have two classes of one name, as ImageNet's cranes are: not `distinct`.
    """
    names = [line.strip() for line in read_text(path).splitlines()]
    while names and not names[-1]:
        names.pop()
    if not all(names) or not names or (distinct and len(set(names)) != len(names)):
        kind = "distinct class name" if distinct else "class name"
        raise DatasetError(f"{path} must hold one {kind} on each line")
    return tuple(to_class(name) for name in names)


def parse_json(content: str | bytes) -> Any:
    """What JSON says; ValueError also where a text in it is none: half of a surrogate pair, "\\ud800"."""
    text = content if isinstance(content, str) else content.decode(json.detect_encoding(content))
    said = json.loads(text)
    if _HALF.search(text):
        json.dumps(said, ensure_ascii=False).encode()
    return said


def read_text(path: Path) -> str:
    """A text file in UTF-8 with or without a byte order mark; DatasetError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text: {error}; save it as UTF-8") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
