"""The one writer of an index: takes its lock, sweeps what a killed run left, adds shards, finishes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from auditor.errors import AuditError, IndexBusy, IndexDamaged, IndexMismatch
from auditor.files import TEMPORARY, new_file, remove_folder
from auditor.store.columns import connect, read_parquet
from auditor.store.counts import count_built
from auditor.store.derived import DATABASE, MAP, build_derived
from auditor.store.manifest import (
    MANIFEST,
    DroppedShard,
    FileFacts,
    Manifest,
    ShardEntry,
    has_manifest,
    read_manifest,
    write_manifest,
)
from auditor.store.repair import index_command
from auditor.store.shards import SHARDS, STAGING

LOCK = ".lock"
OWN_NAMES = {LOCK, SHARDS, STAGING, "heads", DATABASE, "cells.faiss", MAP}


class IndexWriter:
    """A context manager that holds the index's lock; `manifest` is always what index.json says."""

    def __init__(self, path: Path, manifest: Manifest, lock: FileLock) -> None:
        self.path = path
        self.manifest = manifest
        self._lock = lock

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> Self:
        """Begin an index in a new or empty folder."""
        path.mkdir(parents=True, exist_ok=True)
        lock = take_lock(path)
        try:
            _check_free(path)
            now = datetime.now(UTC).isoformat()
            writer = cls(path, replace(manifest, created=now, shards=(), derived={}, is_complete=False), lock)
            writer._sweep()
            writer._save()
        except BaseException:
            lock.release()
            raise
        return writer

    @classmethod
    def resume(cls, path: Path) -> Self:
        """Go on with an index: what its manifest does not know is deleted."""
        manifest = read_manifest(path)
        lock = take_lock(path)
        try:
            manifest = read_manifest(path)  # the last writer may have changed it before it let go
            writer = cls(path, manifest, lock)
            writer._sweep()
        except BaseException:
            lock.release()
            raise
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

    def add(self, shard: ShardEntry) -> None:
        """Make a written shard part of the index, and clear what was staged under its name."""
        shards = sorted([*self.manifest.shards, shard], key=lambda entry: entry.first)
        for before, after in pairwise(shards):
            if before.first + before.images > after.first:
                raise ValueError(f"shards {before.name} and {after.name} hold the same image ids")
        dropped = tuple(lost for lost in self.manifest.dropped if lost.name != shard.name)
        self._change(shards=tuple(shards), dropped=dropped)
        if (self.path / STAGING / shard.name).is_dir():
            remove_folder(self.path / STAGING / shard.name)

    def drop(self, *names: str) -> tuple[DroppedShard, ...]:
        """Take damaged shards out; `manifest.dropped` keeps paths and ids until they are added again."""
        doomed = [shard for shard in self.manifest.shards if shard.name in names]
        lost = tuple(
            DroppedShard(shard.name, shard.first, shard_paths(self.path, self.manifest, shard))
            for shard in doomed
        )
        shards = tuple(shard for shard in self.manifest.shards if shard.name not in names)
        self._change(shards=shards, dropped=(*self.manifest.dropped, *lost))
        self._sweep()
        return lost

    def mark_removed(self, images: Iterable[int]) -> None:
        """Set exactly these images aside as no longer in the dataset; their ids are never given out again."""
        self._change(removed=tuple(sorted({int(image) for image in images})))

    def update(self, **changes: Any) -> None:
        """Replace fields of the manifest, for example head, certificate or options."""
        self._change(**changes)

    def finish(self) -> None:
        """Build what is derived and declare the index complete."""
        expected = 0
        for shard in self.manifest.shards:
            if shard.first != expected:
                break
            expected += shard.images
        if expected != self.manifest.images:
            go_on = index_command(self.path, self.manifest)
            raise IndexDamaged(f"{self.path} lacks images from id {expected} on; go on with: {go_on}")
        # a map of these very shards outlives a repair; one of others was forgotten when they changed
        kept = {
            name: facts
            for name, facts in self.manifest.derived.items()
            if name == MAP and facts.hold_for(self.path / name)
        }
        derived = build_derived(self.path, self.manifest) | kept
        counts = count_built(self.path, self.manifest)
        self.manifest = replace(self.manifest, derived=derived, is_complete=True, counts=counts)
        self._save()

    def keep(self, name: str, write: Callable[[Path], None]) -> None:
        """Add a derived file that a question made; the index stays as old as its shards.

        The manifest forgets an older file of this name first: killed half-way, there is none.
        """
        others = {other: facts for other, facts in self.manifest.derived.items() if other != name}
        self._record(others)
        with new_file(self.path / name) as temporary:
            write(temporary)
        self._record(others | {name: FileFacts.of(self.path / name)})

    def _record(self, derived: Mapping[str, FileFacts]) -> None:
        self.manifest = replace(self.manifest, derived=derived)
        write_manifest(self.path, self.manifest)

    def _change(self, **changes: Any) -> None:
        """Whatever changes makes the derived files stale, so that a kill before `finish` is seen."""
        unfinished = {"derived": {}, "is_complete": False, "counts": None}
        self.manifest = replace(self.manifest, **{**unfinished, **changes})
        self._save()

    def _save(self) -> None:
        self.manifest = replace(self.manifest, modified=datetime.now(UTC).isoformat())
        write_manifest(self.path, self.manifest)

    def _sweep(self) -> None:
        """Delete what a killed run left: unfinished files and folders, shards that the manifest lacks."""
        names = {shard.name for shard in self.manifest.shards}
        if MAP not in self.manifest.derived:
            (self.path / MAP).unlink(missing_ok=True)
        for path in self.path.glob(f"{TEMPORARY}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in (self.path / SHARDS).glob("*"):
            if path.name not in names:
                remove_folder(path)
        for path in (self.path / STAGING).glob("*"):
            if path.name in names:  # killed between the manifest and the clearing
                remove_folder(path)


def shard_paths(index: Path, manifest: Manifest, shard: ShardEntry) -> tuple[str, ...]:
    """Paths of the shard's images, from its own table or, where that is damaged, from the database."""
    table = index / SHARDS / shard.name / "images.parquet"
    if shard.files["images.parquet"].hold_for(table):
        return tuple(str(path) for path in read_parquet(table)["path"])
    if DATABASE not in manifest.derived or not manifest.derived[DATABASE].hold_for(index / DATABASE):
        raise IndexDamaged(
            f"{table} and {index / DATABASE} are both damaged, so nothing says which images the shard held; "
            f"delete {index} and build it again with: {index_command(index, manifest)}"
        )
    with connect(index / DATABASE) as connection:
        query = "SELECT path FROM images WHERE id >= ? AND id < ? ORDER BY id"
        rows = connection.execute(query, [shard.first, shard.first + shard.images]).fetchall()
    return tuple(path for (path,) in rows)


def take_lock(path: Path) -> FileLock:
    """The lock of the one writer, taken; IndexBusy where another process has it."""
    lock = FileLock(path / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise IndexBusy(f"another process is writing {path}; wait until it is done, then try again") from None
    return lock


def _check_free(path: Path) -> None:
    """Refuse a folder that holds an index or anything that is not ours to sweep."""
    if has_manifest(path):
        raise IndexMismatch(f"{path} already holds an index; choose another name or go on with it")
    others = sorted(
        entry.name
        for entry in path.iterdir()
        if entry.name not in OWN_NAMES and not entry.name.startswith(TEMPORARY)
    )
    if others:
        raise AuditError(f"{path} holds other files ({others[0]}); choose an empty folder without {MANIFEST}")
