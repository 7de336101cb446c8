"""`audit plan`: what it says of an index that is then made, and what it refuses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from conftest import run_audit
from photos import write_photo

from auditor.cli.app import app
from auditor.errors import AuditError, DatasetError
from auditor.search import proposals

MODEL = ("--backbone", "timm/test_resnet", "--weights", "random:0", "--size", "96")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with photos of two classes in it."""
    monkeypatch.chdir(tmp_path)
    for number in range(30):
        write_photo(tmp_path / "photos" / f"class{number % 2}" / f"{number:02d}.jpg", number)
    return tmp_path


def taken(path: Path) -> Any:
    """The bytes of an index to 5 %, and to two blocks of its database, which grows by whole ones."""
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return pytest.approx(size, rel=0.05, abs=2 * (256 << 10))


@pytest.mark.parametrize("head", ["own", "probe", "none"])
def test_what_is_planned_is_what_is_made(head: str, folder: Path, ask: Callable[..., Any]) -> None:
    words = ("photos", *MODEL, "--head", head, "--name", "made")
    planned = ask("plan", *words)
    assert not (folder / "indexes").exists()
    (made,) = ask("index", *words)
    assert (planned["index"], planned["images"], planned["head"]) == ("made", 30, head)
    assert planned["cells"] == made["cells"]
    assert planned["is_possible"]
    assert planned["seconds"] == pytest.approx(30 * planned["seconds_per_image"])
    assert planned["bytes"] == taken(folder / "indexes" / "made")


def test_scenes_and_their_variants(folder: Path, ask: Callable[..., Any], audit: Callable[..., str]) -> None:
    audit("synth", "scenes", "--images", "60")
    planned = ask("plan", "scenes")
    (made,) = ask("index", "scenes")
    assert planned["variants"] == ["original", "without_bg", "without_fg"]
    assert planned["cells"] == made["cells"] == 60 * 49
    assert planned["bytes"] == taken(folder / "indexes" / "scenes-symbols")


def test_it_is_told_in_lines(folder: Path, audit: Callable[..., str]) -> None:
    said = audit("plan", "photos", *MODEL)
    assert said.startswith("What photos-test_resnet would take\nimages  30, head own, 1 variant\n")
    for word in ("cells   270, 3 x 3 of 96", "disk", "memory", "time", "search  exact", "20 images"):
        assert word in said


def test_a_large_index_is_told_with_its_lists(
    folder: Path, ask: Callable[..., Any], audit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = ask("plan", "photos", *MODEL)
    monkeypatch.setattr(proposals, "LARGE", 200)
    planned = ask("plan", "photos", *MODEL)
    ask("index", "photos", *MODEL, "--name", "made")
    (lists,) = (folder / "indexes" / "made").glob("derived/*/lists.*")
    centres = 3 * 96 * 96 * 4  # axes and centres, whatever the number of cells
    assert planned["lists_bytes"] == pytest.approx(lists.stat().st_size, abs=centres)
    assert (exact["lists_bytes"], planned["lists_bytes"]) == (0, 270 * (12 + 8))
    assert planned["bytes_per_image"] - exact["bytes_per_image"] == pytest.approx(9 * 20, abs=1)
    assert "search  by lists of " in audit("plan", "photos", *MODEL)


def test_a_disk_that_is_too_small_is_told_with_what_fits(
    folder: Path, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = ask("plan", "photos", *MODEL)
    free = planned["fixed_bytes"] + int(20 * planned["bytes_per_image"])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(AuditError, match=r"photos-test_resnet would take .* free; it would hold") as error:
        run_audit("plan", "photos", *MODEL)
    assert error.value.exit_code == 1
    flags = str(error.value).partition("would hold ")[2].split()
    assert flags[:1] + flags[2:4] == ["--sample", "or", "--size"]
    sample, size = flags[1].rstrip(","), flags[4]
    assert 10 < int(sample) <= 20
    assert ask("plan", "photos", *MODEL, "--sample", sample)["is_possible"]
    assert ask("plan", "photos", *MODEL[:-1], size)["is_possible"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(AuditError, match="make room"):
        run_audit("plan", "photos", *MODEL)


def test_a_machine_that_is_too_small_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: 1000)
    with pytest.raises(AuditError, match=r"bytes of memory, and this machine has .*--batch"):
        run_audit("plan", "photos", *MODEL)


def test_images_that_cannot_be_read_are_left_out_of_the_probe(folder: Path, ask: Callable[..., Any]) -> None:
    for number in range(0, 30, 3):
        (folder / "photos" / f"class{number % 2}" / f"{number:02d}.jpg").write_bytes(b"broken")
    assert 0 < ask("plan", "photos", *MODEL)["probed"] < 20
    for path in (folder / "photos").rglob("*.jpg"):
        path.write_bytes(b"broken")
    with pytest.raises(DatasetError, match="none of 20 images of photos can be read"):
        run_audit("plan", "photos", *MODEL)


def test_it_takes_what_audit_index_takes() -> None:
    found = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    plan, index = ([each.name for each in found[name].params] for name in ("plan", "index"))
    assert plan == index
