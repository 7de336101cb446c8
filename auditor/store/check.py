"""Verifying an index: every byte against its checksum, and what is derived against the shards."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from auditor.errors import AuditError, IndexDamaged
from auditor.files import digest
from auditor.records import Check
from auditor.store.derived import codes, open_database, open_vectors, shard_array
from auditor.store.manifest import FileFacts, Manifest, ShardEntry, read_manifest
from auditor.store.repair import index_command, index_word, rebuild_command
from auditor.store.shards import SHARDS
from auditor.store.writer import IndexWriter, shard_paths


def check(path: Path, repair: bool = False) -> Check:
    """Verify every file; with `repair`, rebuild what is derived where the shards are sound."""
    try:
        manifest = read_manifest(path)
    except IndexDamaged as error:
        return Check(path.resolve().name, 1, 0, (str(error),), ())
    shards, heads = list(_shard_problems(path, manifest)), list(_head_problems(path, manifest))
    problems = [*shards, *heads]
    derived = [] if problems else list(_derived_problems(path, manifest))
    repaired: tuple[str, ...] = ()
    commands: tuple[str, ...]
    if derived and repair and manifest.is_complete:
        with IndexWriter.resume(path) as writer:
            writer.finish()
            manifest = writer.manifest
        repaired, derived = tuple(derived), list(_derived_problems(path, manifest))
    files = list(_files(path, manifest))
    size = sum(file.stat().st_size for file, _ in files if file.is_file())
    if heads:
        commands = _commands_anew(path, manifest)
    elif shards or not manifest.is_complete:
        commands = (index_command(path, manifest),)
    else:
        commands = (rebuild_command(path),) if derived else ()
    return Check(path.resolve().name, len(files) + 1, size, (*problems, *derived), repaired, commands)


def _commands_anew(path: Path, manifest: Manifest) -> tuple[str, ...]:
    """Nothing in the index could train or find its head again; a head's file must be named by the user."""
    head = "FILE" if manifest.options.get("head_file") else manifest.head.name
    return shlex.join(["audit", "remove", index_word(path)]), index_command(path, manifest, head)


def damaged_shards(path: Path, manifest: Manifest) -> tuple[str, ...]:
    """Shards with a file that is missing or changed: `IndexWriter.drop` them, then write them again."""
    return tuple(shard.name for shard in manifest.shards if next(_changed(path, shard), None))


def _shard_problems(path: Path, manifest: Manifest) -> Iterator[str]:
    for shard in manifest.shards:
        changed = ", ".join(_changed(path, shard))
        if changed:
            yield (
                f"{path / SHARDS / shard.name}: {changed} damaged; it holds {_held(path, manifest, shard)}"
            )


def _changed(path: Path, shard: ShardEntry) -> Iterator[str]:
    for name, facts in shard.files.items():
        if not facts.hold_for(path / SHARDS / shard.name / name):
            yield name


def _held(path: Path, manifest: Manifest, shard: ShardEntry) -> str:
    numbers = f"images {shard.first} to {shard.first + shard.images - 1}"
    try:
        paths = shard_paths(path, manifest, shard)
    except AuditError:
        return numbers
    return f"{numbers}, {paths[0]} to {paths[-1]}"


def _head_problems(path: Path, manifest: Manifest) -> Iterator[str]:
    file, expected = manifest.head.file, manifest.head.sha256
    if file and not ((path / file).is_file() and digest(path / file, "sha256") == expected):
        yield f"{path / file}: the head is damaged, so the index must be built again"


def _derived_problems(path: Path, manifest: Manifest) -> Iterator[str]:
    if not manifest.is_complete:
        yield f"{path} is unfinished"
        return
    changed = [name for name, facts in manifest.derived.items() if not facts.hold_for(path / name)]
    yield from (f"{path / name} is damaged" for name in changed)
    if not changed:
        yield from _disagreements(path, manifest)


def _disagreements(path: Path, manifest: Manifest) -> Iterator[str]:
    """Derived files that are what was written, and still are not what the shards say."""
    try:
        with open_database(path, manifest) as connection:
            counts = connection.execute("SELECT count(*), count(DISTINCT id) FROM images").fetchone()
        vectors = open_vectors(path, manifest)
    except AuditError as error:
        yield str(error)
        return
    if counts != (manifest.images, manifest.images):
        yield f"{path / 'audit.duckdb'} has other images than the shards"
    width = manifest.cells_per_image
    for shard in manifest.shards:
        expected = codes(shard_array(path, shard, "features.npy"))
        stored = vectors.reconstruct_n(shard.first * width, shard.images * width).astype(np.float16)
        if not np.array_equal(stored.view(np.uint8), expected):
            yield f"{path / 'cells.faiss'} has other cells than shard {shard.name}"


def _files(path: Path, manifest: Manifest) -> Iterator[tuple[Path, FileFacts]]:
    for shard in manifest.shards:
        yield from ((path / SHARDS / shard.name / name, facts) for name, facts in shard.files.items())
    yield from ((path / name, facts) for name, facts in manifest.derived.items())
