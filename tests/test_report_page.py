"""The page as a parser and as a real browser see it: whole, quiet, and no name is ever markup."""

import io
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auditor.records import (
    VARIANTS,
    Certificate,
    ClassContext,
    ClassDetail,
    ContextTable,
    Hit,
    ImageGrids,
    Match,
    Metrics,
    Pair,
    Rate,
    Similar,
)
from auditor.report.page import write_page
from auditor.report.sections import Figure, Page, Section

HOSTILE = "<script>alert(1)</script>\"onerror='alert(2)' {{ 7 * 7 }} \x1b[31m\u202e\udcff" + "w" * 200
SHOWN = "<script>alert(1)</script>\"onerror='alert(2)' {{ 7 * 7 }} \\x1b[31m\\u202e\\udcff" + "w" * 200
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


def drawing(alt: str) -> Figure:
    buffer = io.BytesIO()
    Image.new("RGB", (2300, 700), (30, 90, 160)).save(buffer, "PNG")
    return Figure(buffer.getvalue(), HOSTILE, alt, "image/png")


def context(label: int) -> ClassContext:
    rate = Rate(13, 39)
    bounds = (0.206, 0.49)
    return ClassContext(
        label, HOSTILE, None, 39, rate, rate, rate, bounds, Rate(28, 39), bounds, 16, 1, 0.1, 0.2
    )


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


def page() -> Page:
    labels = np.arange(3 * 49).reshape(3, 7, 7) % 5
    grids = ImageGrids(HOSTILE, 0, VARIANTS, labels, labels / 9, labels[0] > 2, {0: HOSTILE})
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


def test_hostile_names_add_no_tag_and_no_attribute(written):
    read = Reader(written.read_text("utf-8"))
    assert not read.tags.keys() & {"script", "iframe", "object", "embed", "form", "base"}
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    # title and heading 2, commands 2, facts 2, contents and section headings 8, captions 4, notes 1,
    # metrics 12, context 30, class 3, similar 4, match 1, grid 1
    assert "".join(read.text).count(SHOWN) == 70


def test_the_page_points_to_nothing_outside_itself(written):
    read = Reader(written.read_text("utf-8"))
    links = [value or "" for name, value in read.attributes if name in {"src", "href", "action", "srcset"}]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    targets = {value for name, value in read.attributes if name == "id"}
    assert {link[1:] for link in links if link.startswith("#")} <= targets


def test_tables_have_captions_and_headings_and_figures_have_words(written):
    read = Reader(written.read_text("utf-8"))
    assert read.tags["table"] == read.tags["caption"] == 9
    assert read.tags["figure"] == read.tags["figcaption"] == read.tags["img"] == 4
    assert sorted(value for name, value in read.attributes if name == "alt") == sorted(
        [SHOWN, "similar", "match", "grid"]
    )
    assert (read.tags["h1"], read.tags["title"], read.tags["nav"]) == (1, 1, 1)


def test_a_long_context_table_shows_its_two_ends(written):
    text = " ".join(Reader(written.read_text("utf-8")).text)
    shown = [label for label in range(80) if f"#{label}, 39 images" in text]
    assert shown == [*range(20), *range(70, 80)]


def test_the_same_page_is_the_same_file(written, tmp_path):
    write_page(tmp_path / "again.html", page())
    assert (tmp_path / "again.html").read_bytes() == written.read_bytes()


def test_a_page_of_nothing_is_a_page(tmp_path):
    write_page(tmp_path / "bare.html", Page("bare", (), None, ()))
    assert "No certificate" in (tmp_path / "bare.html").read_text("utf-8")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; install it with: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


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
    assert tab.evaluate("[...document.images].map(image => image.naturalWidth)") == [2300] * 4
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelector('h1').innerText") == SHOWN
    assert tab.evaluate("document.scripts.length") == 0
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
    modules = ("console", "write", "draw", "compare", "page")
    imports = "; ".join(f"import auditor.report.{name}" for name in modules)
    command = f"{imports}; import sys; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
