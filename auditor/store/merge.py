"""The parts of an index, made by runs of their own, joined into one: nothing is computed, shards are shared.

Whatever stops it, what was joined stays, and the same call goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from auditor.errors import AuditError, IndexDamaged, IndexMismatch, IndexMissing
from auditor.files import new_file
from auditor.records.watch import Watch
from auditor.store.go_on import index_command
from auditor.store.lock import hold_still
from auditor.store.manifest import Manifest, head_path, is_index, read_manifest, repair_sentence
from auditor.store.part import Part
from auditor.store.placement import Placed, Placement, is_plan_lost, read_placement
from auditor.store.places import SHARDS, STAGING
from auditor.store.same import differences_of_parts
from auditor.store.shards import adopt, is_staged, read_staged, shard_names, staged_names
from auditor.store.writer import IndexWriter, shard_problems


@dataclass(frozen=True, slots=True)
class Source:
    """A part as it is read: nobody writes it meanwhile."""

    path: Path
    manifest: Manifest
    placement: Placement
    shards: frozenset[str]
    staged: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> Source:
        """A part whose lock is held; IndexDamaged where the plan of its shards was lost."""
        if is_plan_lost(path):
            raise IndexDamaged(f"the plan of {path} is lost or damaged; {repair_sentence(path)}")
        shards, staged = frozenset(shard_names(path)), frozenset(staged_names(path))
        return cls(path, read_manifest(path), read_placement(path), shards, staged)

    @property
    def command(self) -> str:
        """Goes on with it."""
        return index_command(self.path, self.manifest)


def merge(parts: Sequence[Path], path: Path, watch: Watch) -> None:
    """Join the parts into the index at `path`, or go on with that.

    IndexMissing where a shard is in none of the parts, IndexMismatch where they are not of one index,
    IndexDamaged where a shard is not what was written, IndexBusy where one is still being made. An index
    whose head is a probe that nobody trained yet stays unfinished: `audit index` goes on with it.
    """
    if len({each.resolve() for each in (*parts, path)}) <= len(parts):
        raise AuditError(f"a part is named twice, or {path} is itself one of the parts; name each once")
    for part in parts:
        read_manifest(part)
    with ExitStack() as held:
        for part in parts:
            held.enter_context(hold_still(part))
        sources = [Source.read(part) for part in parts]
        for other in sources[1:]:
            _require_same(sources[0], other)
        with _open(path, sources[0]) as writer:
            Merge(writer, sources, watch).run()


def _require_same(one: Source, other: Source) -> None:
    head = one.manifest.head if other.manifest.head.file is None else other.manifest.head
    for name, before, now in differences_of_parts(one.manifest, replace(other.manifest, head=head)):
        raise IndexMismatch(
            f"{one.path} and {other.path} are no parts of one index: {name} is {before} in one and {now} in "
            "the other; remove the one that is not meant and run that part again"
        )


def _open(path: Path, first: Source) -> IndexWriter:
    if not is_index(path):
        return IndexWriter.create(path, first.manifest.whole)
    writer = IndexWriter.resume(path)
    try:
        _require_same(Source.read(path), first)
    except BaseException:
        writer.close()
        raise
    return writer


class Merge:
    """One run: which shards are still to be joined, and which of the parts has each."""

    def __init__(self, writer: IndexWriter, sources: Sequence[Source], watch: Watch) -> None:
        self.writer, self.sources, self.watch = writer, sources, watch
        self.problems: list[str] = []

    def run(self) -> None:
        """Everything that is left to do."""
        self._place()
        self._copy_head()
        self.writer.drop_damaged()
        missing = self.writer.missing()
        self.watch.start("joining shards", len(missing))
        lacking = [placed for placed in missing if not self._join(placed)]
        self._refuse(lacking)
        staged = staged_names(self.writer.path)
        if staged:
            self.watch.say(
                f"{len(staged)} shards wait for a probe that is trained on all of them; train it, and score "
                f"every cell, with: {self.writer.command}"
            )
        elif not self.writer.is_complete:
            self.watch.start("building the database and the search index", 1)
            self.writer.finish()
            self.watch.advance(1)

    def _place(self) -> None:
        """The plan is the parts' own, which must be one: every shard of a part as the longest plan has it."""
        held = (self.writer.placement, *(source.placement for source in self.sources))
        longest = max(held, key=lambda placement: placement.images)
        planned = {placed.name: placed for placed in longest.shards}
        for source in self.sources:
            made = source.shards | source.staged
            for placed in source.placement.shards:
                if placed.name in made and planned.get(placed.name) != placed:
                    raise IndexMismatch(_tell_other_plan(source, placed, planned.get(placed.name)))
        if not self.writer.placement.shards:
            self.writer.place(longest.shards)
            self.writer.set_removed(longest.removed)
        elif self.writer.placement.images < longest.images:
            raise IndexMismatch(
                f"{self.writer.path} holds fewer images than these parts were planned with; choose another "
                "--name, or remove it"
            )

    def _copy_head(self) -> None:
        """The head's file, from the part that has it; it is the same in all, which was compared."""
        head = self.writer.manifest.head
        if head.file is None:
            return
        try:
            head_path(self.writer.path, self.writer.manifest)
        except IndexDamaged:
            source = head_path(self.sources[0].path, self.sources[0].manifest)
            assert source is not None
            with new_file(self.writer.path.joinpath(*PurePosixPath(head.file).parts)) as temporary:
                temporary.write_bytes(source.read_bytes())

    def _join(self, placed: Placed) -> bool:
        """Take a shard from the first part that has it whole; False where none has."""
        if is_staged(self.writer.path, placed.name):
            return True
        for source, place in self._places(placed.name):
            if not (problem := _problem(source, place, placed)):
                adopt(self.writer.path, source.path, place, placed.name)
                self.watch.advance(1)
                return True
            again = f"make it again with: {source.command}"
            self.problems.append(f"{source.path / place / placed.name}: {problem}; {again}")
        return False

    def _places(self, name: str) -> Iterator[tuple[Source, str]]:
        yield from ((source, SHARDS) for source in self.sources if name in source.shards)
        yield from ((source, STAGING) for source in self.sources if name in source.staged)

    def _refuse(self, lacking: Sequence[Placed]) -> None:
        if not lacking:
            return
        kept = f"what is sound is in {self.writer.path} already, and the same audit merge goes on"
        if self.problems:
            raise IndexDamaged(f"{self.problems[0]} (damaged shards: {len(self.problems)}); {kept}")
        first = lacking[0]
        raise IndexMissing(
            f"{len(lacking)} of {len(self.writer.placement.shards)} shards are in none of these parts, the "
            f"first with {first.paths[0]} to {first.paths[-1]}{self._part_of(first)}; {kept}, or make them "
            f"there with: {self.writer.command}"
        )

    def _part_of(self, placed: Placed) -> str:
        """Which part makes a shard, and how to run it where it is among those that were named."""
        plan, known = self.writer.placement.shards, [source.manifest.part for source in self.sources]
        for of in (part.of for part in known if part):
            part = next(p for p in (Part(k, of) for k in range(1, of + 1)) if placed in p.select(plan))
            source = self.sources[known.index(part)] if part in known else None
            return f", of part {part}: " + (f"go on with it: {source.command}" if source else "run it too")
        return ""


def _tell_other_plan(source: Source, placed: Placed, other: Placed | None) -> str:
    theirs = set(other.paths) if other else set()
    path = next((path for path in placed.paths if path not in theirs), placed.paths[0])
    return (
        f"{source.path} was planned for another state of the dataset than the other parts, which differ at "
        f"{path}; remove it and run its part again, with the dataset as it was for the others"
    )


def _problem(source: Source, place: str, placed: Placed) -> str | None:
    """Why it cannot be taken as it is."""
    if place == SHARDS:
        return next(iter(shard_problems(source.path, source.manifest, placed)), None)
    try:
        staged = read_staged(source.path, placed.name)
    except IndexDamaged as error:
        return f"damaged ({error})"
    counts = {len(placed.paths), len(staged.features), len(staged.norms), len(staged.pooled)}
    return "of other images than were planned" if len(counts) > 1 else None
