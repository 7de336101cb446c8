"""What scripts rely on: exit codes, JSON, tables, sentences."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auditor", *words], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--version"], 0, ""),
        (["metrics", "--index", "nothing"], 1, "build one with: audit index"),
        (["context", "--class", "nothing"], 1, "close matches"),
        (["similar", "--patch", "images/000000.png:9,9"], 1, "outside the 7 x 7 grid"),
        (["similar", "--patch", "images/000000.png"], 1, "row,col"),
        (["match", "images/000000.png", "images/nothing.png"], 1, "close matches"),
        (["index", "nowhere"], 1, "nowhere"),
        (["index", "scenes", "--backbone", "dinov22"], 1, "dinov2"),
        (["metrics", "--table", "out.xlsx"], 1, ".csv"),
        (["nothing"], 2, "No such command"),
        (["index"], 2, "Missing argument"),
        (["index", "scenes", "--fill", "pink"], 2, "pink"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_exit_codes_and_sentences(words: list[str], code: int, said: str, demo: Path) -> None:
    done = run(*words, cwd=demo)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.startswith("audit: ")
        assert not done.stdout


def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    script = (
        "import signal, os\n"
        "import auditor.indexing.start as start\n"
        "start.read_dataset = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT)\n"
        "import sys; sys.argv = ['audit', 'index', '.']\n"
        "from auditor.cli import main; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert "run the same command" in done.stderr


def test_json_is_the_record_and_nothing_else(demo: Path, ask: Callable[..., Any]) -> None:
    (metrics,) = ask("metrics")
    assert metrics["loc"]["value"] == metrics["loc"]["hits"] / metrics["loc"]["total"]
    assert {"rows", "by", "index"} <= set(ask("context"))
    detail = ask("context", "--class", "star dot")
    assert len(detail["images"][0]["labels"]) == 3
    assert len(ask("match", "images/000003.png", "images/000011.png", "-k", "7")["pairs"]) == 7
    assert ask("check")["is_sound"] is True
    assert len(ask("models")) >= 20


def test_tables_are_written(demo: Path, audit: Callable[..., str], tmp_path: Path) -> None:
    for suffix in ("csv", "parquet"):
        audit("context", "--table", tmp_path / f"context.{suffix}")
    with (tmp_path / "context.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    stored = duckdb.sql(f"SELECT count(*), max(bg_act_total) FROM '{tmp_path}/context.parquet'").fetchall()
    assert stored == [(20, max(int(row["bg_act_total"]) for row in rows))]


def test_an_index_is_named_or_the_newest(demo: Path, ask: Callable[..., Any]) -> None:
    named, by_path, newest = (
        ask("metrics", *words) for words in (["-i", "scenes-symbols"], ["-i", "indexes/scenes-symbols"], [])
    )
    assert named == by_path == newest
    assert json.loads((demo / "indexes/scenes-symbols/index.json").read_text())["is_complete"]
    assert len(ask("metrics", "-i", "scenes-symbols", "-i", "scenes-symbols")) == 2
