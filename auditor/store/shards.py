"""Shards: immutable folders of features and tables, written whole or not at all; and what is staged for one.

A backbone without a head is extracted first (staged), a head is trained on the pooled vectors, then its cells
are scored: the staged arrays become the shard's by hard links, never rewritten.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.files import TEMPORARY, new_folder
from auditor.store.columns import CELLS, IMAGES, Columns, len_of, read_parquet, write_parquet
from auditor.store.manifest import FileFacts, ShardEntry

SHARDS = "shards"
STAGING = "staging"
ARRAYS = ("features.npy", "norms.npy", "pooled.npy")


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
    name: str,
    *,
    features: NDArray[np.floating],
    norms: NDArray[np.floating],
    pooled: NDArray[np.floating],
    images: Columns,
    cells: Columns,
) -> ShardEntry:
    """Write shards/NAME; it exists for others once `IndexWriter.add` has taken the entry.

    features (n, H, W, C) unit-length cells of the original variant, norms (n, H, W), pooled (n, C), one row
    per image, zeros where its status is not ok; columns as in `columns.IMAGES` and `columns.CELLS`.
    """
    with new_folder(index, index / SHARDS / name) as temporary:
        _save_arrays(temporary, features, norms, pooled)
        _write_tables(temporary, images, cells)
    return _entry(index, name, images)


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
    with new_folder(index, index / STAGING / name) as temporary:
        _save_arrays(temporary, features, norms, pooled)
        write_parquet(temporary / "images.parquet", images, IMAGES)


def staged_names(index: Path) -> tuple[str, ...]:
    """Names of what is staged, in order."""
    folder = index / STAGING
    return tuple(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else ()


def read_staged(index: Path, name: str) -> Staged:
    """Staged images, their arrays memory-mapped; `images` can be given back to `promote_staged`."""
    folder = index / STAGING / name
    features, norms, pooled = (np.load(folder / file, mmap_mode="r") for file in ARRAYS)
    return Staged(name, features, norms, pooled, read_parquet(folder / "images.parquet"))


def promote_staged(index: Path, name: str, *, images: Columns, cells: Columns) -> ShardEntry:
    """Make shards/NAME of what is staged under that name; `IndexWriter.add` then clears the staging."""
    with new_folder(index, index / SHARDS / name) as temporary:
        for file in ARRAYS:
            os.link(index / STAGING / name / file, temporary / file)
        _write_tables(temporary, images, cells)
    return _entry(index, name, images)


def _save_arrays(
    folder: Path, features: NDArray[np.floating], norms: NDArray[np.floating], pooled: NDArray[np.floating]
) -> None:
    if features.shape[:3] != norms.shape or pooled.shape != (len(features), features.shape[3]):
        raise ValueError(f"shapes differ: {features.shape=}, {norms.shape=}, {pooled.shape=}")
    # plain writes: a memory map on a full disk dies by SIGBUS, not by an error
    np.save(folder / ARRAYS[0], features.astype(np.float16, copy=False))
    np.save(folder / ARRAYS[1], norms.astype(np.float32, copy=False))
    np.save(folder / ARRAYS[2], pooled.astype(np.float32, copy=False))


def _write_tables(folder: Path, images: Columns, cells: Columns) -> None:
    rows = len(np.load(folder / ARRAYS[0], mmap_mode="r"))
    ids = np.asarray(images["id"])
    if len_of(images["id"]) != rows or not np.array_equal(ids, np.arange(ids[0], ids[0] + rows)):
        raise ValueError(f"the {rows} rows of features need as many consecutive image ids")
    write_parquet(folder / "images.parquet", images, IMAGES)
    write_parquet(folder / "cells.parquet", cells, CELLS)


def _entry(index: Path, name: str, images: Columns) -> ShardEntry:
    ids = np.asarray(images["id"])
    files = sorted(path for path in (index / SHARDS / name).iterdir() if not path.name.startswith(TEMPORARY))
    return ShardEntry(name, int(ids[0]), len(ids), {path.name: FileFacts.of(path) for path in files})
