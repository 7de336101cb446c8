"""Removing and renaming an index: only what is one for certain, and only what is its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from auditor.errors import AuditError
from auditor.store.derived import DATABASE, MAP, VECTORS
from auditor.store.manifest import MANIFEST, Manifest, read_manifest
from auditor.store.shards import ARRAYS, SHARDS, STAGING, staged_names
from auditor.store.writer import LOCK, take_lock


def remove_index(path: Path) -> tuple[str, ...]:
    """Delete the files that the manifest lists, what is derived or staged, then each folder left empty.

    Returns what stays, since it is not the index's: heads that `audit probe` trained, or anybody's files.
    Raises an error, and deletes nothing, where the manifest cannot be read, another process writes the index,
    or a link stands in the way. The manifest goes last: after a kill the same call goes on.
    """
    _refuse_link(path)
    read_manifest(path)
    with take_lock(path):
        manifest = read_manifest(path)
        files = [path / name for name in dict.fromkeys(_files(path, manifest))]
        folders = {parent for file in files for parent in file.parents if parent.is_relative_to(path)}
        for folder in folders:
            _refuse_link(folder)
        for file in files:
            if file.is_dir():
                raise AuditError(f"{file} is a folder where a file of the index was; move it away")
        try:
            for file in (*files, path / MANIFEST, path / LOCK):
                file.unlink(missing_ok=True)
            for folder in sorted({*folders, path / SHARDS, path / STAGING}, reverse=True):
                _remove_if_empty(folder)
            _remove_if_empty(path)
        except OSError as error:
            raise AuditError(f"cannot remove {path}: {error.strerror or error}") from error
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


def _files(path: Path, manifest: Manifest) -> Iterator[str]:
    """Names below the index of all files that are its own."""
    listed = [f"{SHARDS}/{shard.name}/{file}" for shard in manifest.shards for file in shard.files]
    listed += [*manifest.derived, *([manifest.head.file] if manifest.head.file else [])]
    for name in listed:
        parts = PurePosixPath(name).parts
        if ".." in parts or parts[0] == "/":
            raise AuditError(f"{path / MANIFEST} lists {name}, which is outside; delete {path} by hand")
    yield from listed
    yield from (DATABASE, VECTORS, MAP)  # an index that is being written lists none of them
    for staged in staged_names(path):
        yield from (f"{STAGING}/{staged}/{file}" for file in (*ARRAYS, "images.parquet"))


def _refuse_link(folder: Path) -> None:
    if folder.is_symlink():
        raise AuditError(f"{folder} is a link, which audit does not follow to delete; remove it by hand")


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
