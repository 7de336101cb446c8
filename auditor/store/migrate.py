"""From the first edition of the index to this one, in place: no image is read, no feature copied.

The first edition had one manifest that named every shard and its checksums, and its derived files at the top.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auditor.errors import AuditError, IndexDamaged
from auditor.files import digest
from auditor.store.lock import take_lock
from auditor.store.manifest import FIRST_EDITION, SCHEMA, Manifest, has_manifest, write_manifest
from auditor.store.placement import rebuild_placement
from auditor.store.places import MANIFEST, SHARDS, inside, sweep
from auditor.store.sealed import decode_as, read_content
from auditor.store.shards import FILES, describe_shard
from auditor.store.writer import IndexWriter

OLD_FILES = ("audit.duckdb", "cells.faiss", "map.parquet")


def is_first_edition(index: Path) -> bool:
    """Whether the folder holds a sound manifest of the first edition."""
    if not has_manifest(index):
        return False
    try:
        content, is_whole = read_content(inside(index, MANIFEST))
    except IndexDamaged:
        return False
    return is_whole and content.get("schema") == FIRST_EDITION


def migrate(index: Path) -> str:
    """Bring a first edition to this one and say so; killed at any point, the same call goes on.

    IndexDamaged where a file of a shard is not what its manifest says, AuditError where it is unfinished.
    """
    content, _ = read_content(inside(index, MANIFEST))
    entries = sorted(content.get("shards", ()), key=lambda entry: int(entry["first"]))
    manifest = decode_as(index / MANIFEST, Manifest, {**content, "schema": SCHEMA})
    if content.get("dropped"):
        raise AuditError(f"{index} waits for shards that were damaged; build it again with: audit index")
    with take_lock(index):
        sweep(index)
        for entry in entries:
            _require_sound(index, entry)
        for entry in entries:
            folder = inside(index, SHARDS, entry["name"])
            describe_shard(folder, manifest, entry["name"], int(entry["first"]), int(entry["images"]))
        rebuild_placement(index, content.get("removed", ()))
        write_manifest(index, manifest)
    with IndexWriter.resume(index) as writer:
        writer.finish()
    for name in OLD_FILES:
        inside(index, name).unlink(missing_ok=True)
    return f"{index} was written in version 1 of the index format and is in version {SCHEMA} now"


def _require_sound(index: Path, entry: Mapping[str, Any]) -> None:
    """IndexDamaged where a shard's file does not have the checksum of the first edition."""
    if set(entry["files"]) != FILES - {MANIFEST}:
        raise IndexDamaged(f"{index / MANIFEST} names other files of shard {entry['name']} than there are")
    for name, facts in entry["files"].items():
        path = inside(index, SHARDS, entry["name"], name)
        if not path.is_file() or digest(path) != facts["blake2b"]:
            raise IndexDamaged(f"{path} is missing or damaged, and only a sound index can be brought forward")
