"""The page as a parser and as a real browser see it: whole, quiet, and no name is ever markup."""

import io
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auditor.questions.attack.record import Attack
from auditor.questions.cam.record import ClassMap, ClassMaps
from auditor.questions.context.record import ClassContext, ClassDetail, ContextTable
from auditor.questions.fills.record import FillRow, FillTable
from auditor.questions.grid.record import PredictionGrid
from auditor.questions.map.record import CellMap, Cluster, PredictedShare
from auditor.questions.match.record import Match, Pair
from auditor.questions.metrics.record import Metrics
from auditor.questions.occlude.record import Flip, Guess, ImageContext, Shift
from auditor.questions.pool.record import PoolChange, Pooling, PoolRow
from auditor.questions.relevance.record import Relevance
from auditor.questions.similar.record import Similar
from auditor.questions.threshold.record import ThresholdPoint, Thresholds
from auditor.records import VARIANTS, Certificate, ClassShare, Hit, ImageGrids, Rate
from auditor.report.page import render_page, write_page
from auditor.report.page_parts import Figure, Page, Section

HOSTILE = "<script>alert(1)</script>\"onerror='alert(2)' {{ 7 * 7 }} \x1b[31m\u202e\udcff" + "w" * 200
SHOWN = "<script>alert(1)</script>\"onerror='alert(2)' {{ 7 * 7 }} \\x1b[31m\\u202e\\udcff" + "w" * 200


def drawing(alt: str) -> Figure:
    buffer = io.BytesIO()
    Image.new("RGB", (2300, 700), (30, 90, 160)).save(buffer, "PNG")
    return Figure(buffer.getvalue(), HOSTILE, alt, "image/png")


def context(label: int) -> ClassContext:
    rate = Rate(13, 39)
    bounds = (0.206, 0.49)
    return ClassContext(
        label, HOSTILE, None, 39, rate, rate, rate, bounds, Rate(28, 39), bounds, 16, 1, 0.1, 0.2,
        least_delta=0.2,
    )  # fmt: skip


def metrics(index: str) -> Metrics:
    rates = {
        name: Rate(12345, 33544) for name in ("top1", "top5", "fg_det", "loc", "loc_without_bg", "bg_act")
    }
    others = {name: Rate(0, 0) for name in ("det_top1", "det_top5", "real_acc", "real_rec")}
    return Metrics(
        index=index,
        backbone=HOSTILE,
        images=50000,
        loc_per_image=0.4,
        real_rec_per_image=None,
        bg_act_without_fg=Rate(9345, 33544),
        certificate=None,
        **rates,
        **others,
    )


def experiments() -> tuple[Section, ...]:
    """The paper's further experiments, with the hostile name wherever a record holds a name."""
    rate = Rate(13, 39)
    guess, flip = Guess(1, HOSTILE, 0.5), Flip("original", 0, 1, True, 1, HOSTILE, 0, HOSTILE)
    labels = np.ones((2, 7, 7), dtype=np.int64)
    halves = np.full((2, 7, 7), 0.5)
    variants = ("original", "without_fg")
    grids = ImageGrids(HOSTILE, 1, variants, labels, halves, labels[0] > 0, {0: HOSTILE, 1: HOSTILE})
    shift = Shift("original", rate, rate, rate, (flip,) * 3)
    panels = ImageContext("i", "mean", HOSTILE, 1.0, grids, ((guess, guess),) * 2, (shift,))
    fills = tuple(
        FillRow(number, HOSTILE, "mean", 38, rate, rate, 1, 2, 0.1, 0.2, None, 0.1) for number in range(80)
    )
    point = ThresholdPoint("confidence", 0.5, rate, rate)
    tau = Thresholds("i", HOSTILE, 1, 2, 3, 3, 0, (point,), (HOSTILE,))
    change = PoolChange("max", HOSTILE, HOSTILE, HOSTILE, "gained")
    pooled = PoolRow("max", rate, (0.2, 0.5), 3, 2, 1, 0)
    pooling = Pooling("i", "pointwise", 1.0, 0.5, rate, None, rate, (pooled,), (change,))
    share = ClassShare(HOSTILE, rate, (0.2, 0.5), Rate(1, 39), 0.001, 0.001)
    predicted = PredictedShare(HOSTILE, rate)
    cluster = Cluster(1, 39, 13, (HOSTILE,), (share,), (predicted,), rate, 2.0, (0, 6), 3)
    places = np.zeros(0, np.int64)
    cells = CellMap("i", 10, 0, rate, (cluster,), places, np.zeros((0, 2), np.float32), places)
    maps = ClassMaps("i", HOSTILE, "pointwise", True, (ClassMap(1, HOSTILE, 0.5, halves[0]),))
    box, pixels = (0, 0, 4, 4), np.ones((8, 8))
    lrp = Relevance("i", HOSTILE, 0, 1, 1, HOSTILE, 64.0, "LRP", box, box, 0.2, pixels)
    crop, image = np.zeros((8, 8, 3)), np.ones(2, np.int64)
    attack = Attack(
        "i", HOSTILE, 1, 8 / 255, 2 / 255, labels, halves, image, halves[:, 0, 0], 1, {1: HOSTILE},
        crop.astype(np.uint8), crop.astype(np.float32),
    )  # fmt: skip
    records = (panels, FillTable("i", ("mean",), fills), tau, pooling, cells, maps, lrp, attack)
    return tuple(Section(record, HOSTILE) for record in records)


def page() -> Page:
    labels = np.arange(3 * 49).reshape(3, 7, 7) % 5
    grids = PredictionGrid(HOSTILE, 0, VARIANTS, labels, labels / 9, labels[0] > 2, {0: HOSTILE})
    hit = Hit(HOSTILE, 1, 2, 0.9, HOSTILE, True, HOSTILE)
    match = Match("i", HOSTILE, "b", 0.5, 0.1, False, (Pair((1, 2), (3, 4), 0.9, 0.1),))
    sections = (
        Section((metrics("one"),), "audit metrics"),
        Section(tuple(metrics(HOSTILE) for _ in range(6)), "audit metrics"),
        Section(ContextTable("i", "delta", tuple(map(context, range(80)))), "audit context"),
        Section(ClassDetail("i", context(3), (grids,)), "audit context --class 3", (drawing(HOSTILE),)),
        Section(Similar("i", HOSTILE, 0, 0, (hit,)), HOSTILE, (drawing("similar"),)),
        Section(match, "audit match", (drawing("match"),)),
        Section(grids, "audit grid", (drawing("grid"),)),
        *experiments(),
    )
    exact = Certificate("gap", "linear", "exact", 3.1e-7, 3.1e-7, "linear", 8)
    return Page(HOSTILE, ((HOSTILE, HOSTILE),), exact, sections, (HOSTILE,), (("torch", "2.15"),), HOSTILE)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "page.html"
    write_page(path, page())
    return path


class Reader(HTMLParser):
    """Counts tags, keeps attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_hostile_names_add_no_tag_and_no_attribute(written, monkeypatch):
    read = Reader(written.read_text("utf-8"))
    monkeypatch.setattr(sys.modules[__name__], "HOSTILE", "harmless")
    harmless = Reader(render_page(page()))
    assert read.tags == harmless.tags
    assert Counter(name for name, _ in read.attributes) == Counter(name for name, _ in harmless.attributes)
    assert read.tags["script"] == 3  # two of data, and the page's own
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    shown = "".join(read.text).count(SHOWN)
    assert shown + 1 == "".join(harmless.text).count("harmless") > 100  # once it is quoted, in a command


def test_the_page_points_to_nothing_outside_itself(written):
    read = Reader(written.read_text("utf-8"))
    links = [value or "" for name, value in read.attributes if name in {"src", "href", "action", "srcset"}]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    targets = {value for name, value in read.attributes if name == "id"}
    assert {link[1:] for link in links if link.startswith("#")} <= targets


def test_tables_have_captions_and_headings_and_figures_have_words(written):
    read = Reader(written.read_text("utf-8"))
    assert read.tags["table"] == read.tags["caption"] == 9 + 11
    assert read.tags["figure"] == read.tags["figcaption"] == read.tags["img"] == 4
    assert sorted(value for name, value in read.attributes if name == "alt") == sorted(
        [SHOWN, "similar", "match", "grid"]
    )
    assert (read.tags["h1"], read.tags["title"], read.tags["nav"]) == (1, 1, 1)


def test_the_paper_is_named_in_tooltips_alone(written):
    read = Reader(written.read_text("utf-8"))
    assert not re.findall(r"\((?:Table|Figure)s? \d", " ".join(read.text))
    assert [value for name, value in read.attributes if name == "title" and "Figure 10" in (value or "")]


@pytest.mark.parametrize("images", [39, 38], ids=["by class", "by fill"])
def test_a_long_context_table_shows_its_first_rows(written, images):
    text = " ".join(Reader(written.read_text("utf-8")).text)
    shown = [label for label in range(80) if f"#{label}, {images} images" in text]
    assert shown == [*range(20)]


def test_the_same_page_is_the_same_file(written, tmp_path):
    write_page(tmp_path / "again.html", page())
    assert (tmp_path / "again.html").read_bytes() == written.read_bytes()


def test_a_page_of_nothing_is_a_page(tmp_path):
    write_page(tmp_path / "bare.html", Page("bare", (), None, ()))
    assert "No certificate" in (tmp_path / "bare.html").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_whole_and_quietly(browser, written, width, scheme):
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: said.append(dialog.message))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(written.as_uri())
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [written.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelector('h1').innerText") == SHOWN
    assert tab.evaluate("document.documentElement.dataset.ready") == "true"
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    tab.evaluate("[...document.images].forEach(image => image.loading = 'eager')")
    tab.wait_for_function("() => [...document.images].every(image => image.naturalWidth === 2300)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


def test_the_policy_of_the_page_stops_what_it_does_not_need(browser, written):
    tab = browser.new_page()
    tab.goto(written.as_uri())
    blocked = tab.evaluate(
        """() => new Promise(done => {
            const found = [];
            const note = event => found.push(event.effectiveDirective);
            document.addEventListener('securitypolicyviolation', note);
            const script = document.createElement('script');
            script.textContent = 'window.ran = true';
            document.body.append(script);
            const image = document.createElement('img');
            image.src = 'https://example.invalid/x.png';
            document.body.append(image);
            setTimeout(() => done([found.sort(), window.ran === undefined]), 300);
        })"""
    )
    assert blocked == [["img-src", "script-src-elem"], True]
    tab.close()


def test_the_page_and_the_console_load_nothing_heavy():
    heavy = "{'torch', 'timm', 'open_clip', 'umap', 'matplotlib', 'duckdb', 'faiss', 'scipy'}"
    modules = ("terminal.console", "report.write", "draw.grids", "draw.cells", "report.page")
    imports = "; ".join(f"import auditor.{name}" for name in modules)
    command = f"{imports}; import sys; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
