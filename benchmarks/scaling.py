"""Two workers of a Ray cluster on this machine against one: to be run on two free cores or more.

    python benchmarks/scaling.py [IMAGES]

Needs Ray (`pip install 'auditor[ray]'`). Each run is a cluster and a process of its own; a worker has one CPU
and one thread. Counted is the wall time in which shards are made: with what workers need to start and to load
the network, which both have, and without it, from the first shard to the last.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from side_by_side import load

GOAL = 1.8
SHARD_BYTES = 1 << 20  # 20 images: a task is a second or two
ROUNDS = 2


def make(workers: int, dataset: Path, index: Path) -> None:
    """One run; the wall times of its shards as JSON."""
    import ray

    from auditor.cli.app import app
    from auditor.indexing import build, on_ray

    times: list[float] = []
    commit, run = on_ray.put_files, on_ray.Cluster.run

    def put(*words: Any) -> None:
        commit(*words)
        times.append(time.perf_counter())

    def timed(self: on_ray.Cluster, todo: Any) -> None:
        times.append(time.perf_counter())
        run(self, todo)

    on_ray.put_files, on_ray.Cluster.run = put, timed  # type: ignore[method-assign]
    build.SHARD_BYTES = SHARD_BYTES
    settings = {"worker_niceness": 0}  # 15 by default: whatever else runs would decide
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, _system_config=settings)
    model = ("--backbone", "timm/resnet18", "--weights", "random:0", "--head", "none", "--device", "cpu")
    words = ["index", dataset, *model, "--name", index, "--engine", "ray", "--workers", "1", "--json"]
    app([str(word) for word in words], standalone_mode=False)
    print(json.dumps(times))


def compare(images: int) -> None:
    """The two in turns."""
    whole: dict[int, list[float]] = {1: [], 2: []}
    steady: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder, "photos")
        dataset.mkdir()
        for number in range(images):
            pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(dataset / f"{number:06d}.png")
        for turn in range(ROUNDS):
            for workers in (1, 2) if turn % 2 == 0 else (2, 1):
                words = (str(workers), str(dataset), str(Path(folder, f"{turn}-{workers}")))
                call = [sys.executable, __file__, "--run", *words]
                done = subprocess.run(call, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(done.stderr)
                start, first, *_, last = json.loads(done.stdout.splitlines()[-1])
                whole[workers].append(last - start)
                steady[workers].append(last - first)
                print(
                    f"{workers} worker(s): {last - start:.1f} s, {last - first:.1f} s from the first shard",
                    flush=True,
                )
    for name, seconds in (("with their start", whole), ("from the first shard on", steady)):
        ratio = min(seconds[1]) / min(seconds[2])
        verdict = "met" if ratio >= GOAL else "NOT MET"
        print(f"two workers against one, {name}: {ratio:.2f}x  goal >= {GOAL}: {verdict}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        make(int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        print(load())
        compare(int(sys.argv[1]) if sys.argv[1:] else 400)
        print(load())
