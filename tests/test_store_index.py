"""What is written is what is read: columns, shards, staging, manifest, and the doors of an index."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import auditor.store.derived as derived
import auditor.store.index as store_index
from auditor.errors import (
    AuditError,
    CellError,
    IndexBusy,
    IndexDamaged,
    IndexMismatch,
    IndexMissing,
    OutputError,
)
from auditor.files import new_file, new_folder
from auditor.measure.counts import CLASSES, IMAGES, PAIRS, STORED_REAL
from auditor.measure.evidence import RANKS
from auditor.records import Certificate
from auditor.search.cluster_facts import images_of_clusters
from auditor.store import (
    DatasetFacts,
    HeadFacts,
    Index,
    IndexWriter,
    Placed,
    list_indexes,
    newest,
    once,
    promote_staged,
    read_current,
    read_manifest,
    read_placement,
    read_shard,
    read_staged,
    staged_names,
    write_staged,
)
from auditor.store.blocks import FileFacts, Rows, Verified
from auditor.store.check import check
from auditor.store.columns import Ragged, read_parquet, write_parquet
from auditor.store.generations import MAP
from auditor.store.halves import BLOCK, widen
from auditor.store.kept import keep
from auditor.store.manifest import write_manifest
from auditor.store.map_file import save_map, stored_map
from auditor.store.placement import planned_images
from auditor.store.recover import recover
from auditor.store.sealed import checksum, decode_as, write_sealed
from auditor.store.shards import adopt, save_array
from indexes import (
    DIM,
    FakeImage,
    arrays,
    cell_columns,
    image_columns,
    make_index,
    manifest,
    random_images,
    shard,
)


@pytest.fixture
def images() -> list[FakeImage]:
    made = random_images(5, 12)
    for image in made[:4]:
        image.status = "ok"
    made[4].status = "broken"
    return made


def test_columns_survive_parquet_in_every_form_that_they_are_given(tmp_path: Path) -> None:
    schema = {"id": "INTEGER", "text": "VARCHAR", "flag": "BOOLEAN", "a": "INTEGER[]", "b": "FLOAT[]",
              "c": "INTEGER[]", "d": "INTEGER[]", "gone": "FLOAT"}  # fmt: skip
    columns = {
        "id": np.arange(3),
        "text": ["it's", None, "ünï"],
        "flag": np.ma.masked_array([True, False, True], mask=[False, False, True]),
        "a": [[1, 2], None, []],
        "b": np.array([[1.5, 2.5]] * 3),
        "c": Ragged(np.array([7, 8, 9]), np.array([0, 3, -1])),
        "d": np.ma.masked_array([[1], [2], [3]], mask=[[False], [True], [False]]),
    }
    path = tmp_path / "it's.parquet"
    write_parquet(path, columns, schema)
    for _ in range(2):  # what was read can be written again
        read = read_parquet(path)
        assert read["id"].tolist() == [0, 1, 2]
        assert read["text"].tolist() == ["it's", None, "ünï"]
        assert read["flag"].tolist() == [True, False, None]
        lists = {name: [None if row is None or row is np.ma.masked else list(row) for row in read[name]]
                 for name in "abcd"}  # fmt: skip
        assert lists == {"a": [[1, 2], None, []], "b": [[1.5, 2.5]] * 3, "c": [[], [7, 8, 9], None],
                         "d": [[1], None, [3]]}  # fmt: skip
        assert read["gone"].tolist() == [None] * 3
        write_parquet(path, read, schema)


def test_unknown_and_short_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no columns colour"):
        write_parquet(tmp_path / "x", {"id": [1], "colour": [2]}, {"id": "INTEGER"})
    with pytest.raises(ValueError, match="label has 1 rows, not 2"):
        write_parquet(tmp_path / "x", {"id": [1, 2], "label": [2]}, {"id": "INTEGER", "label": "INTEGER"})


def test_manifest_survives_json(tmp_path: Path) -> None:
    path = make_index(tmp_path / "index", random_images(2, 7), removed=[1])
    first = read_manifest(path)
    write_manifest(path, first)
    assert read_manifest(path) == first
    begun = manifest()
    assert replace(first, created="") == begun


def test_what_decides_a_shards_content_decides_the_identity_and_nothing_else() -> None:
    one = replace(manifest(), options={"target": "all", "limit": None})
    backbone = one.backbone
    decides: list[dict[str, Any]] = [
        {"backbone": replace(backbone, library="other")},
        {"backbone": replace(backbone, model="other")},
        {"backbone": replace(backbone, weights_sha256="0" * 64)},
        {"backbone": replace(backbone, model_args={})},
        {"head": HeadFacts("none")},
        {"head": replace(one.head, sha256="0" * 64)},
        {"preprocess": replace(one.preprocess, std=(0.5, 0.5, 0.5))},
        {"fill": "blur"},
        {"variants": one.variants[:1]},
        {"grid": (3, 4)},
        {"grid": (4, 3)},
        {"dim": 17},
        {"classes": one.classes[::-1]},
        {"classes": tuple(replace(each, synset=None) for each in one.classes)},
        {"options": {"target": "one", "limit": None}},
    ]
    leaves: list[dict[str, Any]] = [
        {"dataset": replace(one.dataset, root="/elsewhere")},
        {"backbone": replace(backbone, name="called otherwise", weights="a file")},
        {"head": replace(one.head, file="heads/own.safetensors")},
        {"certificate": None, "versions": {}, "created": "today"},
        *({"options": {"target": "all", name: "1/2"}} for name in ("limit", "sample", "part")),
    ]
    identities = [replace(one, **change).identity for change in decides]
    assert len({one.identity, *identities}) == 1 + len(decides)
    assert {replace(one, **change).identity for change in leaves} == {one.identity}


def test_another_schema_and_a_changed_digit_are_told_apart(tmp_path: Path) -> None:
    path = make_index(tmp_path / "index", random_images(2, 3))
    write_manifest(path, replace(read_manifest(path), schema=3))
    with pytest.raises(IndexMismatch, match="version 3"):
        Index.open(path)
    content = json.loads((path / "index.json").read_text())
    content["dim"] = 17
    (path / "index.json").write_text(json.dumps(content))
    with pytest.raises(IndexDamaged, match=r"index\.json is damaged"):
        Index.open(path)
    with pytest.raises(IndexMissing, match="audit index"):
        Index.open(tmp_path / "nothing")


def test_an_older_manifest_takes_what_is_new_from_its_defaults(tmp_path: Path) -> None:
    path = make_index(tmp_path / "index", random_images(2, 3))
    content = json.loads((path / "index.json").read_text())
    del content["checksum"], content["dataset"]["is_synthetic"]
    (path / "index.json").write_text(json.dumps({"checksum": checksum(content), **content}))
    assert read_manifest(path).dataset.is_synthetic is None


@pytest.mark.parametrize(
    ("content", "is_read"),
    [
        ({"min_area": 0.5}, True),
        ({"min_area": 1}, True),
        ({"min_area": True}, False),
        ({"min_area": "1"}, False),
        ({"annotations": None}, True),
        ({"annotations": 7}, False),
        ({"root": 5}, False),
        ({"root": True}, False),
        ({"is_synthetic": True}, True),
        ({"is_synthetic": 1}, False),
        ({"notes": ["a", "b"]}, True),
        ({"notes": "ab"}, False),
        ({"classes": [{"name": "bird"}, {"name": "cat", "synset": "n1"}]}, True),
        ({"classes": [{"synset": "n1"}]}, False),
    ],
)
def test_a_value_is_read_as_exactly_its_type(content: dict[str, Any], is_read: bool) -> None:
    content = {"root": "/data", "kind": "folder", **content}
    if not is_read:
        with pytest.raises(IndexDamaged, match=r"^index\.json is damaged: "):
            decode_as(Path("index.json"), DatasetFacts, content)
        return
    facts = decode_as(Path("index.json"), DatasetFacts, content)
    assert json.loads(json.dumps(asdict(facts))) == {**asdict(DatasetFacts("", "")), **_whole(content)}
    assert type(facts.min_area) is float


def _whole(content: dict[str, Any]) -> dict[str, Any]:
    """With what its classes leave out, and lists for what JSON has no tuples for."""
    classes = [{"synset": None, **each} for each in content.get("classes", [])]
    return {"notes": [], **content, "classes": classes}


def test_what_every_answer_must_say_of_the_network() -> None:
    described = manifest()
    assert described.caveats == ()
    random = replace(described.backbone, weights="random:3", weights_sha256="random:3")
    (caveat,) = replace(described, backbone=random).caveats
    assert caveat.startswith("random weights (seed 3): ")
    demo = replace(described, backbone=replace(described.backbone, name="symbols", weights="package"))
    assert demo.caveats == ("the demo's network, which knows 20 drawn shapes",)
    (caveat,) = replace(demo, dataset=replace(demo.dataset, is_synthetic=False)).caveats
    assert caveat.endswith("20 drawn shapes, on images that audit synth did not make")


def test_cells_without_content_are_known(tmp_path: Path, images: list[FakeImage]) -> None:
    for row, col in ((0, 2), (2, 1)):
        images[3].features[row, col], images[3].norms[row, col] = 0, 0
    with Index.open(make_index(tmp_path / "index", images)) as index:
        broken = [number for number, image in enumerate(images) if image.status != "ok"]
        empty = {27 + 2, 27 + 7} | {9 * number + cell for number in broken for cell in range(9)}
        assert set(np.flatnonzero(index.is_empty(np.arange(108))).tolist()) == empty
        assert index.is_empty(np.array([34, 0, 29, 0])).tolist() == [True, False, True, False]
        summary = index.summary()
        assert (summary.empty_cells, summary.images_with_empty_cells) == (2, 1)


def test_every_listed_image_is_counted_once(tmp_path: Path, images: list[FakeImage]) -> None:
    images[5].status = "filtered"
    make_index(tmp_path / "index", images, removed=[0, 4])
    kept = [image.status for number, image in enumerate(images) if number not in (0, 4)]
    (summary,) = list_indexes(tmp_path)
    assert (summary.broken, summary.filtered) == (kept.count("broken"), kept.count("filtered"))
    assert (summary.indexed, summary.removed) == (kept.count("ok"), 2)
    assert summary.indexed is not None
    assert summary.broken is not None
    assert summary.filtered is not None
    assert summary.indexed + summary.broken + summary.filtered + summary.removed == len(images)
    assert summary.cells == 9 * summary.indexed
    with Index.open(tmp_path / "index") as index:
        assert replace(index.summary(), is_newest=True, bytes=summary.bytes) == summary


def test_features_norms_pooled_and_vectors_by_id(tmp_path: Path, images: list[FakeImage]) -> None:
    with Index.open(make_index(tmp_path / "index", images)) as index:
        for number in (0, 3, 7, 11):
            image = images[number]
            ok = image.status == "ok"
            np.testing.assert_allclose(index.features(number), image.features * ok, atol=5e-4)
            np.testing.assert_array_equal(index.norms(number), image.norms * ok)
            assert index.pooled(number).shape == (16,)
        cells = np.array([100, 3, 26, 3])
        rows = [index.features(cell // 9).reshape(9, 16)[cell % 9] for cell in cells]
        np.testing.assert_array_equal(index.vectors(cells), rows)
        lengths = np.linalg.norm(index.vectors(np.arange(9, 27)), axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-6)
        with pytest.raises(CellError, match="no image with id 12"):
            index.features(12)


def test_images_are_found_by_path_and_by_endings_that_are_unique(
    tmp_path: Path, images: list[FakeImage]
) -> None:
    images[3] = replace(images[3], path="c/img000.jpg")
    with Index.open(make_index(tmp_path / "index", images, removed=[2])) as index:
        for name in ("b/img001.jpg", "img001.jpg", "./b/img001.jpg", "/data/birds/b/img001.jpg"):
            assert index.image(name) == 1
        assert index.path_of(1) == "b/img001.jpg"
        with pytest.raises(CellError, match="fits 2 images"):
            index.image("img000.jpg")
        with pytest.raises(CellError, match=r"close matches: .*img001\.jpg"):
            index.image("img0O1.jpg")
        with pytest.raises(CellError, match="it is broken"):
            index.image(images[4].path)
        with pytest.raises(CellError, match="is not in index"):
            index.image(images[2].path)


def test_an_answer_that_cannot_be_put_aside_gets_more_memory_and_then_what_there_is(tmp_path: Path) -> None:
    lists = "SELECT list(range) AS numbers FROM range(2000000)"
    limit = "SELECT current_setting('memory_limit') AS memory"
    with Index.open(make_index(tmp_path / "index", random_images(0, 4))) as index:
        aside = index.query("SELECT current_setting('temp_directory') AS path")["path"][0]
        assert not Path(aside).is_relative_to(tmp_path)
        index.query("SET memory_limit = '8MB'")
        assert index.query(limit)["memory"][0] == "7.6 MiB"
        assert len(index.query(lists)["numbers"][0]) == 2_000_000
        assert index.query(limit)["memory"][0] == "244.1 MiB"
        many = "SELECT len(list(range)) AS count FROM range(40000000)"
        assert index.query(many)["count"].tolist() == [40_000_000]
        assert "GiB" in index.query(limit)["memory"][0]
        index.query("SET memory_limit = '8MB'")
        index._copy(lists, tmp_path / "lists.parquet")
        assert len(read_parquet(tmp_path / "lists.parquet")["numbers"][0]) == 2_000_000


def test_an_index_without_images_opens(tmp_path: Path) -> None:
    with Index.open(make_index(tmp_path / "index", [])) as index:
        assert index.query("SELECT count(*) AS n FROM cells")["n"].tolist() == [0]
        assert not len(index.codes.search(np.ones(16, np.float32), 3, np.ones(0, np.bool_))[1])


def test_staged_images_become_a_shard_without_being_written_again(
    tmp_path: Path, images: list[FakeImage]
) -> None:
    plain = make_index(tmp_path / "plain", images, size=12)
    path = tmp_path / "staged"
    before = {name: column for name, column in image_columns(images, 0).items() if "top5" not in name}
    with IndexWriter.create(path, manifest()) as writer:
        writer.place([Placed("00000", 0, tuple(image.path for image in images))])
        write_staged(path, "00000", **arrays(images), images=before)
    with IndexWriter.resume(path) as writer:
        assert staged_names(path) == ("00000",)
        staged = read_staged(path, "00000")
        inode = (path / "staging/00000/features.npy").stat().st_ino
        scored = {**staged.images, **{n: c for n, c in image_columns(images, 0).items() if "top5" in n}}
        promote_staged(path, writer.manifest, "00000", images=scored, cells=cell_columns(images, 0))
        writer.finish()
        for name in ("features.npy", "images.parquet", "cells.parquet"):
            ours, theirs = (read_shard(index, "00000").files[name] for index in (path, plain))
            assert ours == theirs
    assert (path / "shards/00000/features.npy").stat().st_ino == inode
    assert staged_names(path) == ()


def test_a_shard_that_says_something_else_is_damaged(tmp_path: Path, images: list[FakeImage]) -> None:
    path = make_index(tmp_path / "index", images)
    shard_file, sound = path / "shards/00000/shard.json", read_shard(path, "00000")
    fewer = {name: facts for name, facts in sound.files.items() if name != "norms.npy"}
    for wrong in ({"name": "00001"}, {"files": fewer}, {"first": -1}, {"images": 0}):
        write_sealed(shard_file, replace(sound, **wrong))
        with pytest.raises(IndexDamaged, match="not about this shard"):
            read_shard(path, "00000")
    write_sealed(shard_file, sound)
    assert read_shard(path, "00000") == sound


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """A disk that is full once a file has so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("step", ["shard", "finish"])
def test_a_full_disk_is_said_with_the_bytes_that_are_needed(
    tmp_path: Path, images: list[FakeImage], step: str
) -> None:
    cells = len(images) * 9
    with IndexWriter.create(tmp_path / "index", manifest()) as writer:
        writer.place([Placed("00000", 0, tuple(image.path for image in images))])
        if step == "finish":
            shard(writer, "00000", images, 0)
        with file_size_limit(1000), pytest.raises(OutputError) as raised:
            shard(writer, "00000", images, 0) if step == "shard" else writer.finish()
        halves, singles = cells * DIM, cells + len(images) * DIM  # features; norms and pooled vectors
        tables = sum(file.stat().st_size for file in writer.path.glob("shards/*/*.parquet"))
        needed = {"shard": 2 * halves + 4 * singles, "finish": tables}[step]
        assert f"at least {needed:,} bytes are needed" in str(raised.value)
        shard(writer, "00000", images, 0)
        writer.finish()
        assert writer.is_complete


def test_a_head_can_be_replaced_before_the_first_shard_only(tmp_path: Path, images: list[FakeImage]) -> None:
    path = tmp_path / "index"
    path.mkdir()  # an empty folder is as good as none
    with IndexWriter.create(path, manifest()) as writer:
        assert not writer.is_complete
        writer.update(head=HeadFacts("probe"))
        assert read_manifest(path).head.name == "probe"
        writer.update(head=HeadFacts("own"))
        shard(writer, "00000", images, 0)
        assert not writer.is_complete
        certificate = Certificate("gap", "linear", "exact", 2e-7, 2e-7, "linear", 9)
        writer.update(certificate=certificate)  # what says nothing of the features can change at any time
        with pytest.raises(ValueError, match="another head"):
            writer.update(head=HeadFacts("probe"))
    assert read_manifest(path).head.name == "own"
    assert read_manifest(path).certificate == certificate


def test_an_array_is_saved_as_numpy_saves_it_or_not_at_all(tmp_path: Path) -> None:
    """Also its last bytes, which NumPy loses silently where they are what a full disk does not take."""
    for array in (np.arange(600, dtype=np.float32).reshape(2, 300), np.ones((3, 2, 2, 4), np.float16).T):
        save_array(tmp_path / "ours.npy", array)
        np.save(tmp_path / "theirs.npy", np.ascontiguousarray(array))
        content = (tmp_path / "ours.npy").read_bytes()
        assert content == (tmp_path / "theirs.npy").read_bytes()
        with file_size_limit(len(content) - 1), pytest.raises(OSError, match="too large"):
            save_array(tmp_path / "cut.npy", array)


def test_where_a_disk_has_no_links_files_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: list[FakeImage]
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    path, other = make_index(tmp_path / "index", images, size=12), tmp_path / "other"
    IndexWriter.create(other, manifest()).close()
    monkeypatch.setattr(os, "link", refuse)
    adopt(other, path, "shards", "00000")
    content = [
        {file.name: file.read_bytes() for file in (root / "shards/00000").iterdir()} for root in (path, other)
    ]
    assert content[0] == content[1]
    assert len(content[0]) == 7


def test_what_cannot_be_begun_is_told(tmp_path: Path) -> None:
    """Below a file there is no folder, and nothing to clear away."""
    file = tmp_path / "index"
    file.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"cannot write .*index/shards"), new_folder(file, file / "shards"):
        pytest.fail("it has begun")
    with pytest.raises(OutputError, match=r"cannot write .*index/CURRENT"), new_file(file / "CURRENT"):
        pytest.fail("it has begun")
    assert [each.name for each in tmp_path.iterdir()] == ["index"]


def test_images_are_set_aside_and_taken_back(tmp_path: Path, images: list[FakeImage]) -> None:
    path = make_index(tmp_path / "index", images)
    for gone in ({1, 3}, {3, 5}, set[int](), {5}):
        with IndexWriter.resume(path) as writer:
            writer.set_removed(gone)
            assert writer.placement.removed == gone
            assert writer.placement.images == 12
        assert read_placement(path).removed == gone
        assert planned_images(path) == 12
    assert planned_images(make_index(tmp_path / "none", [])) == 0


def test_rows_are_given_out_only_as_they_were_written(tmp_path: Path) -> None:
    """One byte of each row in turn: the others are given, it is not, by whichever way it is asked for."""
    path, array = tmp_path / "features.npy", np.arange(48, dtype=np.float32).reshape(4, 2, 3, 2)
    np.save(path, array)
    whole, facts = path.read_bytes(), FileFacts.of(path, rows=4)

    def rows(shape: tuple[int, ...] = array.shape) -> Rows:
        return Rows(Verified(tmp_path), ["features.npy"], facts, shape, "do this")

    ids, cells = np.array([3, 0]), np.array([5, 1])
    assert np.array_equal(rows().all(), array)
    assert np.array_equal(rows().take(ids), array[ids])
    assert np.array_equal(rows().take_cells(ids, cells), array.reshape(4, 6, 2)[ids, cells])
    for row in range(4):
        data = bytearray(whole)
        data[len(whole) - (4 - row) * array[0].nbytes + 7] ^= 1
        path.write_bytes(data)
        others = np.delete(np.arange(4), row)
        assert np.array_equal(rows().take(others), array[others])
        for ask in (
            lambda row=row: rows().take(row),
            lambda: rows().take(np.arange(4)),
            lambda row=row: rows().take_cells(np.array([row]), np.array([0])),
            lambda: rows().all(),
        ):
            with pytest.raises(IndexDamaged, match=r"features\.npy is damaged; do this"):
                ask()
    path.write_bytes(whole[:60] + b"?" + whole[61:])
    with pytest.raises(IndexDamaged, match="is damaged; do this"):
        rows()
    path.write_bytes(whole)
    with pytest.raises(IndexDamaged, match="is damaged; do this"):
        rows((4, 3, 2, 2))


def test_a_map_outlives_a_repair_where_the_shards_are_the_same(
    tmp_path: Path, images: list[FakeImage]
) -> None:
    path = make_index(tmp_path / "index", images)
    with Index.open(path) as index:
        content = save_map(index, {"image": np.arange(4), "cell": np.zeros(4, np.int64)}).read_bytes()

    def finish_again(**removed: list[int]) -> Path | None:
        with IndexWriter.resume(path) as writer:
            writer.set_removed(removed.get("removed", []))
            writer.finish()
        with Index.open(path) as index:
            return stored_map(index)

    kept = finish_again()
    assert kept is not None
    assert kept.read_bytes() == content
    assert finish_again(removed=[1]) is None  # a map of cells that are no longer there
    with Index.open(path) as index:
        damaged = save_map(index, {"image": np.arange(4), "cell": np.zeros(4, np.int64)})
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert finish_again(removed=[1]) is None
    with Index.open(path) as index:
        finish_again(removed=[2])
        with pytest.raises(IndexMismatch, match="was changed meanwhile; ask again"):
            save_map(index, {"image": np.arange(4), "cell": np.zeros(4, np.int64)})


def test_a_file_that_could_not_be_made_again_is_forgotten(tmp_path: Path, images: list[FakeImage]) -> None:
    path = make_index(tmp_path / "index", images)
    with Index.open(path) as index:
        save_map(index, {"image": np.arange(4), "cell": np.zeros(4, np.int64)})
    with Index.open(path) as index, pytest.raises(ZeroDivisionError):
        keep(path, index.generation, MAP, lambda _: {} if 1 // 0 else None)
    current = read_current(path)
    assert current is not None
    assert current.files.keys() == {"audit.duckdb"}
    with Index.open(path) as index:
        assert stored_map(index) is None


def test_a_database_is_of_the_storage_version_of_duckdb_1_2(tmp_path: Path, images: list[FakeImage]) -> None:
    """Its header: a checksum of 8 bytes, DUCK, and the version, 65 for 1.2 (64 before, 66 for 1.3)."""
    path = make_index(tmp_path / "index", images)
    header = next((path / "derived").glob("*/audit.duckdb")).read_bytes()[:20]
    assert header[8:12] == b"DUCK"
    assert int.from_bytes(header[12:20], "little") == 65


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index"
    with (
        IndexWriter.create(path, manifest()),
        pytest.raises(IndexBusy, match=rf"another process \({os.getpid()} on .*\) is writing"),
    ):
        IndexWriter.resume(path)
    IndexWriter.resume(path).close()


def test_a_writer_that_cannot_begin_keeps_no_lock(tmp_path: Path, images: list[FakeImage]) -> None:
    path = make_index(tmp_path / "index", images, size=12)
    before = read_placement(path)
    (plan,) = (path / "plan").iterdir()
    plan.write_bytes(plan.read_bytes()[:-1])
    with pytest.raises(IndexDamaged, match="of the plan") as raised:
        IndexWriter.resume(path)
    assert raised.value  # with all that its traceback holds
    assert "was made again" in recover(path)[0]
    assert read_placement(path) == before


def test_a_folder_that_is_not_ours_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/me.jpg").write_bytes(b"x")
    with pytest.raises(AuditError, match=r"holds other files \(me\.jpg\)"):
        IndexWriter.create(tmp_path / "photos", manifest())
    assert (tmp_path / "photos/me.jpg").exists()
    make_index(tmp_path / "index", [])
    with pytest.raises(IndexMismatch, match="already holds an index"):
        IndexWriter.create(tmp_path / "index", manifest())


def test_shards_of_the_same_ids_and_gaps_are_refused(tmp_path: Path, images: list[FakeImage]) -> None:
    path = tmp_path / "index"
    with IndexWriter.create(path, manifest()) as writer:
        paths = [image.path for image in images]
        writer.place([Placed("00000", 0, tuple(paths[:4])), Placed("00001", 4, tuple(paths[4:8]))])
        shard(writer, "00001", images[4:8], 4)
        assert [placed.name for placed in writer.missing()] == ["00000"]
        with pytest.raises(IndexDamaged, match="lacks images from id 0"):
            writer.finish()
        with pytest.raises(ValueError, match="begins at 2, and the next id is 8"):
            writer.place([Placed("00002", 2, tuple(paths[2:6]))])
        shard(writer, "00000", images[:4], 0)
        writer.finish()
    generation = read_current(path)
    assert generation is not None
    assert [each.first for each in generation.shards] == [0, 4]


def test_an_unfinished_index_says_how_to_go_on_and_a_list_shows_it(tmp_path: Path) -> None:
    made = random_images(2, 6)
    make_index(tmp_path / "done", made, removed=[0])
    path = tmp_path / "begun"
    with IndexWriter.create(path, manifest()) as writer:
        shard(writer, "00000", made, 0)
    with pytest.raises(IndexDamaged, match="unfinished; go on with: audit index"):
        Index.open(path)
    begun, done = list_indexes(tmp_path)
    assert (begun.name, begun.is_complete, begun.images, begun.cells) == ("begun", False, 6, 54)
    assert (done.name, done.is_complete, done.images, done.dataset) == ("done", True, 5, "birds")
    assert newest(tmp_path) == tmp_path / "done"
    with IndexWriter.resume(path) as writer:
        writer.finish()
    assert newest(tmp_path) == path
    with pytest.raises(IndexMissing, match="audit index"):
        newest(tmp_path / "nowhere")


def test_what_is_counted_once_is_what_would_be_counted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: list[FakeImage]
) -> None:
    path = make_index(tmp_path / "index", images)
    of_images = IMAGES.format(classes=CLASSES["all"], real=STORED_REAL)
    queries = [PAIRS.format(classes=CLASSES["all"]), of_images, RANKS]
    with Index.open(path) as index:
        plain = [index.query(sql) for sql in queries]
    monkeypatch.setattr(store_index, "KEPT_FROM", 0)
    for _ in range(2):  # made, then read
        with Index.open(path) as index:
            for sql, expected in zip(queries, plain, strict=True):
                kept = index.counted(sql)
                assert {name: column.dtype for name, column in kept.items()} == {
                    name: column.dtype for name, column in expected.items()
                }
                assert {name: repr(column.tolist()) for name, column in kept.items()} == {
                    name: repr(column.tolist()) for name, column in expected.items()
                }
    kept_files = sorted(file.name for file in path.glob("derived/*/counted-*.parquet"))
    assert len(kept_files) == 3
    assert check(path).is_sound
    with IndexWriter.resume(path), Index.open(path) as index:  # while another writes, it is counted again
        sql = "SELECT count(*) AS n FROM cells"
        assert index.counted(sql)["n"].tolist() == index.query(sql)["n"].tolist()
    with IndexWriter.resume(path) as writer:
        writer.set_removed([0])
        writer.finish()
    current = read_current(path)
    assert current is not None
    assert not list((path / "derived" / current.name).glob("counted-*"))


def test_an_index_that_is_open_is_opened_again(tmp_path: Path, images: list[FakeImage]) -> None:
    path = make_index(tmp_path / "a", images)
    with Index.open(path) as first, Index.open(path) as second:
        assert first.query("SELECT count(*) AS n FROM cells") == second.query(
            "SELECT count(*) AS n FROM cells"
        )


def test_an_open_index_is_asked_once_for_each_set_of_options(tmp_path: Path) -> None:
    asked = []

    @once
    def ask(index: Index, *, seed: int = 0) -> list[int]:
        asked.append(seed)
        return [index.images, seed]

    make_index(tmp_path / "a", random_images(2, 5))
    with Index.open(tmp_path / "a") as index, Index.open(tmp_path / "a") as same:
        assert ask(index) is ask(index)
        assert ask(index, seed=1) is ask(index, seed=1) is not ask(index)
        assert ask(same) == ask(index)
        assert asked == [0, 1, 0]


@pytest.mark.parametrize("name", ["run[1]", "run*", "[p-s]un1", "id=7", "status=broken"])
def test_no_name_of_a_folder_is_a_pattern_or_a_column(
    name: str, tmp_path: Path, images: list[FakeImage]
) -> None:
    """Beside an index whose name fits it: DuckDB would read that one, or find ids in the name."""

    def made(folder: str, content: list[FakeImage]) -> Path:
        path = make_index(tmp_path / folder / "index", content)
        with Index.open(path) as index:
            count = len(content)
            save_map(
                index, {"image": np.arange(count), "cell": np.zeros(count, np.int64), "cluster": [1] * count}
            )
        return path

    made("run1", random_images(6, 9))
    path, plain = made(name, images), made("plain", images)
    assert planned_images(path) == len(images)
    assert check(path, repair=True).is_sound
    with Index.open(path) as index, Index.open(plain) as wanted:
        for sql in ("SELECT * FROM images", "SELECT image, variant, cell, entropy FROM cells"):
            rows, others = index.query(f"{sql} ORDER BY ALL"), wanted.query(f"{sql} ORDER BY ALL")
            assert repr(rows) == repr(others)
        file = stored_map(index)
        assert file is not None
        assert images_of_clusters(index, file)[1].tolist() == list(range(len(images)))


def test_no_index_is_begun_where_duckdb_opens_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"what\? has a \? in its name, .*; choose another"):
        make_index(tmp_path / "what?" / "index", random_images(6, 2))
    assert not any(tmp_path.iterdir())


def test_what_does_not_fit_the_memory_of_building_is_built_all_the_same(
    tmp_path: Path, images: list[FakeImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, image in enumerate(images):
        image.true_name = str(number) + "long" * 500_000
    plain = make_index(tmp_path / "plain", images)
    monkeypatch.setattr(derived, "MEMORY", "8MB")
    with Index.open(plain) as index, Index.open(make_index(tmp_path / "index", images)) as other:
        for each in (index, other):
            rows = each.query("SELECT id, length(true_name) AS letters FROM images")
            assert rows["id"].tolist() == list(range(len(images)))
            assert rows["letters"].tolist() == [len(image.true_name or "") for image in images]


def test_every_half_is_widened_to_the_same_number() -> None:
    """All 65,536 of them, NaN by its bits, in blocks with and without an infinity and however they lie."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = np.resize(every[np.isfinite(every)], (3, BLOCK // 2 + 7, 2))
    for halves in (
        every,
        every[::-1],
        every.reshape(256, 256).T,
        finite,
        finite[:0],
        np.float16([np.inf, 1]),
    ):
        with np.errstate(invalid="ignore"):
            singles = halves.astype(np.float32)
        assert widen(halves).shape == halves.shape
        assert np.array_equal(widen(halves).view(np.uint32), singles.view(np.uint32))
        into = np.ones((2, *halves.shape), np.float32)
        widen(halves, into[1])
        assert np.array_equal(into[1].view(np.uint32), singles.view(np.uint32))
        assert (into[0] == 1).all()
