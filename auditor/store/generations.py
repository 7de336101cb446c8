"""Generations of what is derived from the shards, and the one pointer that says which readers use.

A generation is built beside the others and becomes the current one by replacing CURRENT: readers always have
the last state that was committed, also while a writer is at work, and keep the one that they opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from auditor.errors import IndexDamaged
from auditor.files import flush, new_file
from auditor.records import SearchLists
from auditor.store.blocks import FileFacts
from auditor.store.manifest import Counts, Manifest, repair_sentence
from auditor.store.places import CURRENT, DERIVED, GENERATION_NAME, MANIFEST, inside, names_in, retire
from auditor.store.sealed import checksum, read_sealed, write_sealed
from auditor.store.shards import Shard

GENERATION = "generation.json"
DATABASE = "audit.duckdb"
MAP = "map.parquet"  # made when it is asked for, see map_file.py
LISTS = "lists.faiss"  # what a large index is searched by


@dataclass(frozen=True, slots=True)
class ShardRef:
    """A shard as a generation saw it: `digest` is that of the sums of its content."""

    name: str
    first: int
    images: int
    digest: str

    @classmethod
    def of(cls, shard: Shard) -> ShardRef:
        """The reference to a shard in the state that it is in."""
        files = shard.files.items()
        content = {name: [facts.bytes, facts.sums] for name, facts in files if name != MANIFEST}
        return cls(shard.name, shard.first, shard.images, checksum(content)[:32])


@dataclass(frozen=True, slots=True)
class Generation:
    """What generation.json says: from which shards, without which images, which files, made when (UTC).

    `fingerprint` is of all that the files are made from; the database holds it too. `search` says how to use
    the lists, where there are any.
    """

    name: str
    made: str
    fingerprint: str
    shards: tuple[ShardRef, ...]
    removed: tuple[int, ...]
    files: Mapping[str, FileFacts]
    counts: Counts | None = None
    search: SearchLists | None = None

    @property
    def images(self) -> int:
        """Image ids that the shards hold."""
        return sum(shard.images for shard in self.shards)


def fingerprint(manifest: Manifest, shards: tuple[ShardRef, ...], removed: tuple[int, ...]) -> str:
    """A digest of everything that decides the derived files."""
    content = {
        "identity": manifest.identity,
        "shards": [[shard.name, shard.first, shard.images, shard.digest] for shard in shards],
        "removed": list(removed),
    }
    return checksum(content)


def read_current(index: Path) -> Generation | None:
    """The generation that readers use, None before the first; IndexDamaged where it cannot be read."""
    pointer = inside(index, CURRENT)
    if not pointer.exists():
        return None
    try:
        name = pointer.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        name = ""
    if not GENERATION_NAME.fullmatch(name):
        raise IndexDamaged(f"{pointer} is damaged; {repair_sentence(index)}")
    return read_generation(index, name)


def read_generation(index: Path, name: str) -> Generation:
    """A generation by its name; IndexDamaged where it is not what was written."""
    try:
        generation = read_sealed(inside(index, DERIVED, name, GENERATION), Generation)
    except IndexDamaged as error:
        raise IndexDamaged(f"{error}; {repair_sentence(index)}") from None
    if generation.name != name:
        raise IndexDamaged(f"{index / DERIVED / name} is another generation; {repair_sentence(index)}")
    return generation


def previous_generations(index: Path, current: Generation) -> Iterator[Generation]:
    """Those that are still there beside the current one and can be read, the last first."""
    for name in reversed(names_in(index, DERIVED, GENERATION_NAME)):
        if name != current.name:
            with suppress(IndexDamaged):
                yield read_generation(index, name)


def next_name(index: Path) -> str:
    """A name that no generation has had."""
    names = names_in(index, DERIVED, GENERATION_NAME)
    return f"{int(names[-1]) + 1 if names else 1:06d}"


def make_current(index: Path, generation: Generation) -> None:
    """Readers use this one from now on; the one before it stays for those that opened it, older ones go."""
    before = _pointed_at(index)
    with new_file(index / CURRENT) as temporary:
        temporary.write_text(generation.name + "\n", encoding="ascii")
    flush(index)
    for name in names_in(index, DERIVED, GENERATION_NAME):
        if name not in (generation.name, before):
            retire(index, inside(index, DERIVED, name))


def save_generation(folder: Path, generation: Generation) -> None:
    """Write generation.json, into a folder that is not its place yet or to replace what was there."""
    write_sealed(folder / GENERATION, generation)


def _pointed_at(index: Path) -> str | None:
    pointer = inside(index, CURRENT)
    return pointer.read_text(encoding="ascii", errors="replace").strip() if pointer.is_file() else None
