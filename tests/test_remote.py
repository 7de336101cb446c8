"""Images in object stores: what fsspec reads, from memory and from an S3-compatible server with faults."""

from __future__ import annotations

import io
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from buckets import Server, upload
from conftest import run_audit
from packed import facts, rows_of, write_parquet, write_tars
from photos import SMALL, write_dataset, write_photo

import auditor.indexing.build as building
import auditor.remote as remote
from auditor.data.pixels import read_content
from auditor.data.read import read_dataset
from auditor.errors import AuditError, DatasetError, ImageError, OutputError
from auditor.indexing.bad import tell_bad
from auditor.remote import RemotePath, locate
from auditor.store import Index, read_manifest
from auditor.store.listing import summary_of

NONE = (*SMALL, "--head", "none", "--batch", "1")
KINDS = ("cat", "dog", "elk")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    for number in range(9):
        write_photo(tmp_path / "files" / KINDS[number % 3] / f"{number:02d}.png", number)
    return sorted((tmp_path / "files").rglob("*.png"), key=lambda path: path.name)


def everything(index: Path) -> list[dict[str, object]]:
    """The rows of an index, but for when its files were written."""
    with Index.open(index) as opened:
        tables = [opened.query(f"FROM {name}") for name in ("images", "cells", "classes")]
    for table in tables:
        table.pop("mtime_ns", None)
    return [{name: str(column.tolist()) for name, column in table.items()} for table in tables]


# ------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize("url", ["s3://b/a", "s3://b", "gs://b/x:/y", "az://b/a b/ü.png"])
def test_a_url_as_a_path_is_written_as_it_was(url: str) -> None:
    path = locate(url)
    assert isinstance(path, RemotePath)
    assert str(path) == url == path.resolve().as_posix()
    child = path / "sub" / "c.png"
    assert str(child) == f"{url}/sub/c.png"
    assert child.parent.parent == path
    assert child.relative_to(path).as_posix() == "sub/c.png"
    assert str(pickle.loads(pickle.dumps(child))) == str(child)


@pytest.mark.parametrize("text", ["photos", "/a/b", "s3:/b/a", "C://x", "a/s3://b"])
def test_anything_else_is_a_plain_path(text: str) -> None:
    assert type(locate(text)) is type(Path(text))


@pytest.mark.parametrize("url", ["file:///a b/[1]", "file://localhost/a b/[1]", "local:///a b/[1]"])
def test_what_lies_on_this_machine_is_a_plain_path(url: str) -> None:
    assert locate(url) == Path("/a b/[1]")
    assert type(locate(url)) is type(Path())


def test_a_store_without_a_place_is_refused() -> None:
    with pytest.raises(AuditError, match=r"^s3:// names a store and nothing in it"):
        locate("s3://")


def test_pieces_of_an_object_are_those_of_a_file(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any reads and seeks, over blocks and past the end, give what the same on bytes gives."""
    monkeypatch.setattr(remote, "BLOCK_BYTES", 1000)
    data = bytes(range(256)) * 20
    fsspec.filesystem("memory").pipe_file(f"{memory}/a.bin", data)
    with locate(f"{memory}/a.bin").open("rb") as file:
        expected = io.BytesIO(data)
        for place, count in ((0, 10), (990, 3000), (5115, 100), (9000, 5), (4000, 0), (1, -1), (2500, 1)):
            assert (file.seek(place), file.read(count)) == (expected.seek(place), expected.read(count))
        assert file.seek(-7, io.SEEK_END) == 5113
        assert file.read(2) == data[5113:5115]


def test_a_store_that_nothing_reads_is_named(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"^nosuch:// is nothing that fsspec reads"):
        run_audit("index", "nosuch://bucket/photos", *NONE)


# ------------------------------------------------------------------------------------- the same index


def test_the_same_images_give_the_same_index(store: str, photos: list[Path]) -> None:
    """As objects, in tars, in one tar and in Parquet; a second run finds nothing new."""
    write_tars(Path("tars"), photos)
    write_parquet(Path("table/train-00000-of-00001.parquet"), rows_of(photos))
    run_audit("index", "files", *NONE, "--name", "files")
    expected = facts(Path("indexes/files"))
    for kind in ("files", "tars", "table"):
        url = upload(Path(kind), f"{store}/{kind}")
        run_audit("index", url, *NONE, "--name", f"far-{kind}")
        assert facts(Path(f"indexes/far-{kind}")) == expected
        assert read_manifest(Path(f"indexes/far-{kind}")).dataset.root == url
    run_audit("index", f"{store}/tars/train-000.tar", *NONE, "--name", "one")
    assert len(facts(Path("indexes/one"))) == 5
    assert facts(Path("indexes/one")).items() <= expected.items()


def test_annotations_and_metrics_are_those_of_files(
    store: str, tmp_path: Path, audit: Callable[..., str]
) -> None:
    """VOC boxes in the bucket or here; and what draws opens the images there."""
    root = write_dataset(tmp_path / "pets")
    url = upload(root, f"{store}/pets")
    run_audit("index", root / "images", "-a", root / "boxes", *SMALL, "--name", tmp_path / "here")
    for name, boxes in (("both", f"{url}/boxes"), ("mixed", root / "boxes")):
        run_audit("index", f"{url}/images", "-a", boxes, *SMALL, "--name", tmp_path / name)
        assert everything(tmp_path / name) == everything(tmp_path / "here")
    audit("match", "cat/00.png", "dog/01.png", "--index", tmp_path / "both", "--out", tmp_path / "m.png")
    audit("report", "--index", tmp_path / "both", "--out", tmp_path / "r.html")
    assert (tmp_path / "m.png").stat().st_size > 1000
    assert (tmp_path / "r.html").read_text().count("UklGR") >= 6


def test_what_changes_in_the_store_is_indexed_again(
    store: str, photos: list[Path], audit: Callable[..., str]
) -> None:
    url = upload(Path("files"), store)
    run_audit("index", url, *NONE, "--name", "i")
    system = fsspec.core.url_to_fs(url)[0]
    write_photo(Path("files/cat/00.png"), 77)
    system.pipe_file(f"{url}/cat/00.png", Path("files/cat/00.png").read_bytes())
    system.rm_file(f"{url}/dog/01.png")
    system.pipe_file(f"{url}/elk/99.png", photos[1].read_bytes())
    shutil.move("files/dog/01.png", "files/elk/99.png")
    run_audit("index", url, *NONE, "--name", "i")
    run_audit("index", "files", *NONE, "--name", "anew")
    assert facts(Path("indexes/i")) == facts(Path("indexes/anew"))


def test_keys_that_are_no_paths_are_left_out(memory: str, photos: list[Path]) -> None:
    url = upload(Path("files"), memory)
    system = fsspec.core.url_to_fs(url)[0]
    for key in (".hidden/a.png", "cat/.b.png", "a\nb.png"):
        system.pipe_file(f"{url}/{key}", photos[0].read_bytes())
    dataset = read_dataset(locate(url))
    assert [sample.path for sample in dataset.samples] == sorted(
        p.relative_to(Path("files").resolve()).as_posix() for p in photos
    )
    assert any("no paths" in note and "a\\nb.png" in note for note in dataset.notes)


# ------------------------------------------------------------------------------------- faults


def test_a_bucket_is_listed_once_and_each_image_read_once(
    server: Server, bucket: str, photos: list[Path]
) -> None:
    url = upload(Path("files"), bucket)
    server.requests.clear()
    dataset = read_dataset(locate(url))
    for sample in dataset.samples:
        read_content(dataset.root / sample.path)
    keys = [path for method, path in server.requests if path.endswith(".png")]
    assert sorted(keys) == sorted(set(keys))
    assert len(keys) == len(photos)
    assert len(server.requests) < len(photos) + 12


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (403, "unreadable", "AccessDenied"),
        (404, "missing", "NoSuchKey"),
        (500, "unreadable", "InternalError"),
        (2.5, "unreadable", "timeout"),
    ],
)
def test_a_broken_object_is_a_bad_image_until_it_is_sent(
    fault: int | float, code: str, words: str, server: Server, bucket: str, photos: list[Path]
) -> None:
    url = upload(Path("files"), f"{bucket}/{fault}")
    server.faults["dog/04.png"] = fault
    run_audit("index", url, *NONE, "--name", "i", "--max-bad", "1")
    (bad,) = tell_bad(Path("indexes/i"), summary_of(Path("indexes/i"))).bad
    assert (bad.path, bad.code) == ("dog/04.png", code)
    assert f"{url}/dog/04.png cannot be read" in bad.error
    assert words.lower() in bad.error.lower()
    server.faults.clear()
    run_audit("index", url, *NONE, "--name", "i", "--max-bad", "0")
    run_audit("index", "files", *NONE, "--name", "here")
    assert facts(Path("indexes/i")) == facts(Path("indexes/here"))


def test_a_slow_bucket_is_waited_for(server: Server, bucket: str, photos: list[Path]) -> None:
    url = upload(Path("files"), bucket)
    server.faults[".png"] = 0.2
    assert len(read_dataset(locate(url)).samples) == 9
    assert read_content(locate(f"{url}/cat/00.png")).data == photos[0].read_bytes()


@pytest.mark.parametrize(("fault", "words"), [(403, "Forbidden"), (500, "Internal Server Error")])
def test_a_bucket_that_cannot_be_listed(
    fault: int, words: str, server: Server, bucket: str, photos: list[Path]
) -> None:
    url = upload(Path("files"), bucket)
    fsspec.filesystem("s3").invalidate_cache()
    remote._look.cache_clear()
    server.faults[""] = fault
    with pytest.raises(DatasetError, match=rf"^{url}.* cannot be (read|listed): .*{words}"):
        run_audit("index", url, *NONE)


def test_a_bucket_that_is_not_there(server: Server, bucket: str) -> None:
    for url in (f"{bucket}/nothing", "s3://no-such-bucket/photos"):
        with pytest.raises(DatasetError, match=rf"^{url} is not a folder"):
            run_audit("index", url, *NONE)


def test_a_store_that_goes_away_ends_the_run_and_the_next_goes_on(
    server: Server, bucket: str, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed is kept: the second run reads only the rest."""
    monkeypatch.setattr(building, "SHARD_BYTES", 2 * 2 * 9 * 96)
    url = upload(Path("files"), bucket)
    commit = building.Build.add_shard

    def stop_after_it(self: building.Build, task: building.Task, *rest: object) -> None:
        commit(self, task, *rest)  # type: ignore[arg-type]
        if task.first == 2:
            server.stop()

    with monkeypatch.context() as patch:
        patch.setattr(building.Build, "add_shard", stop_after_it)
        with pytest.raises(OutputError, match=r"its store does not answer: .*run the same command to go on$"):
            run_audit("index", url, *NONE, "--name", "i")
    server.start()
    server.requests.clear()
    run_audit("index", url, *NONE, "--name", "i")
    run_audit("index", "files", *NONE, "--name", "here")
    assert facts(Path("indexes/i")) == facts(Path("indexes/here"))
    read = {path.rsplit("/", 1)[-1] for method, path in server.requests if method == "GET"}
    assert not read & {"00.png", "03.png"}


def test_an_index_is_checked_with_its_store_and_without(
    server: Server, bucket: str, photos: list[Path], audit: Callable[..., str]
) -> None:
    url = upload(Path("files"), bucket)
    run_audit("index", url, *NONE, "--name", "i")
    upload(Path("files/dog"), f"{url}/cat")
    fsspec.filesystem("s3").rm_file(f"{url}/elk/02.png")
    assert "elk/02.png" in audit("check", "--index", "i")
    server.stop()
    assert "elk/02.png" not in audit("check", "--index", "i")
    server.start()


def test_containers_with_faults(server: Server, bucket: str, photos: list[Path]) -> None:
    """A tar that is refused is left out and named; one cut in the middle gives what is whole."""
    write_tars(Path("tars"), photos)
    whole = Path("tars/train-001.tar").read_bytes()
    with tarfile.open("tars/train-001.tar") as tar:
        third = tar.getmembers()[4]
    Path("tars/train-002.tar").write_bytes(whole[: third.offset_data + 100])
    url = upload(Path("tars"), bucket)
    server.faults["train-000.tar"] = 403
    dataset = read_dataset(locate(url))
    assert [sample.path.split("/")[0] for sample in dataset.samples] == ["train-001.tar"] * 4 + [
        "train-002.tar"
    ] * 2
    notes = " ".join(dataset.notes)
    assert "Tars that cannot be read, left out: 1" in notes
    assert "AccessDenied" in notes
    assert "train-002.tar: it ends in the middle" in notes
    write_parquet(Path("table/a.parquet"), rows_of(photos))
    far = locate(upload(Path("table"), f"{bucket}-table"))
    read_dataset(far)
    server.faults["a.parquet"] = 403
    remote._look.cache_clear()
    fsspec.filesystem("s3").invalidate_cache()
    with pytest.raises(ImageError, match=r"a.parquet/000001/01.png cannot be read: .*AccessDenied|Forbidden"):
        read_content(far / "a.parquet/000001/01.png")
    with pytest.raises(DatasetError, match=r"a.parquet is no Parquet file that can be read: \w*Error: .*"):
        read_dataset(far)
