"""What `audit report` asks: every section is the answer of its own command, and what fails becomes a note."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import run_audit

from auditor.errors import AuditError, CellError
from auditor.page.compose import compose
from auditor.questions.attack.record import Attack
from auditor.questions.cam.record import ClassMaps
from auditor.questions.context.record import ContextTable
from auditor.questions.fills.record import FillTable
from auditor.questions.map.record import CellMap
from auditor.questions.match.record import Match
from auditor.questions.metrics.record import Metrics
from auditor.questions.occlude.record import ImageContext
from auditor.questions.pool.record import Pooling
from auditor.questions.relevance.record import Relevance
from auditor.questions.similar.record import Similar
from auditor.questions.threshold.record import Thresholds
from auditor.report.page import write_page
from auditor.report.page_parts import Page, Section
from auditor.report.wish import Wish
from auditor.report.write import as_json
from auditor.store import Index, save_map
from auditor.terminal.progress import Bar

STORED = [
    *(Metrics, ContextTable, ContextTable, Thresholds),
    *(ClassMaps, Match, CellMap, Similar, Pooling),
]
LIVE = [
    *(Metrics, ContextTable, ContextTable, ImageContext, FillTable, Thresholds),
    *(ClassMaps, Relevance, Match, CellMap, Similar, Attack, Pooling),
]
NAME = "scenes-symbols"


def page_of(path: Path, *, patches: tuple[str, ...] = (), is_live: bool = False) -> Page:
    with Index.open(path) as index, Bar(quiet=True) as bar:
        return compose(index, Wish(patches), is_live=is_live, bar=bar)


def sections(page: Page) -> list[Section]:
    """The answers to the paper's questions, in the page's order; other questions may stand between them."""
    return [section for section in page.sections if kind_of(section) in LIVE]


def kind_of(section: Section) -> type:
    return type(section.record[0] if isinstance(section.record, tuple) else section.record)


def kinds(page: Page) -> list[type]:
    return [kind_of(section) for section in sections(page)]


def draw_places(index: Index) -> None:
    """A map of any places, since UMAP takes a minute and is tested elsewhere."""
    rng = np.random.default_rng(0)
    width, images = index.manifest.cells_per_image, index.images
    cells = np.arange(images * width)
    save_map(
        index,
        {
            "image": cells // width,
            "cell": cells % width,
            "x": rng.normal(size=len(cells)).astype(np.float32),
            "y": rng.normal(size=len(cells)).astype(np.float32),
            "cluster": cells % 3,
            "is_sampled": cells % 2 == 0,
            "sample": np.full(len(cells), 321),
            "seed": np.full(len(cells), 5),
        },
    )


@pytest.fixture(scope="module")
def folder(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory is one of this module's own, with the demo's index and a map in it."""
    own = tmp_path_factory.mktemp("report") / "demo"
    shutil.copytree(demo_folder, own)
    with Index.open(own / "indexes" / NAME) as index:
        draw_places(index)
    before = Path.cwd()
    os.chdir(own)
    yield own
    os.chdir(before)


@pytest.fixture(scope="module")
def live(folder: Path) -> Page:
    return page_of(folder / "indexes" / NAME, patches=("images/000000.png:0,6",), is_live=True)


def test_sections_come_in_the_order_of_the_paper(folder: Path, live: Page) -> None:
    stored = page_of(folder / "indexes" / NAME, patches=("images/000000.png:0,6",))
    assert kinds(stored) == STORED
    assert kinds(live) == LIVE
    with Index.open(folder / "indexes" / NAME) as index:
        assert live.notes == (
            "This page carries all 160 images that are there.",
            *index.manifest.dataset.notes,
        )


@pytest.mark.parametrize("number", range(len(LIVE)), ids=[kind.__name__ for kind in LIVE])
def test_every_command_gives_the_record_of_its_section(
    number: int, live: Page, audit: Callable[..., str]
) -> None:
    section = sections(live)[number]
    said = audit(*shlex.split(section.command)[1:], "--json")
    with Index.open(Path("indexes") / NAME) as index:
        about = index.summary()
    several = section.record if isinstance(section.record, tuple) else [section.record]
    assert json.loads(said) == json.loads(as_json(section.record, [about] * len(several)))


def test_every_section_but_tables_has_a_picture_with_a_caption(live: Page) -> None:
    bare = {Metrics, ContextTable, Pooling}
    for kind, section in zip(kinds(live), sections(live), strict=True):
        assert bool(section.figures) == (kind not in bare), kind
        assert all(figure.caption and figure.alt for figure in section.figures)


class Shown(HTMLParser):
    """The text that a browser shows without scripts, and the headings of the answers."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.headings: list[str] = []
        self._tag = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag

    def handle_data(self, data: str) -> None:
        if self._tag not in ("script", "style"):
            self.text += f"{data} "
        if self._tag in ("summary", "h3") and data.strip():
            self.headings.append(data)


@pytest.fixture(scope="module")
def shown(live: Page, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, live)
    return Shown(path.read_text("utf-8"))


def counts(record: object) -> Iterator[tuple[int, int]]:
    """Every rate in a record's JSON."""
    match record:
        case {"hits": int(hits), "total": int(total)}:
            yield hits, total
        case dict():
            for value in record.values():
                yield from counts(value)
        case list():
            for value in record:
                yield from counts(value)


@pytest.mark.parametrize("kind", [Metrics, ContextTable, FillTable, Pooling])
def test_the_page_shows_the_counts_of_the_json(
    kind: type, live: Page, shown: Shown, audit: Callable[..., str]
) -> None:
    number = [kind_of(section) for section in live.sections].index(kind)
    record = json.loads(audit(*shlex.split(live.sections[number].command)[1:], "--json"))
    if kind is Metrics:
        record[0].pop("evidence")  # a sentence of percentages
    expected = {f"{hits}/{total}" for hits, total in counts(record) if total}
    assert len(expected) > 3
    words = set(shown.text.replace(",", "").split())
    assert expected - words <= ({f"{record['agreement']['hits']}/160"} if kind is Pooling else set())


def test_headings_differ_and_say_by_what_classes_are_ranked(shown: Shown) -> None:
    assert len(set(shown.headings)) == len(shown.headings)
    ranked = [heading for heading in shown.headings if heading.startswith("Context dependence")]
    assert ["Delta" in heading for heading in ranked] == [True, False]
    assert ["BG Act. (w/o FG)" in heading for heading in ranked] == [False, True]


def test_a_report_with_a_map_loads_no_heavy_library(folder: Path) -> None:
    script = (
        "import sys\nfrom auditor.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print(sorted({'torch', 'timm', 'open_clip', 'umap'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, "report", "--out", "plain.html"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Map of all cells" in (folder / "plain.html").read_text("utf-8")


def test_the_page_names_the_command_that_writes_it(folder: Path, live: Page) -> None:
    assert live.command == (f"audit report --index {NAME} --patch images/000000.png:0,6 --live")
    run_audit(*shlex.split(live.command)[1:], "--out", "again.html")
    write_page(folder / "first.html", live)
    assert (folder / "again.html").read_bytes() == (folder / "first.html").read_bytes()


# ------------------------------------------------------------------------------------- what fails


@pytest.fixture
def bare(folder: Path) -> Path:
    """An index of images without labels or annotations."""
    if not (folder / "indexes" / "bare").exists():
        shutil.copytree("scenes/images", "photos")
        run_audit("index", "photos", "--backbone", "symbols", "--name", "bare", "--limit", "12")
    return folder / "indexes" / "bare"


def test_what_needs_annotations_becomes_a_note(bare: Path) -> None:
    page = page_of(bare, is_live=True)
    assert kinds(page) == [Metrics, ClassMaps, Relevance, Attack, Pooling]
    reasons = {
        "Context dependence left out: nothing is annotated in bare: this needs boxes or masks",
        "One image occluded and inpainted left out: 000000.png has no annotated foreground",
        "Delta under other fills left out: nothing is annotated in bare",
        "Thresholds left out: nothing is annotated in bare",
        "The map is not on this page until there is one; make it with: audit map --index bare",
    }
    for reason in reasons:
        assert [note for note in page.notes if note.startswith(reason)], (reason, page.notes)


def test_a_head_that_is_not_affine_is_not_asked_for_all_scores(folder: Path, bare: Path) -> None:
    small = ("--weights", "random:0", "--size", "160", "--limit", "6")
    run_audit("index", "scenes", "--backbone", "timm/test_convnext", *small, "--name", "curved")
    page = page_of(folder / "indexes" / "curved", is_live=True)
    assert not {ClassMaps, Pooling} & set(kinds(page))
    assert Relevance in kinds(page)
    for name in ("Class maps", "Pooling rules"):
        (note,) = [note for note in page.notes if note.startswith(f"{name} left out: ")]
        assert "not affine" in note


def test_without_a_head_only_features_speak(folder: Path) -> None:
    run_audit("index", "scenes", "--head", "none", "--name", "headless", "--limit", "40")
    page = page_of(folder / "indexes" / "headless", patches=("images/000003.png:0,6",), is_live=True)
    assert kinds(page) == [Similar]
    assert [note for note in page.notes if note.startswith("--live asks about classes")]


def test_images_that_are_gone_leave_the_tables(folder: Path, tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    shutil.copytree("scenes", scenes)
    run_audit("index", scenes, "--name", "gone", "--limit", "30")
    shutil.rmtree(scenes)
    page = page_of(folder / "indexes" / "gone")
    assert kinds(page) == [Metrics, ContextTable, ContextTable, Thresholds, Pooling]
    assert page.pictures == ()
    assert "; 30 images could not be read any more" in page.notes[0]


def test_a_cell_that_the_user_names_must_be_there(folder: Path) -> None:
    with pytest.raises(CellError):
        page_of(folder / "indexes" / NAME, patches=("nothing.png:0,0",))
    with pytest.raises(AuditError):
        page_of(folder / "indexes" / NAME, patches=("images/000000.png:99,0",))


def test_names_of_images_survive_the_shell(folder: Path, tmp_path: Path) -> None:
    """An index outside indexes/, of an image whose name a shell would take apart."""
    images = tmp_path / "odd images"
    images.mkdir()
    for number, name in enumerate(["a b.png", "$(c);'d'.png"]):
        shutil.copy(sorted(Path("scenes/images").glob("*.png"))[number], images / name)
    run_audit("index", images, "--backbone", "symbols", "--name", "odd")
    away = shutil.move(folder / "indexes" / "odd", tmp_path / "my index")
    for section in page_of(Path(away)).sections:
        check(section)


def check(section: Section) -> None:
    """The command runs as a shell would split it."""
    run_audit(*shlex.split(section.command)[1:], "--json")


def test_files_that_changed_since_are_a_banner(folder: Path, tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    shutil.copytree("scenes", scenes)
    run_audit("index", scenes, "--name", "older", "--limit", "12")
    assert not [banner for banner in page_of(folder / "indexes" / "older").banners if "older" in banner]
    first, second = sorted((scenes / "images").glob("*.png"))[:2]
    shutil.copy(second, first)
    (banner,) = [each for each in page_of(folder / "indexes" / "older").banners if "older" in each]
    assert banner.startswith("The index is older than its dataset: 1 image is no longer what was indexed")


def test_images_that_cannot_be_read_are_a_banner(folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sorted(Path("scenes/images").glob("*.png"))[:4]:
        shutil.copy(path, photos)
    (photos / "torn.png").write_bytes(b"no picture")
    run_audit("index", photos, "--backbone", "symbols", "--name", "torn", "--max-bad", "1")
    banners = page_of(folder / "indexes" / "torn").banners
    assert [each for each in banners if each.startswith("1 image is broken, for example torn.png: ")]
    assert [each for each in banners if "on images that audit synth did not make" in each]
