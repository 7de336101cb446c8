"""`audit copy`: an index in an object store and back is the same, whatever stops it in between."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from buckets import Server
from conftest import run_audit
from photos import SMALL, write_dataset, write_photo
from same import assert_same

import auditor.indexing.build as building
from auditor.errors import AuditError, IndexDamaged, IndexMismatch, IndexMissing, OutputError
from auditor.store.check import check
from auditor.store.shards import shard_names


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of six images, which fill three shards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(building, "SHARD_BYTES", 2 * 2 * 9 * 96)
    return write_dataset(tmp_path / "pets")


def index(pets: Path, *words: str) -> None:
    run_audit("index", pets / "images", "-a", pets / "boxes", *SMALL, "--head", "none", *words)


def keys(url: str) -> set[str]:
    system, root = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    return {name.removeprefix(f"{root}/") for name in system.find(url)}


def test_an_index_comes_back_as_it_went(
    store: str, pets: Path, ask: Callable[..., dict[str, object]]
) -> None:
    index(pets, "--name", "a")
    there = f"{store}/a"
    assert ask("copy", "a", there) == {"source": "indexes/a", "target": there, "copied": 7}
    assert ask("copy", "a", there)["copied"] == 0
    assert ask("copy", there, "back")["copied"] == 7
    assert_same(Path("indexes/a"), Path("indexes/back"))
    assert ask("copy", "a", "elsewhere/a")["copied"] == 7
    assert_same(Path("indexes/a"), Path("elsewhere/a"))
    files = {
        path.relative_to("indexes/a").as_posix() for path in Path("indexes/a").rglob("*") if path.is_file()
    }
    kept = {
        name
        for name in files
        if not name.startswith((".", "derived/000001/counted", "derived/000001/answer-"))
    }
    assert keys(there) == kept


def test_only_what_is_new_is_copied(store: str, pets: Path, ask: Callable[..., dict[str, object]]) -> None:
    """One shard, a file of the plan, the new generation and its pointer; the old generation goes."""
    index(pets, "--name", "a")
    ask("copy", "a", f"{store}/a")
    shutil.copytree("indexes/a", "before")
    write_photo(pets / "images" / "cat" / "07.png", 7)
    index(pets, "--name", "a")
    assert ask("copy", "a", f"{store}/a")["copied"] == 4
    assert {key.split("/")[1] for key in keys(f"{store}/a") if key.startswith("derived/")} == {"000002"}
    assert ask("copy", f"{store}/a", "./before")["copied"] == 4
    assert_same(Path("indexes/a"), Path("before"))


def test_parts_meet_in_a_store(store: str, pets: Path) -> None:
    for number in (1, 2):
        index(pets, "--name", "a", "--shard", f"{number}/2")
        run_audit("copy", f"a.{number}-of-2", f"{store}/a.{number}-of-2")
        run_audit("copy", f"{store}/a.{number}-of-2", f"here.{number}-of-2")
    run_audit("merge", "here.1-of-2", "here.2-of-2", "--name", "here")
    index(pets, "--name", "whole")
    assert_same(Path("indexes/whole"), Path("indexes/here"))


def test_what_is_not_an_index_or_another_is_refused(store: str, pets: Path) -> None:
    index(pets, "--name", "a")
    index(pets, "--name", "b", "--fill", "black")
    run_audit("copy", "a", f"{store}/a")
    with pytest.raises(IndexMismatch, match=f"^{store}/a holds another index than indexes/b; choose"):
        run_audit("copy", "b", f"{store}/a")
    with pytest.raises(IndexMismatch, match=r"^indexes/b holds another index"):
        run_audit("copy", f"{store}/a", "b")
    with pytest.raises(IndexMissing, match=f"^no index at {store}/nothing"):
        run_audit("copy", f"{store}/nothing", "c")
    with pytest.raises(AuditError, match=r"both elsewhere"):
        run_audit("copy", f"{store}/a", f"{store}/c")
    shutil.copytree("indexes/a", "older")
    write_photo(pets / "images" / "cat" / "07.png", 7)
    index(pets, "--name", "a")
    run_audit("copy", "a", f"{store}/a")
    with pytest.raises(IndexMismatch, match=r"images that older/?.* does not have"):
        run_audit("copy", "./older", f"{store}/a")


def test_damage_is_seen_on_the_way(store: str, pets: Path) -> None:
    index(pets, "--name", "a")
    run_audit("copy", "a", f"{store}/a")
    system, url = fsspec.core.url_to_fs(store)[0], f"{store}/a/shards/000000002/features.npy"
    data = bytearray(system.cat_file(url))
    data[-5] ^= 1
    system.pipe_file(url, bytes(data))
    with pytest.raises(IndexDamaged, match=f"^{url} is damaged; copy it there again"):
        run_audit("copy", f"{store}/a", "b")
    assert shard_names(Path("indexes/b")) == ["000000000"]
    system.rm_file(f"{store}/a/shards/000000002/shard.json")
    run_audit("copy", "a", f"{store}/a")
    run_audit("copy", f"{store}/a", "b")
    assert_same(Path("indexes/a"), Path("indexes/b"))
    Path("indexes/a/shards/000000004/norms.npy").write_bytes(b"nonsense")
    with pytest.raises(IndexDamaged, match=r"000000004/norms.npy is damaged; see: audit check"):
        run_audit("copy", "a", f"{store}/new")


@pytest.mark.parametrize(("fault", "words"), [(403, "Forbidden"), (500, "Internal Server Error")])
def test_a_copy_that_is_stopped_goes_on(
    fault: int, words: str, server: Server, bucket: str, pets: Path, ask: Callable[..., dict[str, object]]
) -> None:
    """Up and down; in between the copy is an unfinished index, which `audit index` could finish as well."""
    index(pets, "--name", "a")
    there = f"{bucket}/{fault}"
    server.faults["000000002/shard.json"] = fault
    sentence = f"shard.json cannot be copied: {words}; what was copied is kept, run the same"
    with pytest.raises(OutputError, match=sentence):
        run_audit("copy", "a", there)
    assert "shards/000000000/shard.json" in keys(there)
    assert "CURRENT" not in keys(there)
    server.faults.clear()
    assert ask("copy", "a", there)["copied"] == 4
    server.faults["000000004/pooled.npy"] = fault
    with pytest.raises(OutputError, match=r"pooled.npy cannot be copied"):
        run_audit("copy", there, "b")
    assert shard_names(Path("indexes/b")) == ["000000000", "000000002"]
    server.faults.clear()
    shutil.copytree("indexes/b", "indexes/c")
    assert ask("copy", there, "b")["copied"] == 3
    index(pets, "--name", "c")
    assert check(Path("indexes/c")).is_sound
    for name in ("b", "c"):
        assert_same(Path("indexes/a"), Path("indexes", name))
