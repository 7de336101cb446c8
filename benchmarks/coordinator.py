"""A coordinator that commits many shards while two of its workers die and it is killed once itself.

    python benchmarks/coordinator.py [SHARDS]

What is run is the tool's own: the plan, the loop of `audit index --engine ray` that hands out tasks and
commits what comes back, and what a new run looks for. Only Ray and networks are not there: `Engine` stands in
for both, in this process; its workers answer with ready bytes, and their seconds are not counted.
Each run is a process of its own; the first gets SIGKILL from outside, wherever it happens to be.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from big import make_big

from auditor.indexing.build import Task
from auditor.indexing.on_ray import Cluster
from auditor.records import Sample
from auditor.records.watch import Silence
from auditor.store import IndexWriter, Placed, read_manifest, read_placement, read_shard
from auditor.store.places import SHARDS
from auditor.store.sealed import seal
from auditor.store.shards import SHARD, files_of, shard_names

WORKERS = 64
MEMORY = Path("/dev/shm")
SPENT: dict[str, float] = {}


class RayError(Exception):
    """As Ray's."""


class RayActorError(RayError):
    """As Ray's."""


class Engine:
    """The calls of Ray that the coordinator makes; answers come in any order, two workers die of a task."""

    exceptions = SimpleNamespace(RayError=RayError, RayActorError=RayActorError)

    def __init__(self, index: Path, dying: set[int]) -> None:
        one = index.with_name(f"{index.name}-one")
        self.shard = read_shard(one, "000000000")
        self.files = {file: (one / SHARDS / self.shard.name / file).read_bytes() for file in files_of(SHARDS)}
        self.dying, self.answers, self.random = dying, 0, random.Random(0)
        self.making = 0.0  # seconds of the workers

    def remote(self, kind: type) -> Any:
        """A handle whose `make.remote` gives a reference: the task itself."""
        make = SimpleNamespace(remote=lambda manifest, task, place, files: (self.random.random(), task.name))
        start = SimpleNamespace(remote=lambda *about: SimpleNamespace(make=make))
        return SimpleNamespace(options=lambda **resources: start)

    def cluster_resources(self) -> dict[str, int]:
        return {"CPU": WORKERS}

    def wait(self, running: list[Any]) -> tuple[list[Any], list[Any]]:
        return [self.random.choice(running)], []

    def get(self, reference: tuple[float, str]) -> dict[str, bytes]:
        started = time.process_time()
        self.answers += 1
        if self.answers in self.dying:
            raise RayActorError("the worker died unexpectedly")
        name = reference[1]
        files = self.files | {SHARD: seal(replace(self.shard, name=name, first=int(name))).encode()}
        self.making += time.process_time() - started
        return files


class Tell(Silence):
    """Tells whoever started this process of every thousandth shard, and what its workers took until then."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.done = engine, 0

    def advance(self, count: int) -> None:
        """So many shards more."""
        self.done += count
        if self.done % 1000 == 0:
            print(json.dumps([self.done, self.engine.making]), flush=True)


@contextmanager
def phase(name: str) -> Iterator[None]:
    started = time.process_time()
    yield
    SPENT[name] = round(time.process_time() - started, 2)


def coordinate(path: Path, shards: int, dying: set[int]) -> None:
    """One run of the coordinator, from its plan or from where the last was killed."""
    with phase("resuming: lock, sweep, plan"):
        writer = IndexWriter.resume(path)
    with writer:
        if not writer.placement.shards:
            with phase("planning"):
                writer.place([Placed(f"{first:09d}", first, (f"{first}.jpg",)) for first in range(shards)])
        with phase("verifying what was committed"):
            assert not writer.drop_damaged()
        with phase("finding what is missing"):
            missing = writer.missing()
        todo = [Task(placed.name, placed.first, [Sample(placed.paths[0])]) for placed in missing]
        engine = Engine(path, dying)
        cluster: Any = Cluster.__new__(Cluster)  # its __init__ connects to Ray
        cluster.build, cluster.place = SimpleNamespace(writer=writer, watch=Tell(engine)), SHARDS
        cluster.ray, cluster.workers = engine, engine.remote(object)
        cluster.per_worker, cluster.about = {"num_cpus": 1}, ()
        with phase("handing out and committing"):
            cluster.run(todo)
        SPENT["handing out and committing"] -= engine.making
        print(json.dumps({"committed": len(todo), "making": engine.making, "seconds": SPENT}))


def simulate(shards: int) -> None:
    """Both runs, and what is there after them."""
    folder = Path(tempfile.mkdtemp(prefix="audit-coordinator-", dir=MEMORY))
    path = folder / "index"
    try:
        one = make_big(folder / "index-one", 1, dim=8, grid=(1, 1), classes=10)
        IndexWriter.create(path, read_manifest(one)).close()
        words = [sys.executable, __file__, "--run", str(path), str(shards)]
        first = subprocess.Popen(
            [*words, f"{shards // 5},{shards * 2 // 5}"], stdout=subprocess.PIPE, text=True
        )
        before = _cpu()
        assert first.stdout is not None
        for line in first.stdout:
            done, making = json.loads(line)
            if done >= shards // 2:
                first.send_signal(signal.SIGKILL)
                break
        first.wait()
        killed = _cpu() - before - making
        there = len(shard_names(path))
        print(f"killed with {there:,} of {shards:,} shards committed: {killed:.1f} CPU-s", flush=True)
        before = _cpu()
        second = subprocess.run([*words, ""], stdout=subprocess.PIPE, text=True, check=True)
        told = json.loads(second.stdout.splitlines()[-1])
        for name, seconds in told["seconds"].items():
            print(f"  the next run, {name}: {seconds:.1f} CPU-s")
        assert told["committed"] == shards - there, "no shard was made twice"
        assert shard_names(path) == [placed.name for placed in read_placement(path).shards]
        assert not [each for each in path.iterdir() if each.name.startswith(".tmp-")]
        total = killed + _cpu() - before - told["making"]
        print(f"{shards:,} shards in two runs: {total:.1f} CPU-s, imports included, goal 60 s", flush=True)
    finally:
        shutil.rmtree(folder)


def _cpu() -> float:
    """Of processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        index, count, dying = Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
        coordinate(index, count, {int(number) for number in dying.split(",") if number})
    else:
        simulate(int(sys.argv[1]) if sys.argv[1:] else 100_000)
