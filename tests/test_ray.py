"""`audit index --engine ray` on a real cluster of this machine, of which workers die."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import run_audit
from photos import SMALL, write_dataset
from same import assert_same

import auditor.indexing.build as building
from auditor.errors import AuditError
from auditor.indexing.request import Request
from auditor.indexing.start import build_index
from auditor.store.shards import shard_names

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'auditor[ray]'")
pytestmark = pytest.mark.slow
MARK = f"AUDIT_TEST_CLUSTER={os.getpid()}"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Two CPUs, so two workers of one thread each."""
    name, _, value = MARK.partition("=")
    os.environ[name] = value
    settings = {"worker_niceness": 0}  # 15 by default, which never gets its turn on a busy machine
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _system_config=settings)
    yield
    ray.shutdown()
    del os.environ[name]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(building, "SHARD_BYTES", 2 * 2 * 9 * 96)
    root = write_dataset(tmp_path / "pets", images=24)
    (root / "images" / "dog" / "05.png").write_bytes(b"")
    return root


def index(dataset: Path, *words: str) -> None:
    common = (*SMALL, "--max-bad", "1", "--workers", "1", "--device", "cpu", *words)
    run_audit("index", dataset / "images", "-a", dataset / "boxes", *common)


def workers() -> list[int]:
    """Processes of this cluster that make shards."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = MARK.encode() in (folder / "environ").read_bytes()
            if is_ours and (folder / "cmdline").read_bytes().startswith(b"ray::Worker"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def kill_one(path: Path, killed: list[int]) -> None:
    """End one of two workers without a word, once the first shards are there."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        alive = workers()
        if path.is_dir() and len(shard_names(path)) >= 2 and alive:
            os.kill(alive[0], signal.SIGKILL)
            killed.append(alive[0])
            return
        time.sleep(0.02)


def test_a_worker_that_dies_changes_nothing(dataset: Path, capsys: Any) -> None:
    index(dataset, "--name", "whole", "--head", "none")
    killed: list[int] = []
    killer = threading.Thread(target=kill_one, args=(Path("indexes/pets"), killed))
    killer.start()
    index(dataset, "--name", "pets", "--head", "none", "--engine", "ray")
    killer.join()
    assert killed
    assert "a worker died" in capsys.readouterr().err
    assert_same(Path("indexes/whole"), Path("indexes/pets"))


class Stops:
    """Stops the work when it has advanced so many times."""

    def __init__(self, left: int) -> None:
        self.left = left

    def say(self, text: str) -> None:
        pass

    def start(self, stage: str, total: int) -> None:
        pass

    def advance(self, count: int) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_coordinator_that_stopped_goes_on(dataset: Path) -> None:
    """In the second pass of a probe, of which workers make both: what it had committed stays."""
    index(dataset, "--name", "whole", "--head", "probe")
    request = Request(
        dataset=dataset / "images", annotations=dataset / "boxes", backbone="timm/test_resnet",
        weights="random:0", size=96, head="probe", workers=1, device="cpu", engine="ray",
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        build_index(request, Stops(3 + 12 + 5), path=Path("indexes/pets"))
    assert len(shard_names(Path("indexes/pets"))) == 5
    index(dataset, "--name", "pets", "--head", "probe", "--engine", "ray")
    assert_same(Path("indexes/whole"), Path("indexes/pets"))


def test_workers_without_the_dataset_are_refused(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another machine would be: the coordinator sees a folder that workers do not."""
    from auditor.indexing import on_ray

    whole = on_ray.Cluster.__init__

    def elsewhere(self: Any, *words: Any) -> None:
        from dataclasses import replace

        whole(self, *words)
        request, data, *rest = self.about
        self.about = request, replace(data, root=Path("/nowhere")), *rest

    monkeypatch.setattr(on_ray.Cluster, "__init__", elsewhere)
    with pytest.raises(AuditError, match="does not have /nowhere: every worker reads it there"):
        index(dataset, "--name", "pets", "--head", "none", "--engine", "ray")
