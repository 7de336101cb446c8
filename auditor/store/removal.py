"""Removing and renaming an index: only what is one for certain, and only what is its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from auditor.errors import AuditError
from auditor.files import UNFINISHED
from auditor.store.generations import DATABASE, GENERATION, LISTS, MAP
from auditor.store.lock import take_lock
from auditor.store.manifest import Manifest, read_manifest
from auditor.store.places import (
    CURRENT,
    DERIVED,
    GENERATION_NAME,
    HOLDER,
    LOCK,
    MANIFEST,
    PLAN,
    PLAN_NAME,
    SHARD_NAME,
    SHARDS,
    STAGING,
    VERIFIED,
    inside,
    names_in,
    remove_known,
)
from auditor.store.shards import files_of

OLD_VECTORS = "cells.faiss"  # a second copy of the features, which indexes had until 2026-11

_DERIVED = re.compile(
    "|".join(
        (
            *map(re.escape, (DATABASE, OLD_VECTORS, MAP, LISTS, GENERATION)),
            r"counted-[0-9a-f]{16}\.parquet",
            r"answer-[A-Za-z0-9_]+-[0-9a-f]{16}\.json",
            r"hygiene-[0-9]+\.txt",  # the like of these until 2026-11
        )
    )
)


def remove_index(path: Path) -> tuple[str, ...]:
    """Delete the files of an index, by the names that audit gives them, then each folder left empty.

    Returns what stays, since it is not the index's: heads that `audit probe` trained, or anybody's files.
    Raises an error, and deletes nothing, where the manifest cannot be read, another process writes the index,
    or a link stands in the way. The manifest goes last: after a kill the same call goes on.
    """
    if path.is_symlink():
        raise AuditError(f"{path} is a link, which audit does not follow to delete; remove it by hand")
    read_manifest(path)
    with take_lock(path):
        files = [inside(path, *PurePosixPath(name).parts) for name in _files(path, read_manifest(path))]
        for file in files:
            if file.is_dir():
                raise AuditError(f"{file} is a folder where a file of the index was; move it away")
        _delete(path, files)
    if not path.exists():
        return ()
    return tuple(sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()))


def rename_index(path: Path, name: str) -> Path:
    """Give the index another name in the same folder, in one step; an error where that is taken."""
    if name in ("", ".", "..") or name.startswith(".") or "/" in name:
        raise AuditError(f"{name!r} is no name for an index; give one word without a slash")
    read_manifest(path)
    target = path.absolute().parent / name
    with take_lock(path):
        if os.path.lexists(target):  # a link that leads nowhere too
            raise AuditError(f"{target} is there already; choose another name")
        try:
            path.absolute().rename(target)
        except OSError as error:
            raise AuditError(f"cannot rename {path}: {error.strerror or error}") from error
    return target


def _delete(path: Path, files: Iterable[Path]) -> None:
    folders = {parent for file in files for parent in file.parents if parent.is_relative_to(path)}
    try:
        for left in list(path.iterdir()):
            if UNFINISHED.fullmatch(left.name):
                remove_known(left)
        for file in (*files, *(path / name for name in (CURRENT, VERIFIED, MANIFEST, HOLDER, LOCK))):
            file.unlink(missing_ok=True)
        places = {path / name for name in (PLAN, SHARDS, STAGING, DERIVED)}
        for folder in sorted(folders | places, reverse=True):
            if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise AuditError(f"cannot remove {path}: {error.strerror or error}") from error


def _files(path: Path, manifest: Manifest) -> Iterator[str]:
    """Names below the index of all files that are its own; those that are not there too."""
    for place in (SHARDS, STAGING):
        for name in names_in(path, place, SHARD_NAME):
            yield from (f"{place}/{name}/{file}" for file in files_of(place))
    for name in names_in(path, DERIVED, GENERATION_NAME):
        files = (path.name for path in inside(path, DERIVED, name).iterdir())
        yield from (f"{DERIVED}/{name}/{file}" for file in files if _DERIVED.fullmatch(file))
    yield from (f"{PLAN}/{name}" for name in names_in(path, PLAN, PLAN_NAME))
    if manifest.head.file:
        yield manifest.head.file
