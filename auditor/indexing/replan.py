"""Shards whose plan was lost: planned anew, of what they hold or of what the dataset lists."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from auditor.store.placement import Placed, held_shards, is_plan_lost, read_placement
from auditor.store.recover import rebuild_plan
from auditor.store.shards import drop_shard, shard_names
from auditor.store.writer import IndexWriter


def cut(paths: Iterable[str], first: int, size: int) -> list[Placed]:
    """Shards of `size` images, the ids of the first from `first` on."""
    left, shards = iter(paths), []
    while some := tuple(islice(left, size)):
        shards.append(Placed(f"{first:09d}", first, some))
        first += len(some)
    return shards


def recover_plan(writer: IndexWriter, paths: Iterable[str], size: int) -> int | None:
    """Make a lost plan again; how many shards were not of it and are gone, None where it was not lost."""
    path = writer.path
    if not is_plan_lost(path):
        return None
    is_known = rebuild_plan(path, writer.manifest)
    writer.placement = read_placement(path)
    if not is_known:
        writer.place(cut(paths, 0, size))
    planned, held = set(writer.placement.shards), set(held_shards(path))
    others = set(shard_names(path)) - {placed.name for placed in planned & held}
    for name in others:
        drop_shard(path, name)
    return len(others)
