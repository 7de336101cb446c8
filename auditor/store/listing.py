"""The indexes of a folder: a row each, also where one cannot be opened, and which is the newest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from auditor.errors import AuditError, IndexMissing
from auditor.records import IndexSummary
from auditor.store.index import check_sizes, summarise
from auditor.store.manifest import Manifest, has_manifest, read_manifest


def newest(folder: Path, warn: Callable[[str], None] | None = None) -> Path:
    """The index that was written last; unfinished ones count only where there is no other.

    One whose manifest cannot be read is skipped, and `warn` is told: it may be the one that was meant.
    """
    indexes = []
    for path in _indexes(folder):
        try:
            indexes.append((*_age(read_manifest(path)), path))
        except AuditError as error:
            if warn is not None:
                warn(f"index {path.name} is unreadable and was skipped: {error}")
    if not indexes:
        raise IndexMissing(f"no index in {folder}; build one with: audit index IMAGES")
    return max(indexes)[2]


def list_indexes(folder: Path) -> tuple[IndexSummary, ...]:
    """The indexes of a folder by name, the newest marked; a damaged one has its `problem`."""
    rows = [_row(path) for path in _indexes(folder)]
    readable = [row for row in rows if row.modified]
    latest = max(readable, key=lambda row: (row.is_complete, row.modified, row.name), default=None)
    return tuple(replace(row, is_newest=row is latest) for row in rows)


def _row(path: Path) -> IndexSummary:
    try:
        manifest = read_manifest(path)
    except AuditError as error:
        return IndexSummary(path.name, "", "", 0, 0, 0, "", None, False, problem=str(error))
    row = summarise(path, manifest)
    try:
        check_sizes(path, manifest)
    except AuditError as error:
        return replace(row, problem=str(error))
    return row


def _age(manifest: Manifest) -> tuple[bool, str]:
    return manifest.is_complete, manifest.modified


def _indexes(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if has_manifest(path)] if folder.is_dir() else []
