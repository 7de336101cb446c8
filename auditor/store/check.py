"""Verifying an index: every byte against its checksum, and making again what can be made from the shards."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from auditor.errors import AuditError, IndexDamaged, IndexMismatch, IndexMissing
from auditor.files import index_word
from auditor.records import Check
from auditor.store.derived import open_database
from auditor.store.generations import DATABASE, read_current
from auditor.store.go_on import index_command
from auditor.store.manifest import Manifest, head_path, is_index, read_manifest, repair_command
from auditor.store.migrate import is_first_edition, migrate
from auditor.store.placement import Placement, read_placement
from auditor.store.places import DERIVED, SHARDS, bytes_below, inside
from auditor.store.recover import recover
from auditor.store.shards import shard_names
from auditor.store.writer import IndexWriter, planned_fingerprint, shard_problems


def check(path: Path, repair: bool = False) -> Check:
    """Verify every file; with `repair`, make again what can be made of the shards where those are sound.

    An index of the first edition is brought to this one by `repair`. IndexMissing where there is none.
    """
    if not is_index(path):
        raise IndexMissing(f"no index at {path}; build one with: audit index IMAGES --name {path.name}")
    repaired: tuple[str, ...] = ()
    if repair:
        repaired = _repair(path)
    problems, commands = _examine(path)
    files = sum(1 for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    return Check(path.resolve().name, files, bytes_below(path), problems, repaired, commands)


def _repair(path: Path) -> tuple[str, ...]:
    """What was made again: the manifest, the plan, an older edition's files, or all that is derived."""
    if is_first_edition(path):
        return (migrate(path),)
    recovered = recover(path)
    try:
        manifest, plan = read_manifest(path), read_placement(path)
    except AuditError:
        return recovered
    if any(_shard_lines(path, manifest, plan)) or not plan.shards:
        return recovered
    damaged = tuple(_derived_problems(path, manifest, plan))
    if damaged:
        with IndexWriter.resume(path) as writer:
            writer.finish()
    return (*recovered, *damaged)


def _examine(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The problems, and the commands that end them, to be run one after another."""
    try:
        manifest, plan = read_manifest(path), read_placement(path)
    except (IndexMismatch, IndexDamaged) as error:
        return (str(error),), (repair_command(path),)
    shards, heads = tuple(_shard_lines(path, manifest, plan)), tuple(_head_problems(path, manifest))
    derived = () if shards else tuple(_derived_problems(path, manifest, plan))
    if heads:
        return (*heads, *shards, *derived), _commands_anew(path, manifest)
    if shards:
        return shards, (index_command(path, manifest),)
    return derived, (repair_command(path),) if derived else ()


def _commands_anew(path: Path, manifest: Manifest) -> tuple[str, ...]:
    """Nothing in the index could train or find its head again; a head's file must be named by the user."""
    head = "FILE" if manifest.options.get("head_file") else manifest.head.name
    return shlex.join(["audit", "remove", index_word(path)]), index_command(path, manifest, head)


def _shard_lines(path: Path, manifest: Manifest, plan: Placement) -> Iterator[str]:
    """A line for each shard that is not there or not what was written, and for what nobody planned."""
    try:
        committed = set(shard_names(path))
    except IndexDamaged as error:
        yield str(error)
        return
    for placed in manifest.own(plan.shards):
        held = f"images {placed.first} to {placed.first + len(placed.paths) - 1}, "
        held += f"{placed.paths[0]} to {placed.paths[-1]}"
        if placed.name not in committed:
            yield f"{path / SHARDS / placed.name} is not there yet: {held}"
            continue
        for problem in shard_problems(path, manifest, placed):
            yield f"{path / SHARDS / placed.name}: {problem}; it holds {held}"
    for name in sorted(committed - {placed.name for placed in plan.shards}):
        yield f"{path / SHARDS / name} is a shard that the plan does not have"


def _head_problems(path: Path, manifest: Manifest) -> Iterator[str]:
    try:
        head_path(path, manifest)
    except IndexDamaged as error:
        yield str(error)


def _derived_problems(path: Path, manifest: Manifest, plan: Placement) -> Iterator[str]:
    """Files that are not what was written, or are what was written of other shards."""
    if manifest.part:
        return
    try:
        current = read_current(path)
        if current is None:
            yield f"{path} has no database yet"
            return
        changed = [
            f"{path / DERIVED / current.name / name} is missing or damaged"
            for name, facts in current.files.items()
            if not facts.hold_for(inside(path, DERIVED, current.name, name))
        ]
        yield from changed
        if changed:
            return
        if current.fingerprint != planned_fingerprint(path, manifest, plan):
            yield f"{path / DERIVED / current.name} is older than the shards"
            return
        database = inside(path, DERIVED, current.name, DATABASE)
        open_database(database, current.fingerprint, "").close()
    except (IndexDamaged, KeyError, OSError) as error:
        yield str(error).rstrip("; ")
