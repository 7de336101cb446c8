"""Names that are attacks or accidents, from the folder through every command to text, JSON, CSV and page."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from conftest import run_audit
from photos import SMALL, write_photo
from PIL import Image
from typer.main import get_command

from auditor.cli.app import app
from auditor.errors import AuditError, CellError
from auditor.store import Index
from auditor.terminal.progress import Bar
from indexes import make_index, random_images

NAMES = {
    "escape": "\x1b]0;owned\x07.png",
    "newline": "two\nlines.png",
    "right-to-left": "\u202egnp.exe\u202c.png",
    "arabic": "صورة.png",
    "markup": "<img src=x onerror=alert(1)>.png",
    "quotes": '"it\'s" `id` $(id) \\ %s {0} {{7*7}}.png',
    "console markup": "[red]x[bold] :smile:.png",
    "dash": "--help.png",
    "formula": "=cmd|' C calc'!A0.png",
    "sum": "@SUM(1+1).png",
    "cell": "a.png:1,2.png",
    "glob": "*?[a-z].png",
    "long": "x" * 250 + ".png",
    "long unicode": "é" * 125 + ".png",
    "composed": "caf\u00e9.png",
    "decomposed": "cafe\u0301.png",
    "space": " .png",
    "emoji": "🐈‍⬛.png",
}
CLASSES = ('<b>=cmd()</b>"'.replace("/", ""), "-2\x1b[31m\u202e", "@dog's\n")


def foreground() -> Image.Image:
    mask = np.zeros((90, 120), np.uint8)
    mask[60:75, 75:90] = 255
    return Image.fromarray(mask)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of images, masks and classes with such names, and one of other photos of the same names."""
    root = tmp_path_factory.mktemp("hostile")
    write_data(root / "others", len(NAMES))
    write_data(root / "data", 0)
    cells = [f"{path_of(key)}:0,0" for key in ("escape", "right-to-left", "formula")]
    (root / "set.json").write_text(json.dumps({"name": NAMES["markup"], "cells": cells}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run_audit("index", "others", *SMALL, "--head", "probe", "--name", "others")
        head = "indexes/others/heads/probe.safetensors"  # the same, so that the one calibrates the other
        run_audit("index", "data", *SMALL, "--head", head, "--name", "i")
        run_audit("map")
    return root


def write_data(root: Path, seed: int) -> None:
    """A photo and a mask of each name."""
    for number, name in enumerate(NAMES.values()):
        kind = CLASSES[number % len(CLASSES)]
        write_photo(root / "images" / kind / "a.png", seed + number)
        (root / "images" / kind / "a.png").rename(root / "images" / kind / name)
        (root / "masks" / kind).mkdir(parents=True, exist_ok=True)
        foreground().save(root / "masks" / kind / "a.png")
        (root / "masks" / kind / "a.png").rename(root / "masks" / kind / name)


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def path_of(key: str) -> str:
    return f"images/{CLASSES[list(NAMES).index(key) % len(CLASSES)]}/{NAMES[key]}"


def is_harmless(text: str) -> bool:
    """No character that a terminal obeys; joiners belong to some scripts."""
    bad = {"Cc", "Cs", "Zl", "Zp"}
    return not any(
        (unicodedata.category(char) in bad and char != "\n")
        or char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067"
        for char in text
    )


def texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, each in value.items():
                yield from (*texts(key), *texts(each))
        case list():
            for each in value:
                yield from texts(each)


def test_every_name_is_indexed_as_it_is(here: Path) -> None:
    with Index.open(Path("indexes/i")) as index:
        paths = index.query("SELECT path FROM images WHERE usable ORDER BY id")["path"].tolist()
        assert sorted(paths) == sorted(path_of(key) for key in NAMES)
        assert sorted(each.name for each in index.manifest.classes) == sorted(CLASSES)
        annotated = index.query("SELECT count(*) AS n FROM images WHERE foreground IS NOT NULL")["n"][0]
        assert annotated == len(NAMES)  # each image has its own mask, twins by normalisation too
        for key in NAMES:
            for wanted in (path_of(key), str(here / "data" / path_of(key)), f"./{path_of(key)}"):
                assert index.path_of(index.image(wanted)) == path_of(key)


QUESTIONS = (
    *(
        ("list",),
        ("check",),
        ("metrics",),
        ("context",),
        ("confusion",),
        ("pool",),
        ("findings",),
        ("hygiene",),
        ("causes",),
        ("ledger",),
        ("artifacts",),
        ("labels",),
        ("shortcuts",),
    ),
    *(("map",), ("fills", "--fill", "black", "--images", "1"), ("threshold", "--calibration", "others")),
    *(("probe", "--epochs", "2"), ("concept", "set.json")),
)
OF_IMAGES = (
    ("grid", "{}"),
    ("ledger", "{}"),
    ("similar", "--patch", "{}:0,0"),
    ("find", "--box", "{}:0,0,40,40"),
    ("match", "{}", "{}"),
    ("cam", "{}", "--class", "{class}"),
    ("occlude", "{}"),
    ("relevance", "{}", "--cell", "0,0"),
    ("attack", "{}", "--target", "{class}", "--steps", "1"),
)


ELSEWHERE = {"index", "report", "view", "merge", "leaks"}  # have a test of their own here
NAMELESS = {"models", "plan", "synth", "train", "rename", "remove", "copy"}  # say no image's or class's name


def test_no_command_is_left_out() -> None:
    asked = {words[0] for words in (*QUESTIONS, *OF_IMAGES)}
    assert set(get_command(app).commands) == asked | ELSEWHERE | NAMELESS


@pytest.mark.parametrize("words", QUESTIONS, ids=" ".join)
def test_what_commands_print_is_not_obeyed(
    words: tuple[str, ...], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(words, capsys)


def test_what_splits_share_is_not_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images of such names, in splits of such names, every two alike in all cells."""
    monkeypatch.chdir(tmp_path)
    images = random_images(3, len(NAMES))
    for number, (image, name) in enumerate(zip(images, NAMES.values(), strict=True)):
        image.path, image.status, image.split = name, "ok", CLASSES[number % 2]
        image.features, image.norms = (images[number // 2 * 2].features, images[number // 2 * 2].norms)
    make_index(Path("indexes/i"), images)
    said = _run(("leaks",), capsys)
    assert {NAMES["escape"], NAMES["newline"], CLASSES[0], CLASSES[1]} <= said


@pytest.mark.parametrize("words", OF_IMAGES, ids=lambda words: words[0])
def test_an_image_of_any_name_can_be_asked_about(
    words: tuple[str, ...], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = path_of("escape")
    filled = tuple(word.replace("{}", path).replace("{class}", CLASSES[0]) for word in words)
    assert path in _run(filled, capsys)


@pytest.mark.parametrize("key", NAMES)
def test_an_image_of_any_name_is_drawn(key: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_audit("similar", "--patch", f"{path_of(key)}:0,0", "-k", "3", "--out", "s.png")
    assert is_harmless(capsys.readouterr().out)
    run_audit("grid", path_of(key), "--json")
    assert json.loads(capsys.readouterr().out)["path"] == path_of(key)


@pytest.mark.parametrize("name", CLASSES, ids=ascii)
def test_a_class_of_any_name_can_be_asked_about(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert name in _run(("context", f"--class={name}"), capsys)


def _run(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The texts in the JSON of an answer, once its text and its table are seen to be harmless."""
    run_audit(*words)
    said = capsys.readouterr()
    assert is_harmless(said.out), ascii(said.out)
    assert is_harmless(re.sub(r"\r|\x1b\[[0-9;?]*[A-Za-z]", "", said.err)), ascii(said.err)
    has_table = words[0] not in ("list", "check", "findings")
    run_audit(*words, *(("--table", "t.csv") if has_table else ()), "--json")
    printed = capsys.readouterr().out
    assert is_harmless(printed), ascii(printed)
    if has_table:
        with Path("t.csv").open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if re.match(r"[=@\t\r\n]|[+-](?!\d+(\.\d+)?(e-?\d+)?$)", cell)]
    return set(texts(json.loads(printed)))


def test_the_page_takes_every_name_as_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patches = [word for key in NAMES for word in ("--patch", f"{path_of(key)}:0,0")]
    run_audit("report", *patches, "--out", "page.html")
    said = capsys.readouterr()
    assert is_harmless(said.out), ascii(said.out)
    assert Path("page.html").is_file(), (said.out, said.err, sorted(here.iterdir()))
    assert_text(Path("page.html").read_text(encoding="utf-8"))


def test_the_live_page_takes_every_name_as_text(here: Path) -> None:
    pytest.importorskip("starlette", reason="audit view needs the extra auditor[view]")
    from auditor.page.live import Live
    from auditor.page.serve import Server

    with Index.open(Path("indexes/i")) as index:
        with Bar(quiet=True) as bar:
            server = Server(Live(index), 0, bar)
        thread = Thread(target=server.run, daemon=True)
        thread.start()
        try:
            with urllib.request.urlopen(server.address, timeout=300) as answer:
                assert_text(answer.read().decode("utf-8"))
        finally:
            server.stop()
            thread.join(20)


def assert_text(text: str) -> None:
    assert "<img src=x" not in text
    assert "<b>=cmd" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


def test_parts_of_any_names_are_merged(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [f"indexes/m.{number}-of-2" for number in (1, 2)]
    for number in (1, 2):
        words = ("--head", "none", "--name", "m", "--shard", f"{number}/2")
        run_audit("index", "data", *SMALL, *words)
    run_audit("merge", *parts)
    said = capsys.readouterr()
    assert is_harmless(said.out), ascii(said.out)
    with Index.open(Path("indexes/m")) as merged:
        paths = merged.query("SELECT path FROM images WHERE usable")["path"].tolist()
    assert sorted(paths) == sorted(path_of(key) for key in NAMES)
    for path in (*parts, "indexes/m"):
        shutil.rmtree(path)  # it would be the newest, which the other tests ask


def test_names_that_are_no_text_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photo(tmp_path / "photos" / "good.png", 0)
    write_photo(tmp_path / "photos" / "more.png", 1)
    folder = tmp_path / "photos"
    try:
        (folder / os.fsdecode(b"bad\xff")).mkdir()
        (folder / "more.png").rename(folder / os.fsdecode(b"bad\xfe.png"))
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    run_audit("index", "photos", *SMALL, "--head", "none", "--name", "i")
    said = capsys.readouterr()
    assert "1 image listed = 1 indexed" in said.out
    assert "Names that are not UTF-8, skipped; rename them to use them: 2" in said.err
    for words in (
        ["grid", "bad\udcfe.png"],
        ["similar", "--patch", "bad\udcfe.png:0,0"],
        ["match", "\udcff", "good.png"],
    ):
        with pytest.raises(AuditError):
            run_audit(*words)


def test_names_are_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    """Left alone, Python would take every byte beyond ASCII for no text here."""
    write_photo(tmp_path / "größe" / "図 1.png", 0)
    write_photo(tmp_path / "größe" / "図 2.png", 1)
    legacy = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    for words in (
        ["index", "größe", *SMALL, "--head", "none", "--name", "ä"],
        ["similar", "--index", "ä", "--patch", "図 1.png:0,0", "--out", "ö.png", "--table", "ü.parquet"],
    ):
        command = [sys.executable, "-m", "auditor", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=legacy, capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stderr
    assert "picture: ö.png" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"größe", "indexes", "ö.png", "ü.parquet"}
    with Index.open(tmp_path / "indexes" / "ä") as index:
        paths = index.query("SELECT path FROM images ORDER BY id")["path"].tolist()
    assert paths == ["図 1.png", "図 2.png"]


@pytest.mark.parametrize("question", ["grid {}", "match {} {}", "relevance {} --cell 0,0"])
def test_a_name_longer_than_any_file_is_of_no_image(question: str, here: Path) -> None:
    with pytest.raises(CellError, match="is not in i; close matches"):
        run_audit(*(word.replace("{}", "n" * 400) for word in question.split()))


def test_a_broken_image_of_any_name_is_told_harmlessly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photo(tmp_path / "photos" / "good.png", 0)
    keys = ("escape", "newline", "right-to-left", "long")
    for key in keys:
        (tmp_path / "photos" / NAMES[key]).write_bytes(b"")
    command = ("index", "photos", *SMALL, "--head", "none", "--name", "i", "--max-bad", "1")
    run_audit(*command)
    assert is_harmless(capsys.readouterr().out)
    run_audit(*command, "--json")
    (summary,) = json.loads(capsys.readouterr().out)
    assert {bad["path"] for bad in summary["bad"]} == {
        NAMES[k] for k in ("escape", "newline", "right-to-left", "long")
    }
