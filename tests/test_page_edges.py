"""Pages that are large, nearly empty, or full of hostile names; and the script is that of its sources."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from auditor.page.compose import compose
from auditor.page.images import pack
from auditor.questions.context.record import ClassContext
from auditor.records import ClassName, Rate
from auditor.report.flat import to_columns
from auditor.report.page import weigh_page, write_page
from auditor.report.page_parts import Page
from auditor.report.text import visible
from auditor.report.wish import Wish
from auditor.store import Index
from auditor.terminal.progress import Bar
from indexes import make_index, manifest, random_images

WEB = Path(__file__).parents[1] / "auditor" / "report" / "web"
HOSTILE = [
    "<script>alert(1)</script>",
    "\"onerror='alert(2)",
    "right\u202eto left",
    "emoji \U0001f9a9 {{ 7 * 7 }} ${8*8}",
    "bell\x07 and \x1b[31m red\nnext line",
    "x" * 251,
]


def page_of(path: Path, megabytes: int = 25) -> Page:
    with Index.open(path) as index, Bar(quiet=True) as bar:
        return compose(index, Wish(), is_live=False, bar=bar, megabytes=megabytes)


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Writes a page and opens it; at the end it said nothing and asked for nothing."""
    said: list[str] = []
    contexts = []

    def open_page(page: Page, part: str = "") -> Any:
        path = tmp_path / f"page{len(contexts)}.html"
        write_page(path, page)
        contexts.append(browser.new_context(offline=True))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("dialog", lambda dialog: said.append(dialog.message))
        tab.goto(path.as_uri() + part)
        tab.wait_for_selector("html[data-ready]")
        return tab

    yield open_page
    for each in contexts:
        each.close()
    assert said == []


# ------------------------------------------------------------------------------------- hostile names


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """An index whose files, classes and splits are called what an attacker would call them."""
    images = random_images(3, 12)
    for number, image in enumerate(images):
        image.path = f"{number % 2}/{HOSTILE[number % 6][:245]}{number}.png"
        image.split, image.status = HOSTILE[number % 6], "ok"
        file = tmp_path / "photos" / image.path
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((224, 224)).save(file)
    described = manifest()
    root = replace(described.dataset, root=str(tmp_path / "photos"), notes=tuple(HOSTILE))
    classes = tuple(ClassName(name) for name in HOSTILE)
    return make_index(
        tmp_path / "hostile", images, described=replace(described, dataset=root, classes=classes)
    )


def test_hostile_names_stay_text(opened: Callable[..., Any], hostile: Path) -> None:
    page = page_of(hostile)
    assert len(page.pictures) == 12
    tab = opened(page)
    labels = tab.get_by_label("Labelled").locator("option").all_inner_texts()
    assert any("<script>alert(1)</script>" in text for text in labels)
    splits = tab.get_by_label("Split").locator("option").all_text_contents()
    assert {text.rpartition(" (")[0] for text in splits[1:]} == {visible(name) for name in HOSTILE}
    names = tab.locator(".vtable tbody th button").all_text_contents()
    assert set(names) <= {visible(name) for name in HOSTILE}
    tab.locator(".gallery button").first.click()
    title = tab.get_by_role("dialog").locator("h2").text_content()
    assert title in {visible(path) for path in page.data["images"]["path"]}
    assert tab.locator("script").count() == 3
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_the_dataset_says_of_images_can_be_asked_for(opened: Callable[..., Any], hostile: Path) -> None:
    page = page_of(hostile)
    facts = [
        {"iso": str(100 * place), "Camera make": f"N{place % 2}", "split": "mine"} for place in range(12)
    ]
    facts[3] = {"iso": "", "Camera make": None}
    tab = opened(replace(page, data={**page.data, "images": {**page.data["images"], "metadata": facts}}))
    asked = {
        "iso>=200": 9,
        "iso<1e3 iso>=200": 7,
        '"camera make"=n1 iso>100': 4,
        '"camera make"!=n1': 7,
        "iso=none": 1,
        "metadata.split=mine": 11,
        "iso>fast": 12,
    }
    for written, count in asked.items():
        tab.get_by_label("Path or class").fill(written)
        tab.wait_for_function(f"() => document.querySelectorAll('.gallery li').length === {count}")
    assert "iso is a number, fast is none" in tab.locator("#images .wrong").inner_text()


# ------------------------------------------------------------------------------------- few or nothing


def kinds_of_nothing(path: Path) -> dict[str, Callable[[], Path]]:
    one = random_images(5, 1)
    one[0].status = "ok"
    bare = random_images(2, 8)
    for image in bare:
        image.label, image.labels = None, ()
    alone = replace(manifest(), classes=(ClassName("only"),))
    single = random_images(4, 6)
    for image in single:
        image.shown, image.guesses = (
            np.zeros_like(image.shown)[..., :1],
            np.zeros_like(image.guesses)[..., :1],
        )
        image.label, image.labels, image.real = 0, (0,), None
        image.present = image.present and [{0} if cell else set() for cell in image.present]
    return {
        "empty": lambda: make_index(path, []),
        "one image": lambda: make_index(path, one),
        "no labels": lambda: make_index(path, bare),
        "no head": lambda: make_index(path, random_images(2, 8), head="none"),
        "one class": lambda: make_index(path, single, described=alone),
    }


@pytest.mark.parametrize("kind", ["empty", "one image", "no labels", "no head", "one class"])
def test_the_page_stays_whole(opened: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    tab = opened(page_of(kinds_of_nothing(tmp_path / "index")[kind]()))
    assert tab.locator(".nothing").count() == 1
    assert tab.locator("main > section").count() == 6
    for part in ("classes", "images", "map", "answers", "about"):
        assert tab.locator(f"#{part} h2").first.is_visible()


def test_a_page_is_no_larger_than_asked(demo: Path, tmp_path: Path) -> None:
    bare = page_of(Path("indexes/scenes-symbols"), megabytes=0)
    megabytes = weigh_page(bare) // 1_000_000 + 1
    page = page_of(Path("indexes/scenes-symbols"), megabytes=megabytes)
    write_page(tmp_path / "page.html", page)
    assert weigh_page(bare) < (tmp_path / "page.html").stat().st_size < megabytes * 1_000_000
    assert 0 < len(page.pictures) < 160
    assert page.notes[0].startswith(f"This page carries {len(page.pictures)} of 160 images: ")
    assert page.notes[0].endswith(f"more: --max-mb {megabytes + 1}.")


def test_a_page_without_room_for_an_image_says_so(demo: Path) -> None:
    page = page_of(Path("indexes/scenes-symbols"), megabytes=0)
    assert page.pictures == ()
    assert re.fullmatch(
        r"This page carries none of 160 images: without any it is already \d\.\d MB; more: --max-mb \d\.",
        page.notes[0],
    )


# ------------------------------------------------------------------------------------- a large one


def large_page(classes: int, cells: int) -> Page:
    """A page of an ImageNet's classes and as many cells as a map is drawn with."""
    rng = np.random.default_rng(0)
    rows = []
    for label in range(classes):
        rates = [Rate(int(hits), 50) for hits in rng.integers(0, 51, 4)]
        values = (label, f"class {label}", f"n{label:08d}", 50, *rates[:3], (0.1, 0.3), rates[3], (0.2, 0.4))
        rows.append(ClassContext(*values, 5, 3, 0.1, float(rng.random()), least_excess=float(rng.random())))
    images = cells // 49 + 1
    points = rng.normal(size=(2, cells))
    x, y = (np.clip((axis + 4) / 8 * 65535, 0, 65535).astype(np.uint16) for axis in points)
    top = rng.integers(0, classes, cells).astype(np.uint16)
    columns = {
        "id": list(range(images)),
        "path": [f"{place}.jpg" for place in range(images)],
        "label": [place % classes for place in range(images)],
        "true_name": [None] * images,
        "split": [None] * images,
        "metadata": [{}] * images,
    }
    cell_map = {
        "x": pack(x), "y": pack(y), "top": pack(top), "p": pack(top), "cluster": pack(top % 40),
        "image": pack((np.arange(cells) // 49).astype(np.uint32)),
        "cell": pack((np.arange(cells) % 49).astype(np.uint16)),
        "foreground": pack((top % 2).astype(np.uint8)),
        "images": columns, "clusters": [], "cells": cells, "seed": 0,
    }  # fmt: skip
    table = {name: column for name, column in to_columns(rows, "lists").items() if name != "delta_value"}
    nothing = {"top": "", "p": "", "top_occluded": "", "p_occluded": "", "foreground": ""}
    data = {
        "index": "large", "grid": [7, 7], "side": 224, "variants": ["original"], "carried": "",
        "fill": {"name": "mean", "colour": [0, 0, 0]}, "names": [row.name for row in rows],
        "synsets": [row.synset for row in rows], "classes": table, "accuracy": None, "definitions": {},
        "findings": [], "others": [], "map": cell_map, "charts": {}, "cells": nothing,
        "images": {name: [] for name in (*columns, "labels", "predicted", "p", "mask")},
        "near": {"images": 0, "k": 5, "cell": "", "cosine": ""},
    }  # fmt: skip
    return Page("large: what the classifier looked at", (), None, (), data=data)


COLOURS = """() => {
  const canvas = document.querySelector('.plot .points'), copy = canvas.cloneNode();
  const context = copy.getContext('2d', {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  return [...new Uint32Array(context.getImageData(0, 0, copy.width, copy.height).data.buffer)];
}"""
"""Every pixel of the map's points, 0xAABBGGRR."""

DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

SOFTWARE = """
const tell = WebGL2RenderingContext.prototype.getParameter;
WebGL2RenderingContext.prototype.getParameter = function (name) {
  const told = tell.call(this, name);
  return typeof told === 'string' ? 'a GPU' : told;
};
"""
"""Lets software stand in for a GPU, of which there is none where this is tested."""


def grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with every pixel's neighbours."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    return np.any([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)


def test_a_gpu_draws_the_same_map(browser: Any, tmp_path: Path) -> None:
    write_page(tmp_path / "large.html", large_page(30, 40_000))
    pictures = []
    for script in ("", SOFTWARE):
        context = browser.new_context(offline=True)
        context.add_init_script(script)
        tab = context.new_page()
        errors: list[str] = []
        tab.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
        tab.goto((tmp_path / "large.html").as_uri() + "#map?only=class+3")
        tab.wait_for_selector("html[data-ready]")
        tab.wait_for_function(f"() => ({COLOURS})().filter(each => each).length > 10000")
        if script and not tab.evaluate("Boolean(document.querySelector('.points').getContext('webgl2'))"):
            pytest.skip("this browser has no WebGL 2")
        tab.evaluate(DRAWN)
        pictures.append(np.array(tab.evaluate(COLOURS)))
        for _ in range(3):
            tab.get_by_role("button", name="Zoom in").click()
        tab.evaluate(DRAWN)
        pictures.append(np.array(tab.evaluate(COLOURS)))
        width = tab.evaluate("document.querySelector('.plot .points').width")
        assert errors == []
        context.close()
    for pixels, by_gpu in (pictures[0::2], pictures[1::2]):
        colours = set(pixels.tolist())
        assert len(colours) == 3  # nothing, what is faint, and the class that was asked for
        assert set(by_gpu.tolist()) == colours
        for colour in colours:
            counts = [(each == colour).sum() for each in (pixels, by_gpu)]
            assert counts[1] == pytest.approx(counts[0], rel=0.02)
        chosen = max(colours, key=lambda each: each >> 24)  # the others are faint
        for one, other in ((pixels, by_gpu), (by_gpu, pixels)):
            near = grown(other.reshape(-1, width) == chosen)  # a GPU rounds the edges of points otherwise
            assert near[one.reshape(-1, width) == chosen].mean() > 0.99


def test_1000_classes_and_100000_cells_are_there_at_once(opened: Callable[..., Any]) -> None:
    began = time.perf_counter()
    tab = opened(large_page(1000, 100_000))
    assert tab.locator("tbody tr:not(.spacer)").count() < 60
    tab.wait_for_function(f"() => ({COLOURS})().filter(each => each).length > 10000")
    assert time.perf_counter() - began < 30  # some two seconds; a shared machine may be slow
    box = tab.locator(".vtable")
    box.evaluate("box => box.scrollTop = box.scrollHeight")
    last = tab.locator("tbody tr:not(.spacer) th button").last
    last.wait_for()
    tab.wait_for_function("() => document.querySelectorAll('tbody tr:not(.spacer)').length < 60")
    rows = tab.locator("tbody tr:not(.spacer)").last.get_attribute("aria-rowindex")
    assert rows == "1001"


# ------------------------------------------------------------------------------------- the script


def test_the_bundle_is_built_from_its_sources(tmp_path: Path) -> None:
    if shutil.which("node") is None or not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip("Node or its packages are not here; they come with: make web")
    built = tmp_path / "page.js"
    subprocess.run(["node", "build.mjs", str(built)], cwd=WEB, check=True)
    assert built.read_text() == (WEB / "bundle" / "page.js").read_text(), "build it again with: make web"


def test_the_bundle_cannot_end_its_element_and_calls_nobody() -> None:
    script = (WEB / "bundle" / "page.js").read_text()
    assert script.isascii()
    assert "</script" not in script.lower()
    assert "<!--" not in script
    assert not [word for word in ("XMLHttpRequest", "WebSocket", "eval(", "http") if word in strip(script)]
    assert script.count("fetch(") == script.count("fetch(`/api/${") == 1  # of the server that served the page


def strip(script: str) -> str:
    """The script without the names of XML's namespaces and the addresses of licences, which nobody asks."""
    return re.sub(r"https?://www\.w3\.org/[\w/.]+|https?://github\.com/[\w/.]+", "", script)


def test_the_lock_names_no_address() -> None:
    assert "resolved" not in (WEB / "package-lock.json").read_text()
