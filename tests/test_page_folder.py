"""A page beside its data: the same page from disk, with every image, in the place of an earlier one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_audit

from auditor.errors import OutputError
from auditor.page.folder import PART, write_folder
from auditor.questions.similar.ask import similar
from auditor.report.wish import Wish
from auditor.store import Index
from auditor.terminal.progress import Bar
from indexes import make_index, random_images

NAME = "scenes-symbols"
PATH = "images/000140.png"  # in the second script of cells
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def folder(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's page as one file and as a folder, side by side, moved to another place."""
    made, moved = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("moved") / "pages"
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(demo_folder)
        run_audit("report", "--folder", str(made / "pages" / "folder"))
        run_audit("report", "--out", str(made / "pages" / "one.html"))
    shutil.move(made / "pages", moved)
    return moved


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    context = browser.new_context(offline=True, viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    assert said == []


def open_page(tab: Any, path: Path, part: str = "") -> None:
    tab.goto("about:blank")
    tab.goto(path.as_uri() + part)
    tab.wait_for_selector("html[data-ready]")


def test_every_image_lies_beside_the_page(folder: Path, demo_folder: Path) -> None:
    with Index.open(demo_folder / "indexes" / NAME) as index:
        images = index.images
    assert {path.name for path in folder.joinpath("folder").iterdir()} == {"index.html", "data", "images"}
    assert len(list(folder.glob("folder/images/*.webp"))) == images
    assert len(list(folder.glob("folder/data/*.js"))) == 1 + -(-images // PART)
    page = folder / "folder" / "index.html"
    carried = sum(path.stat().st_size for path in folder.glob("folder/images/*.webp"))
    assert page.stat().st_size < (folder / "one.html").stat().st_size - carried
    assert f"audit report --index {NAME} --folder " in page.read_text()


def test_gallery_and_viewer_read_what_lies_beside_it(tab: Any, folder: Path, demo_folder: Path) -> None:
    with Index.open(demo_folder / "indexes" / NAME) as index:
        rows = index.query(
            "SELECT top5, top5_p FROM cells WHERE image = ? AND variant = 0 ORDER BY cell",
            [index.image(PATH)],
        )
        names = [each.name for each in index.manifest.classes]
        hits = similar(index, PATH, 1, 3, k=5).hits
    open_page(tab, folder / "folder" / "index.html")
    tab.get_by_label("Path or class").fill("000140")
    tab.wait_for_function("() => document.querySelectorAll('.gallery li').length === 1")
    tab.wait_for_function("() => document.querySelector('.gallery img').naturalWidth === 112")
    tab.locator(".gallery button").click()
    tab.locator("rect[data-cell='10']").hover()
    tab.locator(".top5 th").first.wait_for()
    tab.evaluate(DRAWN)
    assert tab.locator(".top5 th").all_inner_texts() == [names[label] for label in rows["top5"][10]]
    shares = [f"{100 * share:.1f} %" for share in rows["top5_p"][10]]
    assert tab.locator(".top5 td").all_inner_texts() == shares
    tab.locator("rect[data-cell='10']").click()
    tab.locator("dialog .crops button").nth(4).wait_for()
    shown = [button.get_attribute("title") for button in tab.locator("dialog .crops button").all()]
    assert shown == [f"{hit.path}:{hit.row},{hit.col}" for hit in hits]
    assert "only among the 160 images that this page carries" in tab.locator("dialog").inner_text()


@pytest.mark.parametrize("variant", ["", "&variant=1", "&variant=2"])
def test_both_kinds_draw_the_same(tab: Any, folder: Path, variant: str) -> None:
    """A picture beside the page may not be read by its script, so the screen is."""
    drawn = []
    for path in (folder / "one.html", folder / "folder" / "index.html"):
        open_page(tab, path, f"#images?image={PATH}{variant}")
        tab.wait_for_function("() => document.querySelector('.stage canvas').width === 112")
        tab.wait_for_timeout(300)
        drawn.append(tab.locator(".stage").screenshot())
    assert drawn[0] == drawn[1]


def write(folder: Path, index: Path) -> None:
    with Index.open(index) as opened, Bar(quiet=True) as bar:
        write_folder(folder, opened, Wish(), is_live=False, bar=bar)


def test_an_earlier_page_makes_room_and_other_files_do_not(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", random_images(3, 5))
    pages = tmp_path / "pages"
    write(pages, index)
    (pages / "data" / "99.js").write_text("of an earlier page")
    write(pages, index)
    assert not (pages / "data" / "99.js").exists()
    (tmp_path / "link").symlink_to(pages)
    write(tmp_path / "link", index)
    (tmp_path / "link").unlink()
    for name in ("notes.txt", "images/holiday.jpg", "data/mine/1.js"):
        (pages / name).parent.mkdir(exist_ok=True)
        (pages / name).write_text("mine")
        with pytest.raises(OutputError, match="holds other files"):
            write(pages, index)
        (pages / name).unlink()
    (pages / "data" / "mine").rmdir()
    (pages / "data" / "page.js").write_bytes(b"\xff")
    with pytest.raises(OutputError, match="holds other files"):
        write(pages, index)
    mine = tmp_path / "mine"
    (mine / "images").mkdir(parents=True)
    (mine / "images" / "1.webp").write_bytes(bytes(np.arange(9)))
    with pytest.raises(OutputError, match="holds other files"):
        write(mine, index)
    assert (mine / "images" / "1.webp").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "mine", "pages"]
