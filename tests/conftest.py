"""What tests share: the command line in this process, a folder where the demo has run, real data."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from buckets import BUCKET, Server, serve

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
REAL = Path(__file__).parents[2] / "shared" / "real"

README = Path(__file__).parents[1] / "README.md"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


def readme_commands(heading: str, page: Path = README) -> list[list[str]]:
    """The `audit` commands, in words, of the first code block under a heading of a page."""
    section = page.read_text().split(f"# {heading}", 1)[1]
    block = section.split("```", 2)[1]
    lines = [line for line in block.splitlines() if line.startswith("audit ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def run_audit(*words: str | Path) -> None:
    """Run a command in this process; errors come out as exceptions, also those that are exit codes."""
    from auditor.cli.app import app

    code = app([str(word) for word in words], standalone_mode=False)
    assert not code, f"audit {shlex.join(map(str, words))} ended with {code}"


@pytest.fixture(scope="session", autouse=True)
def measured_anew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What was measured of models in earlier sessions is not taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def audit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command and return what it printed on standard output, each row on one line."""
    monkeypatch.setenv("COLUMNS", "1000")

    def run(*words: str | Path) -> str:
        capsys.readouterr()
        run_audit(*words)
        return capsys.readouterr().out

    return run


@pytest.fixture
def ask(audit: Callable[..., str]) -> Callable[..., Any]:
    """Run a command with --json and return the record."""
    return lambda *words: json.loads(audit(*words, "--json"))


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first lines of the README's tour have run: scenes, and their index."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in readme_commands("A tour")[:2]:
            run_audit(*command)
        for content, name in re.findall(r"^echo '(.+)' > (\S+)$", README.read_text(), re.MULTILINE):
            Path(name).write_text(content)
    return folder


@pytest.fixture(scope="session")
def tour_folder(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it for tests that add to the index: a map, a probe."""
    return shutil.copytree(demo_folder, tmp_path_factory.mktemp("tour") / "demo")


@pytest.fixture
def demo(demo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory is one where the demo has run.

    No test adds to its index, so that they may run in any order.
    """
    monkeypatch.chdir(demo_folder)
    before = _indexed(demo_folder)
    yield demo_folder
    assert _indexed(demo_folder) == before, "this test changes the demo's index; it needs the fixture `tour`"


@pytest.fixture
def tour(tour_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory is one where the demo has run, and where tests may add to its index."""
    monkeypatch.chdir(tour_folder)
    return tour_folder


def _indexed(folder: Path) -> set[Path]:
    """The files of its indexes, but for what reading leaves there."""
    kept = {".verified", ".lock"}
    files = (path for path in (folder / "indexes").rglob("*") if path.is_file())
    return {
        path for path in files if path.name not in kept and not path.name.startswith(("counted-", "answer-"))
    }


@pytest.fixture(scope="module")
def scenes(demo_folder: Path) -> Iterator[Any]:
    """The demo's index, open."""
    from auditor.store import Index

    with Index.open(demo_folder / "indexes" / "scenes-symbols") as index:
        yield index


@pytest.fixture(scope="session")
def real() -> Path:
    """Real photos with real annotations, and what an independent implementation says of them."""
    if not REAL.is_dir():
        pytest.skip("../shared/real is not here")
    return REAL


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, of which tests open tabs."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; install it with: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def memory() -> Iterator[str]:
    """A place in fsspec's own store in memory."""
    import fsspec

    from auditor.remote import RemotePath

    yield "memory://photos"
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    RemotePath("memory://photos").refresh()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """An S3-compatible server with faults."""
    pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]' s3fs")
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'auditor[remote]'")
    with pytest.MonkeyPatch.context() as patch:
        yield from serve(patch)


@pytest.fixture
def bucket(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """A place in the bucket for one test."""
    server.faults.clear()
    server.requests.clear()
    yield f"s3://{BUCKET}/{request.node.name.partition('[')[0]}"
    server.faults.clear()


@pytest.fixture(params=["memory", "bucket"])
def store(request: pytest.FixtureRequest) -> str:
    """Both in turn."""
    return str(request.getfixturevalue(request.param))
