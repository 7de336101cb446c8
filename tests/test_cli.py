"""What scripts rely on: exit codes, JSON, tables, sentences."""

from __future__ import annotations

import csv
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from auditor.cli import app as app_module


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


def test_json_is_the_record_and_nothing_else(demo: Path, tmp_path: Path, ask: Callable[..., Any]) -> None:
    (metrics,) = ask("metrics")
    assert metrics["loc"]["value"] == metrics["loc"]["hits"] / metrics["loc"]["total"]
    assert {"rows", "by", "index"} <= set(ask("context"))
    detail = ask("context", "--class", "star dot", "--out", tmp_path / "context.png")
    assert len(detail["images"][0]["labels"]) == 3
    assert (tmp_path / "context.png").stat().st_size < 1_000_000
    assert len(ask("match", "images/000003.png", "images/000011.png", "-k", "7")["pairs"]) == 7
    assert ask("check")["is_sound"] is True
    assert len(ask("models")) >= 20


@pytest.mark.parametrize("words", [[], ["-i", "scenes-symbols"]], ids=["newest", "named"])
def test_every_answer_begins_with_its_index(
    demo: Path, ask: Callable[..., Any], audit: Callable[..., str], words: list[str]
) -> None:
    """Once for each index; the tour's test holds it for every question."""
    caveat = "the demo's network, which knows 20 drawn shapes"
    line = f"scenes-symbols: scenes, symbols, 160 images; {caveat}"
    assert audit("context", *words).splitlines()[0] == line
    assert audit("metrics", "-i", "scenes-symbols", "-i", "scenes-symbols").splitlines()[:2] == [line, line]
    told = {"index": "scenes-symbols", "dataset": "scenes", "backbone": "symbols", "caveats": [caveat]}
    (metrics,) = ask("metrics", *words)
    for answer in (metrics, ask("context", *words), ask("grid", "images/000003.png", *words)):
        assert {name: answer[name] for name in told} == told


def test_pictures_outlive_whoever_stops_reading(demo: Path, tmp_path: Path) -> None:
    """As `audit grid ... | head -1` does: no picture is lost, and nothing is said of it."""
    (tmp_path / "indexes").symlink_to(demo / "indexes")
    command = [sys.executable, "-m", "auditor", "grid", "images/000003.png", "images/000011.png"]
    pipe = f"{shlex.join(command)} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", pipe], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, code = done.stdout.splitlines()
    assert first.startswith("scenes-symbols: scenes, symbols, 160 images")
    assert (code, done.stderr) == ("0", "")
    pictures = {path.name for path in (tmp_path / "reports" / "scenes-symbols").iterdir()}
    assert pictures == {"grid-000003.png", "grid-000011.png"}


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
def test_a_pipe_that_nobody_reads_is_no_error(demo: Path, tmp_path: Path, as_json: list[str]) -> None:
    out = tmp_path / "grid.png"
    command = [sys.executable, "-m", "auditor", "grid", "images/000003.png", "--out", str(out), *as_json]
    with subprocess.Popen(command, cwd=demo, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert out.stat().st_size > 1000


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
    assert (demo / "indexes/scenes-symbols/CURRENT").read_text().strip() == "000001"
    assert len(ask("metrics", "-i", "scenes-symbols", "-i", "scenes-symbols")) == 2


TEXTS = (
    "7",
    "007",
    "-0",
    "0",
    "-3",
    "1_000",
    "0.5",
    ".5",
    "1e-3",
    "nan",
    "",
    "foreground",
    "images",
    "no file",
)


def test_values_are_what_typer_makes_of_them(demo: Path, tmp_path: Path) -> None:
    """Simple ones are read without it, since it takes long to load: the same values, the same refusals."""
    read = 0
    for name in app_module._Commands():
        command = app_module._command(name)
        context = command.make_context(name, [], resilient_parsing=True)
        for parameter in command.params:
            for text in (*TEXTS, str(demo), str(tmp_path / "new")):
                value: Any = (text, "0") if parameter.multiple or parameter.nargs == -1 else text
                ours, theirs = (
                    _outcome(take, parameter, context, value)
                    for take in (app_module._take, type(parameter).process_value)
                )
                assert ours == theirs, (name, parameter.name, value)
                read += 1
    assert read > 1000


def _outcome(take: Callable[..., Any], parameter: Any, context: Any, value: Any) -> tuple[Any, ...]:
    if parameter.callback is not None:  # which act at once
        return ()
    try:
        taken = take(parameter, context, value)
    except Exception as error:
        return type(error), str(error)
    return type(taken), repr(taken)
