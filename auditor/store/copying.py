"""An index copied to an object store, and from there, or from another disk, to this one.

An index itself lies on a disk, which can rename, lock and map its files; a store holds copies. What is copied
are folders that never change once they are there, and of each the file that says that it is whole goes last:
a copy that was stopped is an unfinished index, and the same call goes on with what is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from auditor.errors import AuditError, IndexDamaged, IndexMismatch, OutputError
from auditor.files import NO_ROOM, new_file, new_folder
from auditor.parquet import text_of
from auditor.records.watch import Watch
from auditor.remote import RemotePath
from auditor.store.blocks import FileFacts
from auditor.store.generations import GENERATION, read_current
from auditor.store.lock import hold_still, take_lock
from auditor.store.manifest import check_command, head_path, is_index, read_manifest
from auditor.store.places import (
    CURRENT,
    DERIVED,
    GENERATION_NAME,
    HEADS,
    MANIFEST,
    PLAN,
    PLAN_NAME,
    SHARDS,
    STAGING,
    inside,
    names_in,
    retire,
)
from auditor.store.shards import files_of, read_shard, shard_names, staged_names
from auditor.store.writer import check_free


@dataclass(frozen=True, slots=True)
class Unit:
    """What is copied together: a folder of the index, its files, the one that says that it is whole last.

    `facts` of those files that can be verified when they have arrived.
    """

    folder: tuple[str, ...]
    files: tuple[str, ...]
    facts: Mapping[str, FileFacts]


def copy_index(source: Path, target: Path, watch: Watch) -> int:
    """Copy an index, or what is missing of it; how many units that were.

    IndexMismatch where another index lies at the target, IndexDamaged where a file is not what was written.
    """
    if isinstance(source, RemotePath) and isinstance(target, RemotePath):
        raise AuditError(f"{source} and {target} are both elsewhere; copy the index here first")
    with _telling():
        for place in (source, target):
            if isinstance(place, RemotePath):
                place.refresh()
            else:
                text_of(place)
        read_manifest(source)
        _refuse_other(source, target)
        if isinstance(source, RemotePath):
            target.mkdir(parents=True, exist_ok=True)
        with take_lock(target) if isinstance(source, RemotePath) else hold_still(source):
            return _copy(source, target, watch)


def _copy(source: Path, target: Path, watch: Watch) -> int:
    units = list(_units(source))
    watch.start("copying", len(units))
    copied = 0
    for unit in units:
        if not _is_there(source, target, unit):
            (_send if isinstance(target, RemotePath) else _fetch)(source, target, unit)
            copied += 1
        watch.advance(1)
    if isinstance(target, RemotePath):
        _remove_older(target, {unit.folder[1] for unit in units if unit.folder[:1] == (DERIVED,)})
    return copied


def _remove_older(target: RemotePath, current: Set[str]) -> None:
    """Generations of a state before this one; where the source has none, readers of the copy use theirs."""
    for name in names_in(target, DERIVED, GENERATION_NAME):
        if current and name not in current:
            (target / DERIVED / name).remove()


@contextmanager
def _telling() -> Iterator[None]:
    """What a store or a disk refuses, in a sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{error.filename} cannot be copied: {error.strerror}; what was copied is kept, run the same "
            "command to go on"
        ) from error


def _refuse_other(source: Path, target: Path) -> None:
    if not is_index(target):
        if target.exists():
            check_free(target)
        return
    ours, theirs = read_manifest(source), read_manifest(target)
    if (ours.identity, ours.dataset.root, ours.part) != (theirs.identity, theirs.dataset.root, theirs.part):
        raise IndexMismatch(f"{target} holds another index than {source}; choose another place")
    if not set(names_in(target, PLAN, PLAN_NAME)) <= set(names_in(source, PLAN, PLAN_NAME)):
        raise IndexMismatch(
            f"{target} was planned with images that {source} does not have; copy it the other way, or choose "
            "another place"
        )


def _units(source: Path) -> Iterator[Unit]:
    """In the order in which a copy that is stopped is an unfinished index, and never a wrong one."""
    manifest, generation = read_manifest(source), read_current(source)
    yield Unit((), (MANIFEST,), {})
    yield from (Unit((PLAN,), (name,), {}) for name in names_in(source, PLAN, PLAN_NAME))
    if head_path(source, manifest) is not None:
        assert manifest.head.file is not None
        head = PurePosixPath(manifest.head.file)
        yield Unit((HEADS,), (head.name,), {})
    for name in shard_names(source):
        yield Unit((SHARDS, name), files_of(SHARDS), read_shard(source, name).files)
    for name in staged_names(source):
        yield Unit((STAGING, name), files_of(STAGING), {})
    if generation is not None:
        yield Unit((DERIVED, generation.name), (*generation.files, GENERATION), generation.files)
        yield Unit((), (CURRENT,), {})


def _is_there(source: Path, target: Path, unit: Unit) -> bool:
    """Whether the last file is there and the same, which holds the checksums of the others."""
    there = inside(target, *unit.folder, unit.files[-1])
    return there.is_file() and there.read_bytes() == inside(source, *unit.folder, unit.files[-1]).read_bytes()


def _send(source: Path, target: Path, unit: Unit) -> None:
    for name, facts in unit.facts.items():
        if not facts.hold_for(inside(source, *unit.folder, name)):
            raise IndexDamaged(
                f"{source.joinpath(*unit.folder, name)} is damaged; see: {check_command(source)}"
            )
    for name in unit.files:
        place = target.joinpath(*unit.folder, name)
        assert isinstance(place, RemotePath)
        place.put(inside(source, *unit.folder, name))


def _fetch(source: Path, target: Path, unit: Unit) -> None:
    place = inside(target, *unit.folder)
    if len(unit.files) == 1:
        with new_file(place / unit.files[0]) as temporary:
            _get(inside(source, *unit.folder, unit.files[0]), temporary)
        return
    retire(target, place)
    with new_folder(target, place) as temporary:
        for name in unit.files:
            _get(inside(source, *unit.folder, name), temporary / name)
        for name, facts in unit.facts.items():
            if not facts.hold_for(temporary / name):
                raise IndexDamaged(f"{source.joinpath(*unit.folder, name)} is damaged; copy it there again")


def _get(source: Path, file: Path) -> None:
    if not isinstance(source, RemotePath):
        shutil.copyfile(source, file)
        return
    try:
        source.get(file)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        with _telling():
            raise
