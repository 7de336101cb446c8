"""Which image has which id, in which shard: planned before work, and only ever appended to.

Each file in plan/ holds the images that came at one time, and what became of older ones; its name holds a
digest of its content. Whoever reads the plan knows every shard that there will be, so that many writers need
not talk, and a shard that was lost is made again with the same images under the same ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auditor.errors import IndexDamaged
from auditor.files import digest, flush, make_folder, temporary_name
from auditor.store.columns import read_parquet, write_parquet
from auditor.store.manifest import repair_sentence
from auditor.store.places import PLAN, PLAN_NAME, SHARDS, inside, names_in
from auditor.store.shards import TABLES, read_shard, shard_names

PLANNED = {"id": "INTEGER", "path": "VARCHAR", "shard": "VARCHAR", "is_removed": "BOOLEAN"}
"""One row per image that was given an id or changed; of an image's rows the last one holds."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A shard as it was planned: the paths of image ids first, first + 1, ..."""

    name: str
    first: int
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """The shards in order of their ids, and the ids of images that left the dataset or were replaced."""

    shards: tuple[Placed, ...] = ()
    removed: frozenset[int] = frozenset()

    @property
    def images(self) -> int:
        """Image ids given out so far."""
        return self.shards[-1].first + len(self.shards[-1].paths) if self.shards else 0


def read_placement(index: Path) -> Placement:
    """The whole plan; IndexDamaged where a file of it is not what was written, or one is missing."""
    shards: dict[str, Placed] = {}
    removed: set[int] = set()
    for path in _files(index):
        rows = read_parquet(path)
        _place(shards, rows["id"].tolist(), rows["path"].tolist(), rows["shard"].tolist())
        gone = np.asarray(rows["is_removed"], dtype=np.bool_)
        removed |= set(rows["id"][gone].tolist())
        removed -= set(rows["id"][~gone].tolist())
    return Placement(tuple(sorted(shards.values(), key=lambda shard: shard.first)), frozenset(removed))


def is_plan_lost(index: Path) -> bool:
    """Whether the plan cannot be read, or lacks shards that are there: it came before them."""
    try:
        planned = {placed.name for placed in read_placement(index).shards}
    except IndexDamaged:
        return True
    return not set(shard_names(index)) <= planned


def planned_images(index: Path) -> int:
    """Image ids given out so far, without reading which; IndexDamaged as `read_placement`."""
    ids = [read_parquet(path, "max(id) AS id", "shard IS NOT NULL")["id"].tolist() for path in _files(index)]
    return max((last for (last,) in ids if last is not None), default=-1) + 1


def _files(index: Path) -> Iterator[Path]:
    for number, name in enumerate(names_in(index, PLAN, PLAN_NAME)):
        path = inside(index, PLAN, name)
        if digest(path)[:16] != name[6:22] or int(name[:5]) != number:
            raise IndexDamaged(
                f"{path} is damaged, or a file of the plan before it is missing; {repair_sentence(index)}"
            )
        yield path


def extend_placement(index: Path, shards: Sequence[Placed]) -> None:
    """Give ids to new images."""
    rows = [
        (shard.first + place, path, shard.name) for shard in shards for place, path in enumerate(shard.paths)
    ]
    ids, paths, names = zip(*rows, strict=True)
    _append(index, {"id": np.array(ids), "path": paths, "shard": names, "is_removed": [False] * len(ids)})


def set_removed(index: Path, removed: Iterable[int], restored: Iterable[int]) -> None:
    """Set images aside, or take them back; their ids are never given out again."""
    gone, back = sorted(removed), sorted(restored)
    if not gone and not back:
        return
    flags = [True] * len(gone) + [False] * len(back)
    nothing = [None] * len(flags)
    _append(index, {"id": np.array([*gone, *back]), "path": nothing, "shard": nothing, "is_removed": flags})


def rebuild_placement(index: Path, removed: Iterable[int], is_part: bool = False) -> bool:
    """The plan anew from what the committed shards hold; what was planned and not yet made is forgotten.

    False, and no plan, where they cannot say it: of a part, or with gaps between them, where only the dataset
    knows what the others were to hold.
    """
    shards = sorted(held_shards(index), key=lambda shard: shard.first)
    for name in names_in(index, PLAN, PLAN_NAME):
        inside(index, PLAN, name).unlink()
    ends = [shard.first + len(shard.paths) for shard in shards]
    if is_part or [shard.first for shard in shards] != [0, *ends][:-1]:
        return False
    if shards:
        extend_placement(index, shards)
    set_removed(index, removed, ())
    return True


def held_shards(index: Path) -> Iterator[Placed]:
    """The committed shards as they were planned; one that cannot say it leaves a gap."""
    for name in shard_names(index):
        try:
            shard = read_shard(index, name)
        except IndexDamaged:
            continue
        file = inside(index, SHARDS, name, TABLES[0])
        if shard.files[TABLES[0]].hold_for(file):
            yield Placed(name, shard.first, tuple(map(str, read_parquet(file)["path"])))


def _place(shards: dict[str, Placed], ids: Sequence[int], paths: Sequence[str], names: Sequence[str]) -> None:
    """Collect the rows that name a shard, which come in the order of their ids."""
    by_shard: dict[str, list[tuple[int, str]]] = {}
    for image, path, name in zip(ids, paths, names, strict=True):
        if isinstance(name, str):
            by_shard.setdefault(name, []).append((int(image), path))
    for name, rows in by_shard.items():
        shards[name] = Placed(name, rows[0][0], tuple(path for _, path in rows))


def _append(index: Path, columns: dict[str, object]) -> None:
    number = len(names_in(index, PLAN, PLAN_NAME))
    folder = inside(index, PLAN)
    make_folder(folder)
    temporary = index / (temporary_name() + ".parquet")
    try:
        write_parquet(temporary, columns, PLANNED)  # type: ignore[arg-type]
        flush(temporary)
        temporary.rename(folder / f"{number:05d}-{digest(temporary)[:16]}.parquet")
        flush(folder)
    finally:
        temporary.unlink(missing_ok=True)
