"""Images that cannot be read: their codes, who is told, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import run_audit
from photos import SMALL, write_dataset, write_photo
from PIL import Image

from auditor.data.load import load
from auditor.errors import TooMuchBadData
from auditor.records import Dataset, Preprocess, Sample
from auditor.store import Index

CODES = {
    "cut.png": "corrupt",
    "header.jpg": "corrupt",
    "empty.png": "empty",
    "text.jpg": "unsupported",
    "script.jpg": "unsupported",
    "huge.png": "too_large",
    "narrow.png": "too_large",
    "pipe.png": "unreadable",
    "folder.png": "unreadable",
    "gone.png": "missing",
}


def write_bad(folder: Path) -> None:
    write_photo(folder / "whole.png", 0)
    whole = (folder / "whole.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "header.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("<html>404</html>")
    (folder / "script.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    Image.new("1", (10_000, 9_600)).save(folder / "huge.png")
    Image.new("1", (1, 9_000)).save(folder / "narrow.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_every_reason_has_its_code(tmp_path: Path) -> None:
    write_bad(tmp_path)
    listing = Dataset(tmp_path, "folder", (), ())
    loaded = {name: load(listing, Sample(name), Preprocess(resize=256, crop=224)) for name in CODES}
    assert {name: item.code for name, item in loaded.items()} == CODES
    assert {item.status for item in loaded.values()} == {"broken"}
    for name, item in loaded.items():
        assert name in str(item.error)
        is_read = CODES[name] in ("corrupt", "empty", "unsupported") or name in ("huge.png", "narrow.png")
        assert (item.hash is not None, item.bytes is not None, item.mtime_ns is not None) == (is_read,) * 3


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = write_dataset(tmp_path / "pets")
    (root / "images/cat/00.png").write_bytes(b"")
    (root / "images/dog/01.png").write_text("no image")
    return root


def words(root: Path, *more: object) -> list[str]:
    return [
        str(word) for word in ("index", root / "images", "-a", root / "boxes", *SMALL, "--name", "i", *more)
    ]


def test_broken_images_are_told_at_the_end_and_in_the_list(
    photos: Path, audit: Callable[..., str], ask: Callable[..., Any]
) -> None:
    said = audit(*words(photos, "--max-bad", 0.5))
    assert "6 images listed = 4 indexed + 2 broken" in said
    assert f"empty: {photos}/images/cat/00.png is empty" in " ".join(said.split())
    assert "unsupported: " in said
    (summary,) = ask(*words(photos, "--max-bad", 0.5))
    assert summary["broken"] == 2
    assert [(bad["path"], bad["code"]) for bad in summary["bad"]] == [
        ("cat/00.png", "empty"),
        ("dog/01.png", "unsupported"),
    ]
    assert "2 of 6 images could not be read" in " ".join(audit("list").split())
    assert ask("list")[0]["broken"] == 2


def test_too_many_are_an_error_after_everything_is_written(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        TooMuchBadData, match=r"2 of 6 images cannot be read \(33.3%, --max-bad allows 1.0%\)"
    ) as e:
        run_audit(*words(photos, "--json"))
    e.match(r"cat/00.png \(empty\), dog/01.png \(unsupported\)")
    e.match("complete and can be used")
    assert json.loads(capsys.readouterr().out)[0]["is_complete"]
    with Index.open(Path("indexes/i")) as index:
        assert index.query("SELECT count(*) AS n FROM images WHERE usable")["n"][0] == 4


def test_the_process_exits_with_3(photos: Path) -> None:
    command = [sys.executable, "-c", "from auditor.cli import main; main()", *words(photos)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "2 broken" in done.stdout
    assert "is complete and can be used" in done.stderr
    done = subprocess.run([*command, "--max-bad", "0.34"], capture_output=True, text=True, check=False)
    assert done.returncode == 0


def test_unclear_annotations_are_told_at_the_end(
    photos: Path, audit: Callable[..., str], ask: Callable[..., Any]
) -> None:
    box = photos / "boxes/02.xml"
    box.write_text(box.read_text().replace("<xmin>22</xmin>", "<xmin>nan</xmin>"))
    assert "1 image with an annotation that cannot be used" in audit(*words(photos, "--max-bad", 1))
    assert ask(*words(photos, "--max-bad", 1))[0]["unclear"] == 1
