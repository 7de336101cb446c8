"""How runs end, in real processes: one sentence and one exit code, whatever disks, files and signals do."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import run_audit
from photos import SMALL, write_photo
from processes import MAIN, TEN_KILOBYTES_A_SHARD, audit, sentence

from auditor.errors import AuditError, OutputError, TooMuchBadData
from auditor.files import new_file
from auditor.store import IndexWriter
from auditor.store.check import check
from auditor.store.placement import read_placement
from auditor.terminal.endings import describe
from indexes import make_index, random_images

DATABASE = Path("indexes/a/derived/000001/audit.duckdb")
LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))\n"
    "sys.dont_write_bytecode = True\n"  # else of a module compiled now so many bytes are left, for all
)
"""No file may become larger than so many bytes: what a full disk does, without one."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory is one with an index `a`."""
    monkeypatch.chdir(tmp_path)
    make_index(tmp_path / "indexes" / "a", random_images(2, 6))
    return tmp_path


# ------------------------------------------------------------------------------------- exit codes


def test_0_done_and_2_wrong_usage_and_1_error(here: Path) -> None:
    done = audit("list")
    assert (done.returncode, done.stderr) == (0, "")
    assert "No such option: --nope" in sentence(audit("metrics", "--nope"), 2)
    assert "`audit index --help`" in sentence(audit("index"), 2)
    assert "build one with: audit index" in sentence(audit("metrics", "--index", "b"), 1)
    assert "nothing was done" in audit("remove", "a", input="n\n").stderr


def test_3_too_much_bad_data() -> None:
    assert describe(TooMuchBadData("3 of 4 images are broken")) == (["3 of 4 images are broken"], 3)


def test_4_an_index_that_is_damaged(here: Path) -> None:
    DATABASE.write_bytes(DATABASE.read_bytes()[:-1])
    assert "is missing or damaged" in sentence(audit("metrics"), 4)
    done = audit("check")
    assert (done.returncode, done.stderr) == (4, "")
    assert audit("check", "--repair").returncode == 0


def test_74_a_place_that_cannot_be_written(here: Path) -> None:
    (here / "file").write_text("x")
    done = audit("metrics", "--table", "file/t.csv")
    assert "cannot write file/t.csv: " in sentence(done, 74)
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as full:
            command = [sys.executable, "-c", MAIN, "list"]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert "No space left on device" in sentence(done, 74)


def test_75_somebody_else_is_writing(here: Path) -> None:
    with IndexWriter.resume(here / "indexes" / "a"):
        assert "is writing indexes/a; wait until it is done" in sentence(audit("remove", "a", "--yes"), 75)
    assert check(here / "indexes" / "a").is_sound


# ------------------------------------------------------------------------------------- disks


def test_a_full_disk_says_what_is_needed_and_keeps_what_was_there(here: Path) -> None:
    audit("metrics", "--table", "t.csv")
    before = Path("t.csv").read_bytes()
    done = audit("metrics", "--table", "t.csv", code=LIMITED.format(64))
    assert f"{len(before):,} bytes are needed, " in sentence(done, 74)
    assert Path("t.csv").read_bytes() == before
    assert [path.name for path in here.iterdir() if path.name.startswith(".tmp")] == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_said_alike_whoever_has_none(tmp_path: Path, number: int) -> None:
    """A disk, a user's quota, a limit of the process."""
    target = tmp_path / "file"
    target.write_text("before")
    with (
        pytest.raises(OutputError, match=rf"{os.strerror(number)}; at least 5 bytes are needed, [0-9,]+ are"),
        new_file(target, 5),
    ):
        raise OSError(number, os.strerror(number))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_text() == "before"


def test_every_exit_code_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "using.md").read_text()
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    kinds, ours = [AuditError], set()
    while kinds:
        kind = kinds.pop()
        ours.add(kind.exit_code)
        kinds += kind.__subclasses__()
    assert codes == ours | {0, 2, 128 + signal.SIGINT, 128 + signal.SIGTERM}


def test_duckdb_and_the_page_on_a_full_disk(here: Path) -> None:
    for words in (["metrics", "--table", "t.parquet"], ["report", "--out", "t.html"]):
        assert "File too large" in sentence(audit(*words, code=LIMITED.format(64)), 74)
        assert not Path(words[-1]).exists()


@pytest.fixture
def read_only(here: Path) -> Iterator[Path]:
    """The folder of indexes on a read-only mount: root is stopped by no permission."""
    folder = here / "indexes"
    mounted = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], capture_output=True, check=True)
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_read_only_disk(read_only: Path) -> None:
    assert audit("metrics").returncode == 0
    for path in range(2):
        write_photo(Path("photos") / f"{path}.jpg", path)
    assert "Read-only file system" in sentence(audit("index", "photos", *SMALL), 74)
    assert "Read-only file system" in sentence(audit("rename", "a", "b"), 74)


@pytest.fixture
def small_disk(here: Path) -> Iterator[Path]:
    """A disk of 2 MB at indexes/."""
    folder = here / "indexes"
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_an_index_on_a_full_disk_goes_on_when_there_is_room(small_disk: Path) -> None:
    for photo in range(60):
        write_photo(Path("photos") / f"{photo:02d}.jpg", photo)
    words = ["index", "photos", *SMALL, "--name", "some"]
    said = sentence(audit(*words, code=TEN_KILOBYTES_A_SHARD), 74)
    assert re.search(
        r"cannot write indexes/some.*No space left on device; at least [0-9,]+ bytes are needed, [0-9,]+ are",
        said,
    )
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    run_audit(*words)
    assert check(small_disk / "some").is_sound
    assert read_placement(small_disk / "some").images == 60


# ------------------------------------------------------------------------------------- files of others


def flip(path: Path, offset: int, count: int = 64) -> None:
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = bytes(byte ^ 0xFF for byte in content[offset : offset + count])
    path.write_bytes(content)


@pytest.mark.parametrize("offset", [0, 4096 * 3 + 9, -300_000], ids=["header", "block", "end"])
def test_a_damaged_database(here: Path, offset: int) -> None:
    """Of the same size: seen at the latest when a block is read."""
    flip(DATABASE, offset, 200_000)
    assert "audit check" in sentence(audit("metrics"), 4)


def test_headers_of_arrays(here: Path) -> None:
    flip(next(Path("indexes/a/shards").glob("*/features.npy")), 0)
    done = audit("similar", "--patch", f"{random_images(2, 1)[0].path}:0,0")
    assert done.returncode in (1, 4)
    sentence(done, done.returncode)


NESTED = "[" * 200_000


@pytest.mark.parametrize("file", ["nested.safetensors", "nested.json"])
def test_files_that_are_nested_too_deeply(here: Path, file: str) -> None:
    write_photo(Path("photos") / "1.jpg", 1)
    length = len(NESTED).to_bytes(8, "little") if file.endswith("tensors") else b""
    Path(file).write_bytes(length + NESTED.encode())
    option = ["--head"] if length else ["--annotations"]
    said = sentence(audit("index", "photos", *SMALL, *option, file), 1)
    assert file in said or "nested too deeply" in said


def test_debug_shows_the_rest(here: Path) -> None:
    plain = sentence(audit("metrics", "--index", "b"), 1)
    for done in (
        audit("--debug", "metrics", "--index", "b"),
        audit("metrics", "--index", "b", env={**os.environ, "AUDIT_DEBUG": "1"}),
    ):
        assert done.stderr.startswith(plain)
        assert "Traceback" in done.stderr
        assert "auditor.errors.IndexMissing" in done.stderr


def test_an_error_that_nobody_expected_is_one_sentence() -> None:
    lines, code = describe(KeyError("thing"))
    assert (len(lines), code) == (1, 1)
    assert "KeyError: 'thing'" in lines[0]
    assert "--debug" in lines[0]
    assert describe(AuditError("one", "two")) == (["one", "two"], 1)
    assert str(AuditError("one", "two")) == "one\ntwo"


# ------------------------------------------------------------------------------------- pipes


@pytest.mark.parametrize("words", [["--help"], ["index", "--help"], ["--version"]], ids=" ".join)
def test_help_into_a_pipe_that_is_closed(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAIN, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
