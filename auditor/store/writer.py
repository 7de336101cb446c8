"""The one writer of an index: takes its lock, plans shards, and makes what is derived from them current.

Shards themselves are committed without it (`shards.write_shard`), by as many processes as one likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from auditor.errors import AuditError, IndexDamaged, IndexMismatch
from auditor.files import TEMPORARY, make_folder, new_folder
from auditor.store.blocks import FileFacts, Verified
from auditor.store.counts import count_images
from auditor.store.derived import build_derived, require_writable
from auditor.store.generations import (
    DATABASE,
    LISTS,
    MAP,
    Generation,
    ShardRef,
    fingerprint,
    make_current,
    next_name,
    read_current,
    save_generation,
)
from auditor.store.go_on import index_command
from auditor.store.lock import take_lock
from auditor.store.manifest import (
    Manifest,
    has_manifest,
    is_index,
    read_manifest,
    repair_sentence,
    write_manifest,
)
from auditor.store.placement import Placed, Placement, extend_placement, read_placement, set_removed
from auditor.store.places import DERIVED, MANIFEST, OWN_NAMES, inside, sweep
from auditor.store.shards import (
    TABLES,
    Shard,
    changed_files,
    clear_staging,
    drop_shard,
    read_shard,
    shard_names,
)

if TYPE_CHECKING:
    from filelock import FileLock


class IndexWriter:
    """A context manager that holds the index's lock; `manifest` is always what index.json says."""

    def __init__(self, path: Path, manifest: Manifest, lock: FileLock) -> None:
        self.path = path
        self.manifest = manifest
        self.placement = read_placement(path)
        self.verified = Verified(path)
        self._lock = lock

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> Self:
        """Begin an index in a new or empty folder."""
        require_writable(path)
        make_folder(path)
        check_free(path)
        lock = take_lock(path)
        try:
            check_free(path)
            sweep(path)
            begun = replace(manifest, created=datetime.now(UTC).isoformat())
            write_manifest(path, begun)
            return cls(path, begun, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def resume(cls, path: Path) -> Self:
        """Go on with an index; what an ended writer left unfinished is deleted."""
        read_manifest(path)
        lock = take_lock(path)
        try:
            writer = cls(path, read_manifest(path), lock)  # the last writer may have changed it
            sweep(path)
            clear_staging(path, set(shard_names(path)))
            return writer
        except BaseException:
            lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock."""
        self.verified.save()
        self._lock.release()

    @property
    def is_complete(self) -> bool:
        """Whether readers have everything that was planned, made of the shards as they are now."""
        current = read_current(self.path)
        if current is None or self.missing():
            return False
        return current.fingerprint == planned_fingerprint(self.path, self.manifest, self.placement)

    def place(self, shards: Sequence[Placed]) -> None:
        """Give ids to new images, before any of them is looked at."""
        if not shards:
            return
        expected = self.placement.images
        for shard in shards:
            if shard.first != expected or not shard.paths:
                raise ValueError(f"shard {shard.name} begins at {shard.first}, and the next id is {expected}")
            expected += len(shard.paths)
        extend_placement(self.path, shards)
        self.placement = read_placement(self.path)

    def set_removed(self, images: Iterable[int]) -> None:
        """Set exactly these images aside as not in the dataset; their ids are never given out again."""
        wanted = frozenset(int(image) for image in images)
        set_removed(self.path, wanted - self.placement.removed, self.placement.removed - wanted)
        self.placement = read_placement(self.path)

    def update(self, **changes: Any) -> None:
        """Replace fields of the manifest: certificate and options, or the head before the first shard."""
        changed = replace(self.manifest, **changes)
        if changed.identity != self.manifest.identity and shard_names(self.path):
            raise ValueError(f"{self.path} has shards that were made under another {', '.join(changes)}")
        self.manifest = changed
        write_manifest(self.path, changed)

    def drop_damaged(self) -> tuple[Placed, ...]:
        """Take shards away that are not what was planned and written; the plan keeps their images."""
        committed = set(shard_names(self.path))
        damaged = [
            placed
            for placed in self.placement.shards
            if placed.name in committed and next(iter(self.problems(placed)), None) is not None
        ]
        for placed in damaged:
            drop_shard(self.path, placed.name)
        return tuple(damaged)

    def missing(self) -> tuple[Placed, ...]:
        """The planned shards that are still to be made here."""
        committed, planned = set(shard_names(self.path)), self.manifest.own(self.placement.shards)
        return tuple(placed for placed in planned if placed.name not in committed)

    def problems(self, placed: Placed) -> Iterable[str]:
        """Why a committed shard is not what was planned and written."""
        return shard_problems(self.path, self.manifest, placed, self.verified)

    def finish(self) -> None:
        """Build what is derived from all planned shards, and give it to readers."""
        shards = self._shards()
        refs, removed = tuple(map(ShardRef.of, shards)), tuple(sorted(self.placement.removed))
        made = Generation(
            next_name(self.path),
            datetime.now(UTC).isoformat(),
            fingerprint(self.manifest, refs, removed),
            refs,
            removed,
            {},
        )
        needed = sum(shard.files[name].bytes for shard in shards for name in TABLES)  # no database is smaller
        require_writable(self.path)
        with new_folder(self.path, self.path / DERIVED / made.name, needed) as folder:
            build_derived(self.path, self.manifest, shards, removed, made.fingerprint, folder)
            kept = self._copy_kept(made, folder)
            names = [DATABASE, *kept]
            counts = count_images(self.path, folder / DATABASE, shards)
            facts = {name: FileFacts.of(folder / name) for name in names}
            search = kept[LISTS].search if LISTS in kept else None
            made = replace(made, counts=counts, files=facts, search=search)
            save_generation(folder, made)
        make_current(self.path, made)
        for name, each in made.files.items():
            self.verified.note((DERIVED, made.name, name), each)

    @property
    def command(self) -> str:
        """What goes on with this index."""
        return index_command(self.path, self.manifest)

    def _shards(self) -> list[Shard]:
        committed = set(shard_names(self.path))
        for placed in self.placement.shards:
            if placed.name not in committed:
                raise IndexDamaged(
                    f"{self.path} lacks images from id {placed.first} on; go on with: {self.command}"
                )
        return [read_shard(self.path, placed.name) for placed in self.placement.shards]

    def _copy_kept(self, made: Generation, folder: Path) -> dict[str, Generation]:
        """What outlives a repair: a map of these images, the lists of these shards; and whose they are.

        Those of others are made again, the map when it is asked for.
        """
        try:
            current = read_current(self.path)
        except IndexDamaged:
            return {}
        if current is None:
            return {}
        is_same = {MAP: current.fingerprint == made.fingerprint, LISTS: current.shards == made.shards}
        kept = {}
        for name in is_same:
            path = inside(self.path, DERIVED, current.name, name)
            if is_same[name] and name in current.files and current.files[name].hold_for(path):
                copyfile(path, folder / name)
                kept[name] = current
        return kept


def planned_fingerprint(index: Path, manifest: Manifest, plan: Placement) -> str:
    """The fingerprint of a generation that has all planned shards; IndexDamaged where one cannot be read."""
    refs = tuple(ShardRef.of(read_shard(index, placed.name)) for placed in plan.shards)
    return fingerprint(manifest, refs, tuple(sorted(plan.removed)))


def shard_problems(
    index: Path, manifest: Manifest, placed: Placed, verified: Verified | None = None
) -> Iterable[str]:
    """Why a shard is not what was planned and written; with `verified`, once per state of a file."""
    try:
        shard = read_shard(index, placed.name)
    except IndexDamaged as error:
        yield str(error)
        return
    if shard.identity != manifest.identity:
        yield "made with another backbone, head or preprocessing than this index"
    elif (shard.first, shard.images) != (placed.first, len(placed.paths)):
        yield "of other images than were planned"
    else:
        try:
            changed = ", ".join(changed_files(index, shard, verified))
        except IndexDamaged as error:  # no plain file
            yield str(error)
            return
        if changed:
            yield f"{changed} damaged"


def check_free(path: Path) -> None:
    """Refuse a folder that holds an index, also one that lost its manifest, or anything that is not ours."""
    if has_manifest(path):
        raise IndexMismatch(f"{path} already holds an index; choose another name or go on with it")
    if is_index(path):
        raise IndexDamaged(f"{path / MANIFEST} is missing; {repair_sentence(path)}")
    others = sorted(
        entry.name
        for entry in path.iterdir()
        if entry.name not in OWN_NAMES and not entry.name.startswith(TEMPORARY)
    )
    if others:
        raise AuditError(f"{path} holds other files ({others[0]}); choose an empty folder without {MANIFEST}")
