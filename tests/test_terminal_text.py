"""Names that are attacks: nothing that reaches a terminal is obeyed by it, and no spreadsheet runs a cell."""

from __future__ import annotations

import ast
import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from auditor.errors import CellError
from auditor.grids import parse_cell
from auditor.questions.similar.record import Similar
from auditor.records import Hit
from auditor.report.write import as_json, write_table
from indexes import make_index, random_images

PACKAGE = Path(__file__).parents[1] / "auditor"
MAY_PRINT = {"lines.py", "console.py", "progress.py", "patience.py", "show.py", "endings.py"}
"""Of auditor/terminal: what they print they have made visible."""

TITLE = "\x1b]0;owned\x07"
HOSTILE = [
    f"{TITLE}nope.png",
    "\x1b[31m[bold]",
    "two\nlines.png",
    "\u202egnp.exe",
    "back\rspace\x08",
    "\x9b31mC1",
]


def run(folder: Path, *words: str) -> str:
    """What a command wrote on both streams."""
    command = [sys.executable, "-m", "auditor", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=100)
    written = (done.stdout + done.stderr).decode()
    assert "Traceback" not in written
    return written


def is_harmless(text: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in text)


def printing(path: Path) -> set[str]:
    """How a module reaches a terminal."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="print" | "input" | "Console" as name)):
                found.add(name)
            case ast.Call(func=ast.Attribute(attr="echo" | "secho" | "confirm" | "prompt" as name)):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="sys"), attr="stdout" | "stderr" as name):
                found.add(name)
    return found


def test_nobody_prints_past_the_one_way() -> None:
    by_file = {path: printing(path) for path in PACKAGE.rglob("*.py")}
    allowed = {PACKAGE / "terminal" / name for name in MAY_PRINT}
    allowed.add(PACKAGE / "models" / "download.py")  # to the process that started it
    assert {str(path) for path, ways in by_file.items() if ways and path not in allowed} == set()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index of hostile images under a hostile name."""
    folder = tmp_path_factory.mktemp("hostile")
    images = [
        replace(image, path=f"{name}{number}.png")
        for number, (image, name) in enumerate(zip(random_images(2, 6), HOSTILE, strict=True))
    ]
    make_index(folder / "indexes" / "evil\x1b[2J", images)
    return folder


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_no_message_is_obeyed(here: Path, name: str) -> None:
    for words in (["grid", name], [name], ["metrics", "--index", name], ["index", name], ["metrics", name]):
        said = run(here, *words)
        assert is_harmless(said), ascii(said)
        assert len([line for line in said.splitlines() if line.startswith("audit: ")]) == 1
    (here / name).mkdir(exist_ok=True)
    said = run(here, "index", name, "--backbone", "dinov2", "--weights", "random")
    assert is_harmless(said), ascii(said)
    assert "holds no images" in said


def test_no_table_is_obeyed(here: Path) -> None:
    for words in (["list"], ["metrics"], ["check"], ["similar", "--patch", f"{HOSTILE[0]}0.png:0,0"]):
        assert is_harmless(run(here, *words)), words


def test_an_image_whose_name_has_any_character_can_be_named(here: Path) -> None:
    """As the shell passes it: audit similar --patch $'two\\nlines.png:0,0'"""
    for number, name in enumerate(HOSTILE):
        printed = run(here, "similar", "--json", "--patch", f"{name}{number}.png:1,2")
        answer, _ = json.JSONDecoder().raw_decode(printed)  # its images are nowhere, so no picture is drawn
        assert (answer["path"], answer["row"], answer["col"]) == (f"{name}{number}.png", 1, 2)
    assert parse_cell("a:b\n:c:3,4") == ("a:b\n:c", 3, 4)
    for text in ("a.png", "a.png:3", "a.png:3,4\n", ":1,2"):
        with pytest.raises(CellError):
            parse_cell(text)


FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(1+1)", "\t=1+1", "\r=1+1", "\n=1+1", "=cmd|' /C calc'!A0"]
PLAIN = ["a.png", "-5", "+1.5e3", "'a", "1=1", ""]


@pytest.mark.parametrize("text", FORMULAS + PLAIN, ids=ascii)
def test_no_cell_of_a_csv_is_executed(text: str, tmp_path: Path) -> None:
    record = Similar("val", "q.jpg", 0, 1, (Hit(text, 1, 0, -0.5, None, None, text),))
    for suffix in ("csv", "parquet"):
        write_table(record, tmp_path / f"t.{suffix}")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["path"] == (f"'{text}" if text in FORMULAS else text)
    assert row["cosine"] == "-0.5"
    assert duckdb.sql(f"SELECT path FROM '{tmp_path / 't.parquet'}'").fetchall() == [(text,)]
    assert json.loads(as_json(record))["hits"][0]["path"] == text
