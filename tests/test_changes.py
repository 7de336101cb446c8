"""A dataset that changed after it was indexed: what is compared, and what draws the pixels of an image."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import run_audit
from photos import SMALL, write_dataset, write_photo

from auditor.data.changes import IndexedFile, changed
from auditor.data.load import load
from auditor.errors import DatasetError, IndexMismatch
from auditor.records import Dataset, Preprocess, Sample
from auditor.store import Index


def rows_of(root: Path, *names: str) -> list[IndexedFile]:
    listing, preprocess = Dataset(root, "folder", (), ()), Preprocess(resize=32, crop=28)
    items = [load(listing, Sample(name), preprocess) for name in names]
    return [
        IndexedFile(number, item.sample.path, item.bytes, item.mtime_ns, item.hash)
        for number, item in enumerate(items)
    ]


def test_size_and_time_first_then_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("same", "edited", "touched", "gone", "repaired", "restored", "sneaky", "unread")
    paths = [tmp_path / f"{name}.png" for name in names]
    for number, path in enumerate(paths):
        write_photo(path, number)
    _, edited, touched, gone, repaired, restored, sneaky, unread = paths
    repaired.write_bytes(b"broken")
    unread.unlink()
    os.mkfifo(unread)
    rows = rows_of(tmp_path, *(path.name for path in paths))
    assert changed(tmp_path, rows) == ((), ())
    write_photo(edited, 99)
    os.utime(touched, ns=(1, 1))
    gone.unlink()
    write_photo(repaired, 4)
    before = restored.stat()
    content = restored.read_bytes()
    write_photo(restored, 77)
    restored.write_bytes(content)
    os.utime(restored, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    stamp = sneaky.stat()
    data = bytearray(sneaky.read_bytes())
    data[-20] ^= 1
    sneaky.write_bytes(data)
    os.utime(sneaky, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert changed(tmp_path, rows) == ((1, 4), (3,))  # sneaky is seen by what draws it
    unread.unlink()
    write_photo(unread, 7)
    assert changed(tmp_path, rows) == ((1, 4, 7), (3,))


def test_only_files_that_look_different_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_photo(tmp_path / f"{number}.png", number)
    rows = rows_of(tmp_path, "0.png", "1.png", "2.png")
    os.utime(tmp_path / "1.png", ns=(1, 1))
    opened: list[str] = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or read(path))
    assert changed(tmp_path, rows) == ((), ())
    assert opened == ["1.png"]
    unknown = [row._replace(size=None, mtime_ns=None) for row in rows]  # an index older than the columns
    assert changed(tmp_path, unknown) == ((), ())
    assert opened == ["1.png", "0.png", "1.png", "2.png"]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("changes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        root = write_dataset(folder / "pets")
        command = ("index", root / "images", "-a", root / "boxes", *SMALL, "--head", "probe", "--name", "i")
        run_audit(*command)
        run_audit("map")
    return folder


DRAWINGS = {
    "grid": ("grid", "cat/02.png", "--out", "g.png"),
    "similar": ("similar", "--patch", "cat/02.png:0,0", "--out", "g.png"),
    "similar to it": ("similar", "--patch", "dog/01.png:0,0", "-k", "5", "--out", "g.png"),
    "find": ("find", "--box", "cat/02.png:0,0,60,60", "--out", "g.png"),
    "match": ("match", "cat/02.png", "dog/01.png", "--out", "g.png"),
    "cam": ("cam", "cat/02.png", "--class", "cat", "--out", "g.png"),
    "occlude": ("occlude", "cat/02.png", "--out", "g.png"),
    "relevance": ("relevance", "cat/02.png", "--cell", "0,0", "--out", "g.png"),
    "attack": ("attack", "cat/02.png", "--target", "dog", "--steps", "1"),
    "fills": ("fills", "--fill", "black"),
    "context": ("context", "--class", "cat", "--out", "g.png"),
    "concept": ("concept", "c.json", "--out", "g.png"),
    "map": ("map", "--out", "g.png"),
}


@pytest.mark.parametrize("words", DRAWINGS.values(), ids=DRAWINGS)
def test_no_answer_shows_pixels_that_were_not_indexed(
    words: tuple[str, ...], indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every image is replaced: whichever an answer opens, it says so, and never draws the new pixels."""
    shutil.copytree(indexed, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    root = indexed / "pets" / "images"
    Path("c.json").write_text('{"name": "c", "cells": ["cat/02.png:0,0", "cat/00.png:1,1"]}')
    kept = {path: path.read_bytes() for path in root.glob("*/*.png")}
    try:
        for number, path in enumerate(kept):
            write_photo(path, 500 + number)
        with pytest.raises(
            IndexMismatch, match=r"\.png has changed since it was indexed; .*audit index"
        ) as error:
            run_audit(*words)
        assert str(root) in str(error.value)
        assert not Path("g.png").exists()
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    run_audit(*words)


def test_a_page_leaves_out_what_has_changed_and_says_so(
    indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photo = indexed / "pets" / "images" / "cat" / "02.png"
    content = photo.read_bytes()
    try:
        write_photo(photo, 501)
        run_audit("report", "--patch", "cat/02.png:0,0", "--index", indexed / "indexes" / "i")
    finally:
        photo.write_bytes(content)
    (page,) = Path("reports").glob("*.html")
    assert "cat/02.png has changed since it was indexed" in page.read_text()


def test_a_file_elsewhere_of_the_same_name_is_not_drawn_for_a_lost_one(
    tmp_path: Path, audit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        write_photo(tmp_path / "photos" / f"{number}.png", number)
    audit("index", "photos", *SMALL, "--name", "i")
    (tmp_path / "photos" / "1.png").rename(tmp_path / "other.png")
    write_photo(tmp_path / "1.png", 55)
    with pytest.raises(Exception, match=r"photos/1\.png cannot be read"):
        audit("grid", "1.png", "--out", "g.png")


@pytest.mark.parametrize("words", [("similar", "--patch", "1.png:0,0"), ("find", "--box", "1.png:0,0,60,60")])
def test_json_needs_no_picture(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The image of the question is lost; a picture is drawn, and an error, only where one is asked for."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        write_photo(tmp_path / "photos" / f"{number}.png", number)
    run_audit("index", "photos", *SMALL, "--head", "none", "--name", "i")
    capsys.readouterr()
    run_audit(*words, "--json")
    whole = capsys.readouterr()
    assert not Path("reports").exists()
    (tmp_path / "photos" / "1.png").unlink()
    run_audit(*words, "--json")
    assert capsys.readouterr() == whole
    assert whole.err == ""
    for asked in (["--json", "--out", "g.png"], []):
        with pytest.raises(DatasetError, match=r"photos/1\.png cannot be read"):
            run_audit(*words, *asked)
        assert capsys.readouterr().out.startswith(whole.out if asked else "i: photos")


def test_size_and_time_are_stored(indexed: Path) -> None:
    root = indexed / "pets" / "images"
    with Index.open(indexed / "indexes" / "i") as index:
        stored = index.query("SELECT path, size, mtime_ns FROM images ORDER BY id")
    for path, size, mtime in zip(*(column.tolist() for column in stored.values()), strict=True):
        assert size == (root / path).stat().st_size
        assert mtime > 0
