"""A manifest or a plan that was lost or damaged, made again from what the shards say of themselves."""

from __future__ import annotations

from pathlib import Path

from auditor.errors import AuditError, IndexDamaged
from auditor.store.generations import read_current
from auditor.store.lock import take_lock
from auditor.store.manifest import Manifest, head_path, read_manifest, write_manifest
from auditor.store.placement import is_plan_lost, rebuild_placement
from auditor.store.places import MANIFEST, PLAN, SHARDS, inside
from auditor.store.sealed import read_sealed
from auditor.store.shards import read_shard, shard_names


def recover(path: Path) -> tuple[str, ...]:
    """What was made again; IndexDamaged where no shard can say it."""
    made = []
    with take_lock(path):
        if _is_manifest_lost(path):
            write_manifest(path, _from_shards(path))
            made.append(f"{path / MANIFEST} was lost or damaged; it was made again from the shards' copies")
        if is_plan_lost(path) and rebuild_plan(path, read_manifest(path)):
            made.append(f"{path / PLAN} was lost or damaged; it was made again from the shards")
    return tuple(made)


def _is_manifest_lost(path: Path) -> bool:
    try:
        read_manifest(path)
    except IndexDamaged:
        return True
    return False


def rebuild_plan(path: Path, manifest: Manifest) -> bool:
    """Make the plan again from the shards; False where they cannot say it, and the next run has to."""
    return rebuild_placement(path, _removed(path), is_part=manifest.part is not None)


def _from_shards(path: Path) -> Manifest:
    """The newest copy of the manifest that belongs to its shard and whose head is the one that is there."""
    copies = []
    for name in shard_names(path):
        place = inside(path, SHARDS, name, MANIFEST)
        try:
            manifest = read_sealed(place, Manifest)
            if manifest.identity == read_shard(path, name).identity:
                head_path(path, manifest)
                copies.append((place.stat().st_mtime_ns, name, manifest))
        except AuditError:
            continue
    if not copies:
        raise IndexDamaged(
            f"{path / MANIFEST} is lost or damaged and no shard has a sound copy of it; move {path} away and "
            "build it again with: audit index"
        )
    return max(copies, key=lambda copy: copy[:2])[2]


def _removed(path: Path) -> tuple[int, ...]:
    """The images that readers do not see; the plan alone knew what became of others since."""
    try:
        current = read_current(path)
    except IndexDamaged:
        return ()
    return current.removed if current else ()
