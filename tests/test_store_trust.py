"""Bad luck, bad will: a crafted index deletes nothing, a damaged one lies in nothing, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from conftest import run_audit
from crash import dies_at

from auditor.errors import AuditError, IndexDamaged, IndexMismatch
from auditor.files import temporary_name
from auditor.search.nearest import nearest_cells, searchable
from auditor.store import Index, IndexWriter, Placed, list_indexes, newest, read_current, read_manifest
from auditor.store.check import check
from auditor.store.derived import open_database
from auditor.store.manifest import write_manifest
from auditor.store.map_file import save_map
from auditor.store.placement import Placement, read_placement
from auditor.store.recover import recover
from auditor.store.removal import remove_index
from auditor.store.scores import stored_scores
from auditor.store.sealed import checksum
from indexes import describe, make_world, manifest, random_images, shard, write_world

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with a head, in two shards."""
    return write_world(tmp_path_factory.mktemp("sound") / "index", make_world(3, 10))


@pytest.fixture
def index(sound: Path, tmp_path: Path) -> Path:
    """A copy of its own, read once, so that its files count as verified."""
    path = tmp_path / "index"
    shutil.copytree(sound, path)
    answers(path)
    return path


def answers(path: Path) -> dict[str, Any]:
    """Everything that an answer can be computed from."""
    with Index.open(path) as index:
        cells = np.arange(index.images * index.manifest.cells_per_image)
        tables = {name: index.query(f"SELECT * FROM {name} ORDER BY ALL") for name in ("images", "cells")}
        scores = stored_scores(index)
        hits = nearest_cells(index, index.vectors(np.array([4]))[0], 5, searchable(index))
        return {
            **{name: repr([column.tolist() for column in table.values()]) for name, table in tables.items()},
            "vectors": index.vectors(cells).tobytes(),
            "empty": index.is_empty(cells).tobytes(),
            "pooled": [index.pooled(image).tobytes() for image in range(index.images)],
            "scores": None if scores is None else scores.cells(3).tobytes(),
            "hits": repr(hits),
        }


# ------------------------------------------------------------------------------------------------ links


FOLDERS = ("shards", "plan", "derived", "shards/00000", "derived/000001")


@pytest.mark.parametrize("name", [*FOLDERS, "staging", "index.json", "CURRENT", ".verified", "heads"])
def test_no_link_leads_a_writer_out_of_the_index(index: Path, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine"
    for folder in ("00000", "000001"):
        (mine / folder).mkdir(parents=True)
        (mine / folder / "features.npy").write_bytes(b"mine")
    (mine / "own.safetensors").write_bytes(b"mine")
    place = index / name
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(mine)
    if name in FOLDERS:
        assert not check(index).is_sound
        with pytest.raises(AuditError, match="is a link"):
            remove_index(index)
    before = sorted(mine.rglob("*"))
    for act in (
        lambda: check(index, repair=True),
        lambda: IndexWriter.resume(index).close(),
        lambda: remove_index(index),
    ):
        with contextlib.suppress(AuditError):
            act()
        assert sorted(mine.rglob("*")) == before


def test_a_crafted_manifest_without_shards_sweeps_nothing(index: Path, tmp_path: Path) -> None:
    """An empty index with a correct checksum whose shards/ leads to somebody's folders."""
    evil, mine = tmp_path / "evil", tmp_path / "photos"
    (mine / "holiday").mkdir(parents=True)
    (mine / "holiday" / "a.jpg").write_bytes(b"mine")
    evil.mkdir()
    write_manifest(evil, manifest())
    (evil / "shards").symlink_to(mine)
    assert "is a link" in check(evil).problems[0]
    with pytest.raises(AuditError, match="is a link"):
        check(evil, repair=True)
    assert (mine / "holiday" / "a.jpg").exists()


def test_what_audit_did_not_write_is_never_swept(index: Path) -> None:
    (index / "shards" / "notes").mkdir()
    (index / "shards" / "notes" / "mine.txt").write_text("mine")
    (index / ".tmp-mine").mkdir()
    IndexWriter.resume(index).close()
    assert check(index, repair=True).is_sound
    assert (index / "shards" / "notes" / "mine.txt").exists()
    assert (index / ".tmp-mine").exists()


def test_what_an_ended_writer_left_is_swept_and_a_living_ones_is_not(index: Path) -> None:
    mine = index / temporary_name()
    ended = index / re.sub(r"~\d+~", "~999999999~", temporary_name())  # no process has this number
    for folder in (mine, ended):
        folder.mkdir()
        (folder / "features.npy").write_bytes(b"half")
    IndexWriter.resume(index).close()
    assert mine.is_dir()
    assert not ended.exists()


# ------------------------------------------------------------------------------------------------ lost


@pytest.mark.parametrize("harm", ["lost", "flipped", "brackets", "shape"])
def test_a_lost_manifest_is_made_again_from_the_shards(index: Path, harm: str) -> None:
    before, known = read_manifest(index), answers(index)
    spoil_manifest(index / "index.json", harm)
    with pytest.raises(IndexDamaged, match=r"audit check --index .*--repair"):
        Index.open(index)
    with pytest.raises(AuditError):
        IndexWriter.create(index, manifest())  # shards without a manifest are never written over
    assert not check(index).is_sound
    checked = check(index, repair=True)
    assert checked.is_sound
    assert "from the shards' copies" in checked.repaired[0]
    assert read_manifest(index) == before
    assert answers(index) == known


@pytest.mark.parametrize("part", [None, "1/2"])
def test_shards_say_the_plan_of_a_whole_index_and_not_of_a_part(tmp_path: Path, part: str | None) -> None:
    """The first of two parts has no gap, and knows nothing of the other's images."""
    path, images = tmp_path / "index", random_images(0, 4)
    with IndexWriter.create(path, replace(manifest(), options={"target": "all", "part": part})) as writer:
        writer.place([Placed(f"{n:05d}", n, (image.path,)) for n, image in enumerate(images)])
        for placed in writer.missing():
            shard(writer, placed.name, [images[placed.first]], placed.first)
        before = writer.placement
    shutil.rmtree(path / "plan")
    assert len(recover(path)) == (part is None)
    assert read_placement(path) == (before if part is None else Placement())


def test_no_copy_of_the_manifest_stands_for_a_head_that_is_not_there(index: Path) -> None:
    (index / "index.json").unlink()
    head = index / "heads" / "own.safetensors"
    head.write_bytes(head.read_bytes()[:-1])
    with pytest.raises(IndexDamaged, match="no shard has a sound copy of it"):
        recover(index)
    assert not (index / "index.json").exists()


def spoil_manifest(path: Path, harm: str) -> None:
    content = json.loads(path.read_text())
    if harm == "lost":
        path.unlink()
    elif harm == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif harm == "brackets":
        path.write_text("[" * 200_000)
    else:  # a right checksum and a wrong shape
        del content["checksum"]
        content["grid"], content["classes"] = {"rows": 3}, [["bird"]]
        path.write_text(json.dumps({"checksum": checksum(content), **content}))


def test_audit_index_does_not_replace_shards_that_lost_their_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_audit("synth", "scenes", "--images", "12")
    run_audit("index", "scenes", "--name", "a")
    before = answers(Path("indexes/a"))
    Path("indexes/a/index.json").unlink()
    with pytest.raises(IndexDamaged, match=r"audit check --index a --repair"):
        run_audit("index", "scenes", "--name", "a", "--limit", "3")
    run_audit("check", "--index", "a", "--repair")
    assert answers(Path("indexes/a")) == before


@pytest.mark.parametrize("name", ["plan", "CURRENT", "derived", ".verified"])
def test_whatever_is_not_a_shard_is_made_again(index: Path, name: str) -> None:
    known, place = answers(index), index / name
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert check(index, repair=True).is_sound
    assert answers(index) == known


@pytest.mark.parametrize("harm", ["brackets", "shape"])
def test_one_malformed_index_is_one_line_and_no_other_answers_for_it(
    index: Path, sound: Path, tmp_path: Path, harm: str
) -> None:
    folder = index.parent
    shutil.copytree(sound, folder / "other")
    spoil_manifest(index / "index.json", harm)
    bad, good = list_indexes(folder)
    assert bad.problem is not None
    assert good.problem is None
    with pytest.raises(IndexDamaged, match="index may be the newest"):
        newest(folder)


# ------------------------------------------------------------------------------------------------ flipped


FILES = {
    "features": "shards/00001/features.npy",
    "norms": "shards/00001/norms.npy",
    "pooled": "shards/00001/pooled.npy",
    "shard": "shards/00001/shard.json",
    "database": "derived/000001/audit.duckdb",
    "generation": "derived/000001/generation.json",
    "head": "heads/own.safetensors",
    "manifest": "index.json",
    "pointer": "CURRENT",
}


@pytest.mark.parametrize("name", FILES)
def test_no_answer_comes_from_a_flipped_bit(index: Path, name: str) -> None:
    """Sixty bits of each kind of file, one after another: refused, or the answer is what it was."""
    known, file, chance = answers(index), index / FILES[name], random.Random(name)
    whole, refused = file.read_bytes(), 0
    for _ in range(60):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
        try:
            assert answers(index) == known
        except (IndexDamaged, IndexMismatch):
            refused += 1
    assert refused >= 55
    file.write_bytes(whole)
    assert answers(index) == known


@pytest.mark.parametrize("name", [name for name in FILES if name != "pointer"])
def test_no_answer_comes_from_half_a_file_or_that_of_another_index(
    index: Path, tmp_path: Path, name: str
) -> None:
    other = write_world(tmp_path / "other", make_world(4, 10)) / FILES[name]
    file = index / FILES[name]
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", other.read_bytes()):
        file.write_bytes(content)
        with pytest.raises((IndexDamaged, IndexMismatch)):
            answers(index)


def test_a_shard_of_another_network_is_named_and_made_again(index: Path, tmp_path: Path) -> None:
    other = write_world(tmp_path / "other", make_world(4, 10), fill="blur")
    shutil.rmtree(index / "shards" / "00001")
    shutil.copytree(other / "shards" / "00001", index / "shards" / "00001")
    (problem,) = check(index).problems
    assert "made with another backbone, head or preprocessing" in problem
    with IndexWriter.resume(index) as writer:
        assert [placed.name for placed in writer.drop_damaged()] == ["00001"]


# ------------------------------------------------------------------------------------------------ ended


def grow(path: Path, count: int) -> None:
    """Bring an index to `count` images, two to a shard."""
    images = random_images(0, count)
    begun = (path / "index.json").exists()
    with IndexWriter.resume(path) if begun else IndexWriter.create(path, manifest()) as writer:
        firsts = range(writer.placement.images, count, 2)
        writer.place([Placed(f"{f:05d}", f, tuple(i.path for i in images[f : f + 2])) for f in firsts])
        for placed in writer.missing():
            shard(writer, placed.name, images[placed.first : placed.first + 2], placed.first)
        writer.finish()


def images_of(path: Path) -> int:
    with Index.open(path) as index:
        assert index.query("SELECT count(*) AS n FROM images")["n"].tolist() == [index.images]
        return index.images


def test_a_writer_that_dies_at_any_step_loses_nothing(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    grow(whole, 4)
    known, step, is_killed = answers(whole), 0, True
    while is_killed:
        step, path = step + 1, tmp_path / f"killed-{step}"
        is_killed = dies_at(step, lambda path=path: grow(path, 4))
        if is_killed and (path / "index.json").exists():
            if (path / "CURRENT").exists():
                assert images_of(path) == 4
            else:
                with pytest.raises(IndexDamaged, match="unfinished; go on with"):
                    Index.open(path)
        grow(path, 4)
        assert answers(path) == known, step
        assert check(path).is_sound
        assert not [left.name for left in path.glob(".tmp-*")]
        shutil.rmtree(path)
    assert step > 30


def test_readers_have_the_last_committed_state_whenever_an_update_dies(tmp_path: Path) -> None:
    before, step, is_killed, seen = tmp_path / "before", 0, True, set()
    grow(before, 4)
    while is_killed:
        step, path = step + 1, tmp_path / f"killed-{step}"
        shutil.copytree(before, path)
        is_killed = dies_at(step, lambda path=path: grow(path, 6))
        seen.add(images_of(path))
        if is_killed:
            (row,) = [each for each in list_indexes(tmp_path) if each.name == path.name]
            assert row.problem is None
        shutil.rmtree(path)
    assert seen == {4, 6}
    assert step > 20


def test_a_reader_is_never_refused_and_keeps_what_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "index"
    grow(path, 4)
    held = Index.open(path)
    writer = threading.Thread(target=lambda: [grow(path, count) for count in (6, 8)])
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(images_of(path))
    writer.join()
    assert set(seen) <= {4, 6, 8}
    assert seen == sorted(seen)
    assert images_of(path) == 8
    assert held.query("SELECT count(*) AS n FROM images")["n"].tolist() == [4]
    assert held.features(3).shape == (3, 3, 16)
    held.close()


def test_two_readers_have_the_same_answers_while_an_index_is_repaired(tmp_path: Path) -> None:
    """The file that they do not need is lost and made again, three times, each in a new generation."""
    path = tmp_path / "index"
    grow(path, 4)
    with Index.open(path) as index:
        known = index.query("FROM images ORDER BY id")["path"].tolist()
    seen: list[list[str]] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            with Index.open(path) as index:
                seen.append(index.query("FROM images ORDER BY id")["path"].tolist())

    with ThreadPoolExecutor(2) as readers:
        reading = [readers.submit(read) for _ in range(2)]
        try:
            for _ in range(3):
                with Index.open(path) as index:
                    save_map(index, {"image": np.arange(4), "cell": np.zeros(4, np.int64)}).unlink()
                assert check(path, repair=True).is_sound
        finally:
            ended.set()
        for each in reading:
            each.result()
    assert len(seen) > 3
    assert all(paths == known for paths in seen)


def test_the_same_shard_made_twice_is_the_same_shard(tmp_path: Path) -> None:
    path = tmp_path / "index"
    grow(path, 4)
    before = (path / "shards/00002/shard.json").read_bytes()
    images = random_images(0, 4)
    with IndexWriter.resume(path) as writer:
        shard(writer, "00002", images[2:4], 2)
        assert writer.is_complete
    assert (path / "shards/00002/shard.json").read_bytes() == before
    assert check(path).is_sound


# ------------------------------------------------------------------------------------------------ older


@pytest.fixture
def first_edition(tmp_path: Path) -> Path:
    with tarfile.open(FIXTURES / "first-edition.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "first-edition"


def test_a_first_edition_is_brought_forward_by_one_command(
    first_edition: Path, ask: Callable[..., Any]
) -> None:
    with pytest.raises(IndexMismatch, match=r"version 1 .* audit check --index .* --repair"):
        Index.open(first_edition)
    assert not check(first_edition).is_sound
    checked = check(first_edition, repair=True)
    assert checked.is_sound
    assert not (first_edition / "audit.duckdb").exists()
    metrics = json.loads((first_edition.parent / "metrics.json").read_text())
    (answer,), (recorded,) = ask("metrics", "--index", first_edition), metrics
    assert {name: answer[name] for name in recorded} == recorded  # the answer has grown since
    with Index.open(first_edition) as index:
        hits = nearest_cells(index, index.vectors(np.array([31]))[0], 12, searchable(index))
        rows = [[hit.path, hit.row, hit.col, round(hit.cosine, 5)] for hit in hits]
    assert rows == json.loads((first_edition.parent / "nearest.json").read_text())


def test_bringing_it_forward_can_be_interrupted_anywhere(first_edition: Path, tmp_path: Path) -> None:
    step, is_killed = 0, True
    while is_killed:
        step, path = step + 4, tmp_path / f"killed-{step}"
        shutil.copytree(first_edition, path)
        is_killed = dies_at(step, lambda path=path: check(path, repair=True))
        assert check(path, repair=True).is_sound, step
        generation = read_current(path)
        assert generation is not None
        assert generation.images == 12
        shutil.rmtree(path)
    assert step > 20


def test_a_damaged_first_edition_is_left_as_it_is(first_edition: Path) -> None:
    file = first_edition / "shards/00000/norms.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    before = sorted(first_edition.rglob("*"))
    with pytest.raises(IndexDamaged, match=r"norms\.npy is missing or damaged"):
        check(first_edition, repair=True)
    after = [path for path in first_edition.rglob("*") if path.name not in (".lock", ".writer")]
    assert sorted(after) == before


# ------------------------------------------------------------------------- right sums, wrong content


def test_a_database_that_is_none_or_anothers_is_named(tmp_path: Path) -> None:
    """A crafted index can give any file the right checksum."""
    path = tmp_path / "index.duckdb"
    path.write_bytes(b"DUCK" * 4096)
    with pytest.raises(IndexDamaged, match=r"index.duckdb does not open .*; do this"):
        open_database(path, "f" * 32, "do this")
    path.unlink()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE images (id INTEGER)")
    with pytest.raises(IndexDamaged, match="does not belong to these shards; do this"):
        open_database(path, "f" * 32, "do this")
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE about AS SELECT repeat('e', 32) AS fingerprint")
    with pytest.raises(IndexDamaged, match="does not belong"):
        open_database(path, "f" * 32, "do this")
    open_database(path, "e" * 32, "do this").close()


@pytest.mark.parametrize("content", ["[" * 200_000, "[]", "{", '{"index.json": 3}', "\x00"])
def test_whatever_is_noted_as_verified_is_verified_again(index: Path, content: str) -> None:
    before = answers(index)
    (index / ".verified").write_text(content)
    assert answers(index) == before
    (features, *_) = sorted(index.glob("shards/*/features.npy"))
    data = bytearray(features.read_bytes())
    data[-1] ^= 1
    features.write_bytes(data)
    (index / ".verified").write_text(content)
    with pytest.raises(IndexDamaged):
        answers(index)


def test_what_was_verified_is_not_noted_through_a_link(index: Path, tmp_path: Path) -> None:
    before, target = answers(index), tmp_path / "mine.txt"
    target.write_text("mine")
    (index / ".verified").unlink()
    (index / ".verified").symlink_to(target)
    assert answers(index) == before
    assert target.read_text() == "mine"


def test_a_shard_of_other_content_makes_the_index_unfinished(index: Path) -> None:
    """Made again and then killed: what readers have is of the shard before, whatever it is called."""
    other = make_world(5, 10)
    images = describe(other)[:5]
    with IndexWriter.resume(index) as writer:
        assert writer.is_complete
        shard(writer, "00000", images, 0)
        assert not writer.is_complete
        writer.finish()
        assert writer.is_complete
    answers(index)
