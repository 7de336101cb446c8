"""Tars and Parquet files of images: what tarfile and pyarrow wrote, against the same images as files."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import run_audit
from packed import FEATURES, facts, rows_of, write_parquet, write_tar, write_tars
from photos import SMALL, write_photo

import auditor.data.containers as containers
import auditor.data.tars as tars
from auditor.data.pixels import read_content
from auditor.data.read import read_dataset
from auditor.errors import DatasetError, ImageError
from auditor.store import Index, read_placement

NONE = (*SMALL, "--head", "none")
WEBP = "UklGR"  # how one begins in base64
KINDS = ("cat", "dog", "elk")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    for number in range(9):
        write_photo(tmp_path / "files" / KINDS[number % 3] / f"{number:02d}.png", number)
    return sorted((tmp_path / "files").rglob("*.png"), key=lambda path: path.name)


def test_the_same_images_give_the_same_index(photos: list[Path], audit: Callable[..., str]) -> None:
    """As files, in tars, in one tar and in Parquet: classes, hashes, features; and pictures of them."""
    write_tars(Path("tars"), photos)
    write_parquet(Path("table/train-00000-of-00001.parquet"), rows_of(photos))
    audit("index", "files", *NONE, "--name", "files", "--batch", "1")
    expected = facts(Path("indexes/files"))
    assert len(expected) == 9
    audit("report", "--index", "files", "--out", "files.html")
    for kind, image in (("tars", "train-001.tar/07.png"), ("table", "000007/07.png")):
        audit("index", kind, *NONE, "--name", kind, "--batch", "1")
        assert facts(Path("indexes", kind)) == expected
        audit("match", image, "08.png", "--index", kind, "--out", f"{kind}.png")
        audit("report", "--index", kind, "--out", f"{kind}.html")
        assert Path(f"{kind}.png").stat().st_size > 1000
        assert Path(f"{kind}.html").read_text().count(WEBP) == Path("files.html").read_text().count(WEBP) >= 9
        assert "nothing is new" in capture(audit, "index", kind, *NONE, "--name", kind)
    audit("index", "tars/train-000.tar", *NONE, "--name", "one", "--batch", "1")
    assert facts(Path("indexes/one")).items() <= expected.items()
    assert len(facts(Path("indexes/one"))) == 5


def capture(audit: Callable[..., str], *words: str) -> str:
    from auditor.indexing.request import Request
    from auditor.indexing.start import build_index

    said: list[str] = []

    class Listener:
        def say(self, text: str) -> None:
            said.append(text)

        def start(self, stage: str, total: int) -> None:
            pass

        def advance(self, count: int) -> None:
            pass

    request = Request(
        dataset=Path(words[1]), backbone="timm/test_resnet", weights="random:0", size=96, head="none"
    )
    build_index(request, Listener(), path=Path("indexes", words[-1]))
    return "\n".join(said)


def test_order_labels_and_metadata_of_tars(tmp_path: Path, photos: list[Path]) -> None:
    """Tars by name, samples as they lie; numbers count classes.txt; JSON and text are kept."""
    png = photos[0].read_bytes()
    folder = tmp_path / "tars"
    about = {"label": 1, "licence": "CC0", "width": 12}
    second = {"z.png": png, "z.json": json.dumps(about).encode(), "a.txt": b"a cat", "a.jpg": png}
    write_tar(folder / "b.tar", second)
    write_tar(folder / "a.tar", {"sub/9.PNG": png, "sub/9.cls": b"2\n", "sub/9.seg.png": png, "x.cls": b"1"})
    (folder / "classes.txt").write_text("cat\ndog\nelk\n")
    dataset = read_dataset(folder)
    assert [sample.path for sample in dataset.samples] == ["a.tar/sub/9.PNG", "b.tar/z.png", "b.tar/a.jpg"]
    assert [sample.labels for sample in dataset.samples] == [(2,), (1,), ()]
    assert dataset.samples[1].metadata == {"licence": "CC0", "width": "12"}
    assert dataset.samples[2].metadata == {"txt": "a cat"}
    assert dataset.kind == "webdataset"
    notes = " ".join(dataset.notes)
    assert "Second images of one sample, left out: 1 (first: sub/9.seg.png)" in notes
    assert "Samples without an image, left out: 1" in notes
    (folder / "classes.txt").unlink()
    assert [each.name for each in read_dataset(folder).classes] == ["1", "2"]


def test_a_tar_that_was_cut_is_read_as_far_as_it_goes(photos: list[Path], audit: Callable[..., str]) -> None:
    """At every place of a cut: whole members and no others, and a sentence; never an error in the middle."""
    whole = write_tars(Path("tars"), photos) / "train-001.tar"
    content = whole.read_bytes()
    with tarfile.open(whole) as tar:
        members = tar.getmembers()
    last = members[-1].offset_data + members[-1].size
    for cut in range(600, last + 512, 997):
        whole.write_bytes(content[:cut])
        tars._list_tar.cache_clear()
        expected = [m.name for m in members if m.name.endswith(".png") and m.offset_data + m.size <= cut]
        dataset = read_dataset(Path("tars"))
        found = [sample.path for sample in dataset.samples if "001" in sample.path]
        assert found == [f"train-001.tar/{name}" for name in expected]
        assert "train-001.tar: it ends in the middle" in " ".join(dataset.notes)
        for path in found:
            assert (
                read_content(Path("tars", path)).data
                == Path(next(photo for photo in photos if photo.name == path.rpartition("/")[2])).read_bytes()
            )
    whole.write_bytes(content[:100])
    assert "Tars that cannot be read, left out" in " ".join(read_dataset(Path("tars")).notes)
    audit("index", "tars", *NONE, "--name", "cut")
    with Index.open(Path("indexes/cut")) as index:
        assert index.images == 5


def test_a_tar_that_changes_is_noticed(photos: list[Path]) -> None:
    """One member replaced, one gone: the others keep their ids and are not extracted again."""
    folder = write_tars(Path("tars"), photos)
    run_audit("index", "tars", *NONE, "--name", "i")
    with tarfile.open(folder / "train-001.tar") as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]
    members["06.png"] = photos[0].read_bytes() + b" "
    del members["08.png"]
    write_tar(folder / "train-001.tar", members)
    with pytest.raises(DatasetError, match=r"train-001\.tar has no member 08\.png"):
        read_content(folder / "train-001.tar" / "08.png")
    run_audit("index", "tars", *NONE, "--name", "i")
    placement = read_placement(Path("indexes/i"))
    gone = {
        path
        for shard in placement.shards
        for i, path in enumerate(shard.paths, shard.first)
        if i in placement.removed
    }
    assert gone == {"train-001.tar/06.png", "train-001.tar/08.png"}
    assert placement.images == 10


def test_members_cannot_lead_out_of_their_tar(tmp_path: Path, photos: list[Path]) -> None:
    png = photos[0].read_bytes()
    (tmp_path / "secret.png").write_bytes(png)
    names = (str(tmp_path / "secret.png"), "../secret.png", "a/../../secret.png", "./fine.png", "bad\x1b.png")
    write_tar(tmp_path / "tars" / "x.tar", dict.fromkeys(names, png))
    dataset = read_dataset(tmp_path / "tars")
    assert [sample.path for sample in dataset.samples] == ["x.tar/fine.png"]
    assert "leads out of it" in " ".join(dataset.notes)
    with tarfile.open(tmp_path / "tars" / "y.tar", "w") as tar:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
        tar.addfile(link)
    assert len(read_dataset(tmp_path / "tars").samples) == 1


def test_rows_of_parquet_are_what_pyarrow_wrote(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order, in small blocks; class names and their order are the metadata's; -1 is no label."""
    monkeypatch.setattr(containers, "BLOCK_BYTES", 20_000)
    rows = rows_of(photos)
    rows[4]["label"] = -1
    rows[5]["image"]["bytes"] = None
    rows[6]["image"]["path"] = None
    path = write_parquet(Path("table/test-0.parquet"), rows, group=4)
    dataset = read_dataset(Path("table"))
    assert [each.name for each in dataset.classes] == ["elk", "dog", "cat"]
    assert [sample.path.partition("/")[2] for sample in dataset.samples][5:8] == [
        "000005/05.png", "000006", "000007/07.png",
    ]  # fmt: skip
    assert [sample.labels for sample in dataset.samples][3:5] == [(2,), ()]
    assert dataset.samples[0].split == "test"
    assert dataset.samples[0].metadata == {"caption": "photo 00"}
    for row in np.random.default_rng(0).permutation(9).tolist():
        if row == 5:
            with pytest.raises(ImageError, match="no bytes of an image in row 5") as error:
                read_content(path / "000005" / "05.png")
            assert error.value.code == "missing"
        else:
            assert read_content(Path("table", dataset.samples[row].path)).data == photos[row].read_bytes()
    with pytest.raises(ImageError, match="has no row"):
        read_content(path / "000009")


def test_the_name_of_a_parquet_file_is_no_pattern(photos: list[Path]) -> None:
    """DuckDB would read `x1.parquet` for `x[1].parquet`, and both for `x*.parquet`."""
    rows = rows_of(photos)
    names = {"x1": rows[:2], "x[1]": rows[2:5], "x*": rows[5:9], "x?": rows[4:5]}
    for name, chosen in names.items():
        write_parquet(Path(f"table/{name}.parquet"), chosen)
    samples = read_dataset(Path("table")).samples
    for name, chosen in names.items():
        own = [each.path for each in samples if each.path.startswith(f"{name}.parquet/")]
        assert [read_content(Path("table", path)).data for path in own] == [
            row["image"]["bytes"] for row in chosen
        ]


@pytest.mark.parametrize("form", ["list", "names", "numbers"])
def test_labels_of_parquet_in_other_forms(form: str, photos: list[Path]) -> None:
    """A list of ClassLabels, texts, and numbers without names."""
    rows = rows_of(photos)
    for row, photo in zip(rows, photos, strict=True):
        row.pop("label")
        row["labels"] = {"list": [0, 2], "names": photo.parent.name, "numbers": 7}[form]
    listed = {"labels": {"feature": FEATURES["label"], "_type": "Sequence"}}
    write_parquet(Path("table/x.parquet"), rows, listed if form == "list" else None)
    dataset = read_dataset(Path("table"))
    names = [each.name for each in dataset.classes]
    assert names == {"list": ["elk", "dog", "cat"], "names": ["cat", "dog", "elk"], "numbers": ["7"]}[form]
    assert dataset.samples[1].labels == {"list": (0, 2), "names": (1,), "numbers": (0,)}[form]


def test_parquet_without_images_is_refused_by_its_columns(photos: list[Path]) -> None:
    write_parquet(Path("table/x.parquet"), [{"text": "a", "label": 1}], None)
    with pytest.raises(DatasetError, match=r"x.parquet has no column of images.*; it has text, label"):
        read_dataset(Path("table"))
    write_parquet(Path("table/y.parquet"), rows_of(photos))
    dataset = read_dataset(Path("table"))
    assert len(dataset.samples) == 9
    assert "Parquet files that cannot be used, left out: 1" in " ".join(dataset.notes)
    shutil.rmtree("table")
    Path("table").mkdir()
    Path("table/z.parquet").write_bytes(b"PAR1 is not enough")
    with pytest.raises(DatasetError, match=r"z\.parquet is no Parquet file that can be read"):
        read_dataset(Path("table"))


def test_a_damaged_page_of_parquet_breaks_its_images_alone(photos: list[Path]) -> None:
    """Where only the bytes of images are damaged; a file that was cut is left out with a sentence."""
    write_parquet(Path("table/a.parquet"), rows_of(photos))
    path = write_parquet(Path("table/b.parquet"), rows_of(photos), group=3)
    content = bytearray(path.read_bytes())
    where = pq.read_metadata(path).row_group(1).column(0).dictionary_page_offset
    content[where + 3000 : where + 3100] = bytes(100)
    path.write_bytes(bytes(content))
    run_audit("index", "table", *NONE, "--name", "i", "--max-bad", "1")
    with Index.open(Path("indexes/i")) as index:
        rows = index.query("SELECT status, code FROM images ORDER BY id")
    assert rows["status"].tolist()[:12] == ["ok"] * 12
    assert rows["status"].tolist()[15:] == ["ok"] * 3
    assert "broken" in rows["status"].tolist()[12:15]
    assert set(rows["code"].tolist()) <= {None, "unreadable", "corrupt"}
    path.write_bytes(bytes(content[:-100]))
    dataset = read_dataset(Path("table"))
    assert len(dataset.samples) == 9
    assert "b.parquet is no Parquet file that can be read" in " ".join(dataset.notes)
