"""Shards: folders that are immutable once their shard.json is there, and describe themselves.

A shard is written elsewhere and renamed, so that its appearing is its commit: no lock, no list of shards, and
the same work done twice gives the same bytes under the same name. A backbone without a head is extracted
first (staged), a head is trained on the pooled vectors, then its cells are scored: the staged arrays become
the shard's by hard links, never rewritten.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import IndexDamaged
from auditor.files import new_folder
from auditor.store.blocks import FileFacts, Verified
from auditor.store.columns import CELLS, IMAGES, Columns, len_of, read_parquet, write_parquet
from auditor.store.manifest import Manifest, write_manifest
from auditor.store.places import MANIFEST, SHARD_NAME, SHARDS, STAGING, inside, names_in, retire
from auditor.store.sealed import read_sealed, write_sealed

ARRAYS = ("features.npy", "norms.npy", "pooled.npy")
TABLES = ("images.parquet", "cells.parquet")
SHARD, STAGED = "shard.json", "staged.json"
FILES = {*ARRAYS, *TABLES, MANIFEST}


@dataclass(frozen=True, slots=True)
class Shard:
    """What shard.json says: image ids first .. first + images - 1, its files, and of which index it is.

    `identity` is the `Manifest.identity` that it was made under; `versions` are those of the libraries.
    """

    name: str
    first: int
    images: int
    identity: str
    files: Mapping[str, FileFacts]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _StagedFiles:
    """What staged.json says: the files as they were written."""

    files: Mapping[str, FileFacts]


@dataclass(frozen=True, slots=True)
class Staged:
    """Extracted images that wait for a head: features (n, H, W, C) fp16, norms (n, H, W), pooled (n, C)."""

    name: str
    features: NDArray[np.float16]
    norms: NDArray[np.float32]
    pooled: NDArray[np.float32]
    images: dict[str, NDArray[Any]]


def write_shard(
    index: Path,
    manifest: Manifest,
    name: str,
    *,
    features: NDArray[np.floating],
    norms: NDArray[np.floating],
    pooled: NDArray[np.floating],
    images: Columns,
    cells: Columns,
) -> Shard:
    """Commit shards/NAME; what bore the name before gives way, if it was damaged or of other content.

    features (n, H, W, C) unit-length cells of the original variant, norms (n, H, W), pooled (n, C), one row
    per image, zeros where its status is not ok; columns as in `columns.IMAGES` and `columns.CELLS`.
    """
    _make_way(index, name)
    needed = 2 * features.size + 4 * norms.size + 4 * pooled.size
    with new_folder(index, index / SHARDS / name, needed) as temporary:
        _save_arrays(temporary, features, norms, pooled)
        return _describe(temporary, manifest, name, images, cells)


def promote_staged(index: Path, manifest: Manifest, name: str, *, images: Columns, cells: Columns) -> Shard:
    """Commit shards/NAME of what is staged under that name, and clear the staging."""
    _make_way(index, name)
    with new_folder(index, index / SHARDS / name) as temporary:
        for file in ARRAYS:
            _link(inside(index, STAGING, name, file), temporary / file)
        shard = _describe(temporary, manifest, name, images, cells)
    retire(index, inside(index, STAGING, name))
    return shard


def read_shard(index: Path, name: str) -> Shard:
    """What shards/NAME says of itself; IndexDamaged where it does not, or names other files than ours."""
    path = inside(index, SHARDS, name, SHARD)
    shard = read_sealed(path, Shard)
    if shard.name != name or set(shard.files) != FILES or shard.first < 0 or shard.images < 1:
        raise IndexDamaged(f"{path} is damaged: it is not about this shard")
    return shard


def shard_names(index: Path) -> list[str]:
    """The committed shards, in order of their names."""
    return [
        name for name in names_in(index, SHARDS, SHARD_NAME) if inside(index, SHARDS, name, SHARD).is_file()
    ]


def changed_files(index: Path, shard: Shard, verified: Verified | None = None) -> Iterator[str]:
    """The shard's files that are not what was written; those in a state that is `verified` are not read."""
    for file, facts in shard.files.items():
        parts = (SHARDS, shard.name, file)
        if verified is not None and verified.is_known(parts, facts):
            continue
        if not facts.hold_for(inside(index, *parts)):
            yield file
        elif verified is not None:
            verified.note(parts, facts)


def adopt(index: Path, other: Path, place: str, name: str) -> None:
    """Take over a shard, or what is staged, of another index; files are shared where the disk can do that."""
    retire(index, inside(index, place, name))
    with new_folder(index, index / place / name) as temporary:
        for file in files_of(place):
            _link(inside(other, place, name, file), temporary / file)


def files_of(place: str) -> tuple[str, ...]:
    """The files of a shard, or of what is staged."""
    return (*sorted(FILES), SHARD) if place == SHARDS else (*ARRAYS, TABLES[0], STAGED)


def put_files(index: Path, place: str, name: str, files: Mapping[str, bytes]) -> None:
    """Commit a shard, or stage one, of which another machine has sent the files."""
    retire(index, inside(index, place, name))
    with new_folder(index, index / place / name, sum(map(len, files.values()))) as temporary:
        for file in files_of(place):
            (temporary / file).write_bytes(files[file])
    if place == SHARDS:
        retire(index, inside(index, STAGING, name))


def drop_shard(index: Path, name: str) -> None:
    """Take a damaged shard away: the plan knows which images it held, so they are indexed again."""
    retire(index, inside(index, SHARDS, name))


# ------------------------------------------------------------------------------------- staging


def write_staged(
    index: Path,
    name: str,
    *,
    features: NDArray[np.floating],
    norms: NDArray[np.floating],
    pooled: NDArray[np.floating],
    images: Columns,
) -> None:
    """Keep extracted images in staging/NAME until a head has scored them."""
    retire(index, inside(index, STAGING, name))
    with new_folder(index, index / STAGING / name) as temporary:
        _save_arrays(temporary, features, norms, pooled)
        write_parquet(temporary / TABLES[0], images, IMAGES)
        facts = {file: FileFacts.of(temporary / file) for file in (*ARRAYS, TABLES[0])}
        write_sealed(temporary / STAGED, _StagedFiles(facts))


def staged_names(index: Path) -> tuple[str, ...]:
    """Names of what is staged, in order."""
    return tuple(names_in(index, STAGING, SHARD_NAME))


def is_staged(index: Path, name: str) -> bool:
    """Whether something is staged under this name."""
    return inside(index, STAGING, name).is_dir()


def read_staged(index: Path, name: str) -> Staged:
    """Staged images, their cells memory-mapped; `images` can be given back to `promote_staged`.

    IndexDamaged where a file is not what was written: a head would be trained on it, and its cells be scored.
    """
    for file, facts in read_sealed(inside(index, STAGING, name, STAGED), _StagedFiles).files.items():
        if not facts.hold_for(path := inside(index, STAGING, name, file)):
            raise IndexDamaged(f"{path} is missing or damaged")
    features, norms = (np.load(inside(index, STAGING, name, file), mmap_mode="r") for file in ARRAYS[:2])
    pooled = np.load(inside(index, STAGING, name, ARRAYS[2]))
    return Staged(name, features, norms, pooled, read_parquet(inside(index, STAGING, name, TABLES[0])))


def clear_staging(index: Path, done: set[str]) -> None:
    """Delete what is staged under the names of committed shards: their writer was killed in between."""
    for name in staged_names(index):
        if name in done:
            retire(index, inside(index, STAGING, name))


# ------------------------------------------------------------------------------------- writing


def _make_way(index: Path, name: str) -> None:
    if not SHARD_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a shard: 5 to 12 digits")
    retire(index, inside(index, SHARDS, name))


def _save_arrays(
    folder: Path, features: NDArray[np.floating], norms: NDArray[np.floating], pooled: NDArray[np.floating]
) -> None:
    if features.shape[:3] != norms.shape or pooled.shape != (len(features), features.shape[3]):
        raise ValueError(f"shapes differ: {features.shape=}, {norms.shape=}, {pooled.shape=}")
    save_array(folder / ARRAYS[0], features.astype(np.float16, copy=False))
    save_array(folder / ARRAYS[1], norms.astype(np.float32, copy=False))
    save_array(folder / ARRAYS[2], pooled.astype(np.float32, copy=False))


def save_array(path: Path, array: NDArray[Any]) -> None:
    """The bytes that `np.save` writes, but OSError where the disk has no room for the last of them.

    NumPy hands an array to C's buffered output, whose last block can be lost without a word; and a memory map
    on a full disk dies by SIGBUS, not by an error.
    """
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def _describe(folder: Path, manifest: Manifest, name: str, images: Columns, cells: Columns) -> Shard:
    """Write what a shard has beside its arrays, shard.json last."""
    rows = len(np.load(folder / ARRAYS[0], mmap_mode="r"))
    ids = np.asarray(images["id"])
    if len_of(images["id"]) != rows or not np.array_equal(ids, np.arange(ids[0], ids[0] + rows)):
        raise ValueError(f"the {rows} rows of features need as many consecutive image ids")
    write_parquet(folder / TABLES[0], images, IMAGES)
    write_parquet(folder / TABLES[1], cells, CELLS)
    return describe_shard(folder, manifest, name, int(ids[0]), rows)


def describe_shard(folder: Path, manifest: Manifest, name: str, first: int, images: int) -> Shard:
    """Measure a shard's files and write its shard.json, and beside it the index's own manifest."""
    write_manifest(folder, manifest.whole)
    facts = {file: FileFacts.of(folder / file, images if file in ARRAYS else 0) for file in sorted(FILES)}
    shard = Shard(name, first, images, manifest.identity, facts, dict(manifest.versions))
    write_sealed(folder / SHARD, shard)
    return shard


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
