"""The indexes of a folder: a row each, also where one cannot be opened, and which is the newest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from auditor.errors import AuditError, IndexDamaged, IndexMissing
from auditor.records import IndexSummary
from auditor.store.generations import Generation, read_current
from auditor.store.manifest import check_command, is_index, read_manifest
from auditor.store.placement import planned_images, read_placement
from auditor.store.places import DERIVED, SHARDS, inside
from auditor.store.shards import read_shard
from auditor.store.summary import summarise


def newest(folder: Path) -> Path:
    """The index that was written last; unfinished ones count only where there is no other.

    IndexDamaged where one cannot be read: it may be the one that is meant, and no other answers in its place.
    """
    indexes = []
    for path in _indexes(folder):
        try:
            manifest, current = read_manifest(path), read_current(path)
        except AuditError as error:
            raise type(error)(
                f"{error}; {path.name} may be the newest, so name the index that you mean with --index"
            ) from None
        indexes.append((current is not None, current.made if current else manifest.created, path))
    if not indexes:
        raise IndexMissing(f"no index in {folder}; build one with: audit index IMAGES")
    return max(indexes)[2]


def list_indexes(folder: Path) -> tuple[IndexSummary, ...]:
    """The indexes of a folder by name, the newest marked; a damaged one has its `problem`."""
    rows = [_row(path) for path in _indexes(folder)]
    readable = [row for row in rows if row.modified]
    latest = max(readable, key=lambda row: (row.is_complete, row.modified, row.name), default=None)
    return tuple(replace(row, is_newest=row is latest) for row in rows)


def summary_of(path: Path) -> IndexSummary:
    """An index in one row, without its database; AuditError where it cannot be read."""
    manifest, current = read_manifest(path), read_current(path)
    if current is not None:
        return summarise(path, manifest, current, planned_images(path))
    plan = read_placement(path)
    own = sum(len(placed.paths) for placed in manifest.own(plan.shards))
    return summarise(path, manifest, None, own, plan.removed)


def _row(path: Path) -> IndexSummary:
    try:
        row = summary_of(path)
    except AuditError as error:
        return IndexSummary(path.name, "", "", 0, 0, 0, "", None, False, problem=str(error))
    try:
        _check_sizes(path, read_current(path))
    except AuditError as error:
        return replace(row, problem=str(error))
    return row


def _check_sizes(path: Path, current: Generation | None) -> None:
    """What can be seen of its files without reading them: `audit check` reads everything."""
    if current is None:
        return
    parts = [((DERIVED, current.name, name), facts) for name, facts in current.files.items()]
    for ref in current.shards:
        shard = read_shard(path, ref.name)
        parts += [((SHARDS, ref.name, name), facts) for name, facts in shard.files.items()]
    for names, facts in parts:
        file = inside(path, *names)
        if not file.is_file() or file.stat().st_size != facts.bytes:
            raise IndexDamaged(
                f"{file} is missing or has another size than when it was written; see: {check_command(path)}"
            )


def _indexes(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and is_index(path)]
