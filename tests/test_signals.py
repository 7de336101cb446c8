"""What a signal leaves behind: nothing half-written, a sentence and its exit code, and a run that goes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import run_audit
from crash import stops_at
from photos import SMALL, write_photo
from processes import ONE_IMAGE_A_SHARD, audit, interrupted, sentence

from auditor.cli.app import app
from auditor.records.watch import Silence
from auditor.search import measure_lists, proposals
from auditor.search.make_lists import prepare_search
from auditor.store import Index, save_map, stored_map
from auditor.store.check import check
from auditor.store.map_file import PLACES
from auditor.store.placement import read_placement
from auditor.store.shards import shard_names
from indexes import make_index, random_images

BOTH = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory is one with an index `a`."""
    monkeypatch.chdir(tmp_path)
    make_index(tmp_path / "indexes" / "a", random_images(2, 12), head="none")
    return tmp_path


# ------------------------------------------------------------------------------------- work that goes on


@BOTH
def test_a_stopped_index_says_what_is_kept_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    for photo in range(40):
        write_photo(tmp_path / "photos" / f"{photo:02d}.jpg", photo)
    path = tmp_path / "indexes" / "some"
    words = ["index", "photos", *SMALL, "--name", "some"]

    def has_shards() -> bool:
        return len(shard_names(path)) > 2

    done = interrupted(tmp_path, words, ONE_IMAGE_A_SHARD, number, has_shards)
    kept = len(shard_names(path))
    assert 2 < kept < 40
    said = sentence(done, code)
    assert f"{kept} images are kept in indexes/some; run the same command to go on" in said
    monkeypatch.chdir(tmp_path)
    run_audit(*words)
    assert check(path).is_sound
    assert read_placement(path).images == 40


@BOTH
def test_before_the_first_shard_nothing_is_claimed(tmp_path: Path, number: int, code: int) -> None:
    write_photo(tmp_path / "photos" / "1.jpg", 1)
    slow = (
        "import time, pathlib, auditor.indexing.start as start\n"
        "def wait(*_, **__): pathlib.Path('waits').touch(); time.sleep(60)\n"
        "start.read_dataset = wait\n"
    )
    words = ["index", "photos", *SMALL]
    done = interrupted(tmp_path, words, slow, number, (tmp_path / "waits").exists)
    assert "no image was finished yet; run the same command again" in sentence(done, code)


@BOTH
def test_a_stopped_copy_says_what_is_kept_and_goes_on(here: Path, number: int, code: int) -> None:
    slow = (
        "import time, pathlib, auditor.store.copying as copying\n"
        "def wait(*_): pathlib.Path('waits').touch(); time.sleep(60)\n"
        "copying.retire = wait\n"  # before the first shard
    )
    done = interrupted(here, ["copy", "a", "./b"], slow, number, (here / "waits").exists)
    assert "what was copied is kept; run the same command to go on" in sentence(done, code)
    assert audit("copy", "a", "./b").returncode == 0
    assert check(here / "b").is_sound


@BOTH
def test_a_stopped_merge_says_what_is_kept_and_goes_on(tmp_path: Path, number: int, code: int) -> None:
    for photo in range(4):
        write_photo(tmp_path / "photos" / f"{photo}.jpg", photo)
    parts = [f"some.{part}-of-2" for part in (1, 2)]
    for part in (1, 2):
        words = ("index", "photos", *SMALL, "--head", "none", "--name", "some", "--shard", f"{part}/2")
        assert audit(*words, code=ONE_IMAGE_A_SHARD, cwd=tmp_path).returncode == 0
    slow = (
        "import time, pathlib, auditor.store.merge as merge\n"
        "adopt = merge.adopt\n"
        "def wait(*words): adopt(*words); pathlib.Path('waits').touch(); time.sleep(60)\n"
        "merge.adopt = wait\n"
    )
    done = interrupted(tmp_path, ["merge", *parts], slow, number, (tmp_path / "waits").exists)
    assert "what was joined is in indexes/some; run the same command again" in sentence(done, code)
    assert len(shard_names(tmp_path / "indexes" / "some")) == 1
    assert audit("merge", *parts, cwd=tmp_path).returncode == 0
    assert check(tmp_path / "indexes" / "some").is_sound
    assert len(shard_names(tmp_path / "indexes" / "some")) == 4


@BOTH
def test_stopped_while_the_database_is_made_it_says_what_is_kept_too(
    tmp_path: Path, number: int, code: int
) -> None:
    """DuckDB turns what a signal raised into an error of its own."""
    for photo in range(2):
        write_photo(tmp_path / "photos" / f"{photo}.jpg", photo)
    slow = (
        "import pathlib, auditor.store.writer as writer\n"
        "from auditor.store.columns import connect\n"
        "def wait(*_):\n"
        "    pathlib.Path('waits').touch()\n"
        "    connect().execute('SELECT sum(sqrt(range)) FROM range(100000000000)')\n"
        "writer.build_derived = wait\n"
    )

    def waits() -> bool:
        return (tmp_path / "waits").exists() and not time.sleep(0.5)

    done = interrupted(tmp_path, ["index", "photos", *SMALL, "--name", "some"], slow, number, waits)
    assert "2 images are kept in indexes/some; run the same command to go on" in sentence(done, code)


@BOTH
def test_a_stopped_map_is_none(here: Path, number: int, code: int) -> None:
    """While UMAP lays it out, or loads."""
    seen = (
        "import pathlib, auditor.search.layout as layout\n"
        "embed = layout.embed\n"
        "def tell(*words): pathlib.Path('begun').touch(); return embed(*words)\n"
        "layout.embed = tell\n"
    )

    def is_begun() -> bool:
        return (here / "begun").exists() and not time.sleep(0.3)

    done = interrupted(here, ["map", "--index", "a"], seen, number, is_begun)
    assert sentence(done, code) in ("audit: stopped", "audit: asked to end")
    assert_nothing_is_half_written(here)
    assert check(here / "indexes" / "a").is_sound
    with Index.open(here / "indexes" / "a") as index:
        assert stored_map(index) is None
    assert not (here / "reports").exists()


@BOTH
def test_stopped_while_search_lists_are_made_the_index_is_searched_exactly(
    tmp_path: Path, number: int, code: int
) -> None:
    """While FAISS looks for centres, which takes it long here."""
    for photo in range(30):
        write_photo(tmp_path / "photos" / f"{photo:02d}.jpg", photo)
    large = "import auditor.search.proposals as proposals; proposals.LARGE = 200\n"
    slow = large + (
        "import pathlib, numpy, auditor.search.make_lists as make_lists\n"
        "def train(*_):\n"
        "    import faiss\n"
        "    many = numpy.random.default_rng(0).standard_normal((50_000, 32)).astype('f4')\n"
        "    pathlib.Path('waits').touch()\n"
        "    faiss.Kmeans(32, 1000, niter=100_000).train(many)\n"
        "make_lists._train = train\n"
    )

    def waits() -> bool:
        return (tmp_path / "waits").exists() and not time.sleep(0.3)

    words = ["index", "photos", *SMALL, "--head", "none", "--name", "a"]
    done = interrupted(tmp_path, words, slow, number, waits)
    assert "30 images are kept in indexes/a; run the same command to go on" in sentence(done, code)
    assert_nothing_is_half_written(tmp_path)
    path = tmp_path / "indexes" / "a"
    assert check(path).is_sound
    with Index.open(path) as index:
        assert index.lists is None
    assert audit(*words, cwd=tmp_path, code=large).returncode == 0
    assert check(path).is_sound
    with Index.open(path) as index:
        assert index.lists.ntotal == 270


@BOTH
def test_a_stopped_report_leaves_the_one_before(here: Path, number: int, code: int) -> None:
    Path("page.html").write_text("before")
    slow = (
        "import time, pathlib, auditor.page.compose as compose\n"
        "def wait(*_, **__): pathlib.Path('waits').touch(); time.sleep(60)\n"
        "compose.carry = wait\n"  # all questions are answered
    )
    words = ["report", "--index", "a", "--out", "page.html"]
    done = interrupted(here, words, slow, number, (here / "waits").exists)
    assert sentence(done, code) in ("audit: stopped", "audit: asked to end")
    assert Path("page.html").read_text() == "before"
    assert_nothing_is_half_written(here)
    assert check(here / "indexes" / "a").is_sound
    run_audit(*words)
    assert "</html>" in Path("page.html").read_text()


def test_ctrl_c_while_duckdb_works(tmp_path: Path) -> None:
    code = (
        "import pathlib\n"
        "from auditor.terminal.endings import run\n"
        "from auditor.store.columns import connect\n"
        "def ask():\n"
        "    connection = connect()\n"
        "    pathlib.Path('asks').touch()\n"
        "    connection.execute('SELECT sum(sqrt(range)) FROM range(100000000000)').fetchall()\n"
        "run(ask)\n"
    )

    def asks() -> bool:
        return (tmp_path / "asks").exists() and not time.sleep(0.5)

    done = interrupted(tmp_path, [], code, signal.SIGINT, asks)
    assert sentence(done, 130) == "audit: stopped"


# ------------------------------------------------------------------------------------- at every step


def assert_nothing_is_half_written(folder: Path) -> None:
    assert list(folder.rglob(".tmp-*")) == []


def stop_at_every_step(
    here: Path, work: Callable[[], object], state: Callable[[], object], *, sweeps: bool = False
) -> None:
    """`work` is stopped before each change of the disk, in turn by either signal, and leaves what was there
    or all that it makes, and nothing else but what the next time `sweeps`; then it goes through."""
    before, step, states = state(), 1, []
    while True:
        number = (signal.SIGTERM, signal.SIGINT)[step % 2]
        code = stops_at(step, number, work, here / "said")
        said = (here / "said").read_text()
        if code == 0:
            break
        assert (code, said.splitlines()[-1]) in ((143, "audit: asked to end"), (130, "audit: stopped"))
        if not sweeps:
            assert_nothing_is_half_written(here)
        states.append(state())
        step += 1
    assert len(states) > 2
    assert "audit: " not in said
    assert_nothing_is_half_written(here)
    assert all(each in (before, state()) for each in states)
    assert before in states
    assert state() != before
    assert check(here / "indexes" / "a").is_sound


def test_a_report_is_the_one_before_or_the_new_one(here: Path) -> None:
    page = here / "page.html"
    page.write_text("before")
    stop_at_every_step(
        here,
        lambda: app(["report", "--index", "a", "--out", "page.html"], standalone_mode=False),
        lambda: page.read_bytes(),
    )


def test_a_folder_of_a_report_is_the_one_before_or_the_new_one(here: Path) -> None:
    words = ["report", "--index", "a", "--folder", "pages"]
    run_audit(*words)
    (here / "pages" / "data" / "99.js").write_text("of the page before")
    stop_at_every_step(
        here,
        lambda: app(words, standalone_mode=False),
        lambda: {path: path.read_bytes() for path in Path("pages").rglob("*.*")},
        sweeps=True,
    )


def test_a_map_is_there_or_not(here: Path) -> None:
    path = here / "indexes" / "a"

    def save() -> None:
        with Index.open(path) as index:
            save_map(index, {name: [0] for name in PLACES})

    def state() -> object:
        with Index.open(path) as index:
            return stored_map(index)

    stop_at_every_step(here, save, state)


def test_search_lists_are_there_or_not(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "LARGE", 50)
    monkeypatch.setattr(measure_lists, "ASKED", 10)
    monkeypatch.setattr(measure_lists, "RERANKED", (20, 50))
    path = here / "indexes" / "a"

    def make() -> None:
        prepare_search(path, Silence())

    def state() -> object:
        with Index.open(path) as index:
            return None if index.lists is None else index.lists.ntotal

    stop_at_every_step(here, make, state)
