"""What has become of the files of a dataset since they were indexed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from auditor.data.containers import state_of
from auditor.data.pixels import content_hash
from auditor.errors import ImageError


class IndexedFile(NamedTuple):
    """A row of an index's images: size in bytes and mtime as they were, None where that is not known.

    `hash` is None for a file that could not even be read.
    """

    id: int
    path: str
    size: int | None
    mtime_ns: int | None
    hash: str | None


class Changes(NamedTuple):
    """Ids of the images whose content is another than the indexed one, and of those that are not there."""

    changed: tuple[int, ...]
    gone: tuple[int, ...]


def changed(root: Path, rows: Iterable[IndexedFile]) -> Changes:
    """Compare files with their rows: size and mtime first, the content only where those differ.

    A file that was broken and has been replaced is changed, and so is one that can no longer be read; one
    that was only touched is not. Content replaced under the same size and mtime is not seen: drawings see it,
    because they compare the hash of the pixels that they draw.
    """
    new, gone = [], []
    for row in rows:
        try:
            state = state_of(root / row.path)
        except (OSError, ValueError):
            gone.append(row.id)
            continue
        size = row.size if state.size is None else state.size
        is_same = (size, state.mtime_ns) == (row.size, row.mtime_ns)
        if not is_same and _hash(root / row.path) != row.hash:
            new.append(row.id)
    return Changes(tuple(new), tuple(gone))


def _hash(path: Path) -> str | None:
    try:
        return content_hash(path)
    except ImageError:
        return None
