"""Places that are attacks or accidents: names that a library reads more into, pipes, folders of others."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from conftest import run_audit
from packed import rows_of, write_parquet
from photos import SMALL, write_photo
from same import assert_same

from auditor.data.pixels import read_content
from auditor.data.read import read_dataset
from auditor.errors import AuditError, IndexDamaged, OutputError
from auditor.store import FileFacts, Index, list_indexes, read_current
from auditor.store.check import check
from auditor.store.generations import save_generation
from auditor.store.map_file import PLACES, made_with, query_map, save_map
from indexes import make_index, make_world, random_images, write_world

PATTERNS = {
    "b[1]": "b1",
    "*": "b",
    "id=7": "id=8",
    "path=x": "path=y",
    "~b": "b",
    "{b,c}": "b",
    "it's\n": "b",
}
"""Names of an index that DuckDB would read as something else, each with one that it would read instead."""


@pytest.mark.parametrize("name", PATTERNS)
def test_an_index_is_read_itself_and_nothing_into_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_index(Path(PATTERNS[name]), random_images(3, 4))
    index = make_index(Path(name), images := random_images(2, 6), removed=[1])
    map_of(Path(PATTERNS[name]), 5)
    map_of(index, 4)
    assert check(index).is_sound
    with Index.open(index) as opened:
        assert opened.query("FROM images ORDER BY id")["id"].tolist() == list(range(6))
        assert opened.query("SELECT path FROM images ORDER BY id")["path"].tolist() == [
            i.path for i in images
        ]
        path = opened.file("map.parquet")
        assert path is not None
        assert made_with(opened, path) == {"sample": 4, "seed": 0}
        assert list(query_map(opened, path, "FROM places")) == list(PLACES)
    shutil.rmtree(index / "plan")
    assert check(index, repair=True).is_sound


def map_of(index: Path, sample: int) -> None:
    with Index.open(index) as opened:
        save_map(opened, {name: [sample if name == "sample" else 0] for name in PLACES})


def test_a_question_mark_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"has a \? in its name.*choose another place"):
        make_index(tmp_path / "what?" / "a", [])
    assert not (tmp_path / "what?").exists()
    moved = make_index(tmp_path / "a", random_images(2, 3)).rename(tmp_path / "what?")
    assert check(moved).is_sound
    with Index.open(moved) as index:
        assert index.images == 3


def test_a_place_whose_name_is_no_text_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB takes none; of a library's `std::bad_cast` nobody would know what to do."""
    monkeypatch.chdir(tmp_path)
    strange = tmp_path / os.fsdecode(b"bad\xf6")
    sound = make_index(tmp_path / "indexes" / "a", random_images(2, 3))
    said = pytest.raises(OutputError, match=r"bad.*is a name that is not UTF-8.*choose another place")
    for make in (lambda: make_index(strange / "a", []), lambda: run_audit("copy", "a", strange / "a")):
        with said:
            make()
        assert not strange.exists()
    try:
        strange.mkdir()
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    moved = sound.rename(strange / "a")
    for ask in (lambda: Index.open(moved), lambda: check(moved), lambda: run_audit("metrics", "-i", moved)):
        with said:
            ask()
    (listed,) = list_indexes(strange)
    assert "not UTF-8" in (listed.problem or "")
    make_index(tmp_path / "indexes" / "b", random_images(2, 3))
    with said:
        run_audit("metrics", "--index", "b", "--table", strange / "t.parquet")


@pytest.mark.parametrize("folder", ["[1]", "*", "label=3", "image=2"])
def test_parquet_of_a_dataset_is_read_itself(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = [tmp_path / "photos" / kind / f"{kind}.png" for kind in ("cat", "dog", "elk")]
    for seed, photo in enumerate(photos):
        write_photo(photo, seed)
    write_parquet(Path("1/a.parquet"), rows_of(photos[:1]))
    path = write_parquet(Path(folder, "a.parquet"), rows_of(photos[1:]))
    dataset = read_dataset(Path(folder))
    assert [sample.labels for sample in dataset.samples] == [
        sample.labels for sample in read_dataset(Path(shutil.copytree(folder, "plain"))).samples
    ]
    assert [read_content(path / str(row).zfill(6)).data for row in range(2)] == [
        photo.read_bytes() for photo in photos[1:]
    ]


# ------------------------------------------------------------------------------------- no plain files


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("sound") / "index", make_world(3, 6))


PIPED = (
    *("index.json", "CURRENT", ".verified", ".writer", "plan/00000-0000000000000000.parquet"),
    *("shards/00001/shard.json", "shards/00001/features.npy"),
    *("derived/000001/generation.json", "derived/000001/audit.duckdb"),
)


@pytest.mark.parametrize("name", PIPED)
def test_nobody_waits_for_what_is_no_plain_file(sound: Path, tmp_path: Path, name: str) -> None:
    """A pipe where a file was: who opens it waits for ever."""
    index = Path(shutil.copytree(sound, tmp_path / "index"))
    (index / name).unlink(missing_ok=True)
    os.mkfifo(index / name)
    assert check(index).is_sound == (name in (".verified", ".writer"))
    for act in (open_all, lambda path: list_indexes(path.parent), lambda path: check(path, repair=True)):
        with suppress(AuditError):
            act(index)


def open_all(path: Path) -> None:
    with Index.open(path) as index:
        index.vectors(range(index.images * 9))  # type: ignore[arg-type]
        index.codes.search(index.vectors(np.array([4]))[0], 3, np.ones(index.images * 9, np.bool_))


@pytest.mark.parametrize(
    "crafted",
    [
        "ALTER TABLE images RENAME TO old; CREATE VIEW images AS "
        "SELECT * REPLACE ((SELECT content FROM read_text('{}')) AS error) FROM old",
        "CREATE MACRO list_contains(x, y) AS (SELECT content FROM read_text('{}')) = ''",
    ],
    ids=["view", "macro"],
)
def test_a_database_that_reads_other_files_is_not_asked(sound: Path, tmp_path: Path, crafted: str) -> None:
    """With a right checksum, which whoever writes an index can give it."""
    (tmp_path / "secret").write_text("secret")
    index = Path(shutil.copytree(sound, tmp_path / "index"))
    generation = read_current(index)
    assert generation is not None
    database = index / "derived" / generation.name / "audit.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute(crafted.format(tmp_path / "secret"))
    files = {**generation.files, database.name: FileFacts.of(database)}
    save_generation(database.parent, replace(generation, files=files))
    for _ in range(2):
        with pytest.raises(IndexDamaged, match="does not belong to these shards"):
            Index.open(index)
    assert check(index, repair=True).is_sound


# ------------------------------------------------------------------------------------- copies


def test_a_copy_goes_into_no_folder_of_others(sound: Path, tmp_path: Path, memory: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "CURRENT").write_text("MANIFEST-000001\n")
    (theirs / "LOG").write_text("theirs")
    with pytest.raises(AuditError, match=r"holds other files \(LOG\)"):
        run_audit("copy", sound, theirs)
    assert sorted(path.name for path in theirs.iterdir()) == ["CURRENT", "LOG"]
    assert (theirs / "CURRENT").read_text() == "MANIFEST-000001\n"
    run_audit("copy", sound, f"{memory}/a")
    with pytest.raises(AuditError, match=r"holds other files \(a\)"):
        run_audit("copy", sound, memory)


@pytest.mark.parametrize(
    "words", [("copy", "INDEX", "."), ("merge", "INDEX", "--name", ".."), ("index", "x", "--name", ".")]
)
def test_the_folder_of_indexes_becomes_none(
    words: tuple[str, ...], sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError, match=r"is no name of an index"):
        run_audit(*(str(sound) if word == "INDEX" else word for word in words))
    assert not (tmp_path / "indexes").exists()


def test_a_url_of_this_machine_is_the_folder_that_it_names(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_audit("copy", f"file://{sound}", f"file://{tmp_path}/there")
    assert_same(sound, tmp_path / "there")
    write_photo(tmp_path / "photos" / "a.png", 0)
    run_audit("index", f"file://{tmp_path}/photos", *SMALL, "--head", "none", "--name", "i")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["indexes", "photos", "there"]


def test_a_copy_of_an_index_that_lost_its_database_keeps_the_copys(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: str
) -> None:
    monkeypatch.chdir(tmp_path)
    index = Path(shutil.copytree(sound, tmp_path / "index"))
    run_audit("copy", index, f"{memory}/a")
    (index / "CURRENT").unlink()
    run_audit("copy", index, f"{memory}/a")
    run_audit("copy", f"{memory}/a", "./back")
    assert_same(sound, tmp_path / "back")
