"""More shards than a process may have files open: every command answers all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import run_audit
from photos import SMALL, write_dataset

import auditor.indexing.build as building
import auditor.store.index as indexes_module
from auditor.errors import IndexDamaged
from auditor.store import Index
from auditor.store.check import check
from auditor.store.manifest import read_manifest
from auditor.store.shards import shard_names
from indexes import describe, make_index, make_world, write_world

resource = pytest.importorskip("resource", reason="this system has no such limit")

SHARDS, MAPPED = 100, 40


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index of as many shards as images."""
    folder = tmp_path_factory.mktemp("shards")
    world = make_world(3, SHARDS)
    world.splits = tuple("train" if row % 2 else "val" for row in range(SHARDS))
    made = write_world(folder / "two", world)  # for its head and its manifest
    path = folder / "indexes" / "a"
    path.mkdir(parents=True)
    (made / "heads").rename(path / "heads")
    make_index(path, describe(world), size=1, described=read_manifest(made))
    assert len(shard_names(path)) == SHARDS
    return folder


@pytest.fixture
def few_files(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fewer may be open, beside those that are, than there are shards: an array of each is too many."""
    monkeypatch.chdir(here)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_open_files() + SHARDS - 20, hard))
    monkeypatch.setattr(indexes_module, "MAPPED", MAPPED)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


COMMANDS = [
    *("list", "check", "metrics", "labels", "ledger", "hygiene", "causes", "artifacts", "leaks", "threshold"),
    *("pool", "confusion", "findings", "probe --epochs 1", "copy a ./copied", "report --out page.html"),
    *("similar --patch img001.jpg:0,0", "find --box img001.jpg:0,0,60,60", "match img001.jpg img099.jpg"),
]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_answers(words: str, few_files: None, audit: Callable[..., str]) -> None:
    as_json = [] if words.startswith("report") else ["--json"]
    before = _open_files()
    answer = audit(*words.split(), *as_json)
    assert not as_json or json.loads(answer)
    assert _open_files() <= before + MAPPED + 10  # DuckDB's own are among them


def test_an_index_is_made_in_parts_with_a_probe_and_joined(
    few_files: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = write_dataset(tmp_path / "pets", images=SHARDS // 2)
    monkeypatch.setattr(building, "SHARD_BYTES", 1)
    words = ("index", dataset / "images", *SMALL, "--head", "probe", "--name", "p")
    for part in ("1/2", "2/2"):
        run_audit(*words, "--shard", part)
    run_audit("merge", "p.1-of-2", "p.2-of-2")
    run_audit(*words)
    assert len(shard_names(Path("indexes/p"))) == SHARDS // 2
    assert check(Path("indexes/p"), repair=True).is_sound


# ------------------------------------------------------------------------------------- opened again


def test_a_row_outlives_the_file_that_it_came_from(here: Path, few_files: None) -> None:
    """Else each would hold its file open."""
    with Index.open(here / "indexes" / "a") as index:
        before = _open_files()
        rows = [index.pooled(image) for image in range(SHARDS)]
        assert _open_files() <= before + MAPPED
        assert np.array_equal(rows[5], index.pooled(5))


def test_an_array_that_is_opened_again_is_verified_where_it_is_another(here: Path, few_files: None) -> None:
    path = here / "indexes" / "a"
    norms = path / "shards" / shard_names(path)[0] / "norms.npy"
    sound = norms.read_bytes()
    try:
        with Index.open(path) as index:
            before = index.norms(0)
            for image in range(1, SHARDS):
                index.norms(image)  # the first is closed by now
            norms.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
            with pytest.raises(IndexDamaged, match=r"norms.npy is damaged"):
                index.norms(0)
            norms.write_bytes(sound)
            assert np.array_equal(index.norms(0), before)
    finally:
        norms.write_bytes(sound)
