"""One bad index is one line, wherever indexes are listed, and no other one answers in its place."""

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
from crash import in_a_copy

from auditor.cli import main
from auditor.store.sealed import checksum
from indexes import make_index, random_images


def audit(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a copy of this process: of two hundred not each has to load the libraries."""
    code = in_a_copy(_run, folder, words)
    said = (Path(folder, name).read_text() for name in OUTLETS)
    return subprocess.CompletedProcess(words, code, *said)


OUTLETS = ("stdout", "stderr")


def _run(folder: Path, words: tuple[str, ...]) -> None:
    os.chdir(folder)
    os.environ["COLUMNS"] = "1000"
    for number, name in enumerate(OUTLETS, start=1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        setattr(sys, name, os.fdopen(number, "w", closefd=False))
    sys.argv = ["audit", *words]
    main()


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the commands load is loaded in this process."""
    folder = tmp_path_factory.mktemp("loaded")
    make_index(folder / "indexes" / "a", random_images(2, 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in ("list", "metrics", "check"):
            run_audit(command)


def sealed(content: dict[str, Any]) -> str:
    """A manifest whose checksum is right."""
    content = {key: value for key, value in content.items() if key != "checksum"}
    return json.dumps({"checksum": checksum(content), **content}, indent=1)


def change(**changed: Any) -> Callable[[Path], None]:
    """Another manifest under a right checksum."""
    return lambda path: (path.write_text(sealed(json.loads(path.read_text()) | changed)), None)[1]


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def forbid(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path.chmod(0)


MANIFEST, GENERATION, CURRENT = "index.json", "derived/000001/generation.json", "CURRENT"
FAULTS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a dataset that is a number": (MANIFEST, change(dataset=5)),
    "a backbone that is a list": (MANIFEST, change(backbone=["a"])),
    "no grid": (MANIFEST, change(grid=None)),
    "a grid of text": (MANIFEST, change(grid=["3", "3"])),
    "a class that is a number": (MANIFEST, change(classes=[3])),
    "a date that is a number": (MANIFEST, change(created=7)),
    "a schema that is text": (MANIFEST, change(schema="x")),
    "a schema of tomorrow": (MANIFEST, change(schema=99)),
    "nested": (MANIFEST, lambda path: path.write_text("[" * 200_000)),
    "nested inside": (MANIFEST, change(versions=json.loads("[" * 900 + "]" * 900))),
    "empty": (MANIFEST, lambda path: path.write_bytes(b"")),
    "not UTF-8": (MANIFEST, lambda path: path.write_bytes(b"\xff\xfe{}")),
    "null": (MANIFEST, lambda path: path.write_text("null")),
    "a list": (MANIFEST, lambda path: path.write_text("[]")),
    "a folder": (MANIFEST, become_folder),
    "a loop of links": (MANIFEST, become_loop),
    "unreadable": (MANIFEST, forbid),
    "shards that are a number": (GENERATION, change(shards=5)),
    "files that are a list": (GENERATION, change(files=[])),
    "a generation that is nested": (GENERATION, lambda path: path.write_text("[" * 200_000)),
    "a generation that is a folder": (GENERATION, become_folder),
    "a pointer to another place": (CURRENT, lambda path: path.write_text("../../a")),
    "a pointer to nothing": (CURRENT, lambda path: path.write_text("000009")),
    "a pointer of bytes": (CURRENT, lambda path: path.write_bytes(b"\xff\x00")),
    "a pointer that is a folder": (CURRENT, become_folder),
}


def spoil(index: Path, fault: str) -> None:
    file, change_it = FAULTS[fault]
    change_it(index / file)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with an index `a` and a newer one `b`."""
    for name in ("a", "b"):
        make_index(tmp_path / "indexes" / name, random_images(2, 4))
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_index_is_a_line_of_the_list(here: Path, fault: str) -> None:
    spoil(here / "indexes" / "b", fault)
    done = audit(here, "list")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.startswith(("a ", "a* "))]) == 1
    assert len([line for line in lines if line.startswith("b cannot be used: ")]) == 1, done.stdout
    rows = json.loads(audit(here, "list", "--json").stdout)
    assert [row["name"] for row in rows] == ["a", "b"]
    assert [bool(row["problem"]) for row in rows] == [False, True]


@pytest.mark.parametrize("fault", FAULTS)
def test_no_other_index_answers_for_a_bad_one(here: Path, fault: str) -> None:
    """Which of them is the newest, nobody can say: whoever asks must name one."""
    spoil(here / "indexes" / "b", fault)
    for command in ("metrics", "check"):
        done = audit(here, command)
        assert done.returncode == 4, (done.stdout[:300], done.stderr[-300:])
        said = [line for line in done.stderr.splitlines() if line.startswith("audit: ")]
        assert len(said) == 1
        assert "b" in said[0]
        assert "--index" in said[0]
        assert "Traceback" not in done.stderr
        assert not done.stdout
        assert audit(here, command, "--index", "a").returncode == 0
    named = audit(here, "metrics", "--index", "b")
    assert named.returncode in (1, 4)
    assert "Traceback" not in named.stderr
    assert "what audit did not expect" not in named.stderr


def test_a_bad_index_that_is_older_by_its_own_word_does_not_matter(here: Path) -> None:
    """Its manifest is sound: only a file of it is not what it was."""
    features = next((here / "indexes" / "a" / "shards").glob("*/features.npy"))
    features.write_bytes(features.read_bytes()[:-1])
    assert audit(here, "metrics").stdout.startswith("b: ")


def test_folders_that_are_no_index_are_no_candidates(here: Path) -> None:
    (here / "indexes" / "photos").mkdir()
    (here / "indexes" / "notes.txt").write_text("mine")
    assert audit(here, "metrics").stdout.startswith("b: ")
