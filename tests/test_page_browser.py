"""The page in a real browser, opened from disk: what it shows, finds, opens, exports, and never asks for."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_audit
from numpy.typing import NDArray

from auditor.data.scenes import MARKER, SIDE
from auditor.page.compose import compose
from auditor.questions.similar.ask import similar
from auditor.report.page import write_page
from auditor.report.wish import Wish
from auditor.store import Index, save_map
from auditor.terminal.progress import Bar

NAME = "scenes-symbols"
GRID = 7
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
AXE = Path(__file__).parents[1] / "auditor/report/web/node_modules/axe-core/axe.min.js"


def marked_cells(folder: Path) -> set[str]:
    """The cells whose middle the planted marker covers, from the scenes' own records."""
    cells = set()
    for path in (folder / "scenes" / "records").glob("*.json"):
        at = json.loads(path.read_text())["marker_at"]
        if at is not None:
            col, row = ((start + MARKER // 2) * GRID // SIDE for start in at)
            cells.add(f"images/{path.stem}.png:{row},{col}")
    return cells


def lay_out(index: Index, planted: set[str]) -> None:
    """A map on which the planted cells lie apart, as UMAP lays them; that has tests of its own."""
    width, images = index.manifest.cells_per_image, index.images
    cells = np.arange(images * width)
    names = [
        f"{index.path_of(image)}:{row},{col}" for image in range(images) for row, col in np.ndindex(7, 7)
    ]
    is_planted = np.array([name in planted for name in names])
    drawn = np.random.default_rng(0).normal(size=(len(cells), 2))
    points = np.where(is_planted[:, None], 10 + 0.1 * drawn, np.clip(drawn, -3, 3)).astype(np.float32)
    constant: Callable[[int], NDArray[np.int64]] = lambda value: np.full(len(cells), value)  # noqa: E731
    columns = {"image": cells // width, "cell": cells % width, "x": points[:, 0], "y": points[:, 1]}
    facts = {"is_sampled": constant(1) > 0, "sample": constant(20_000), "seed": constant(0)}
    save_map(index, {**columns, "cluster": np.where(is_planted, 1, 0), **facts})


@pytest.fixture(scope="module")
def folder(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The demo's folder with a map in it, and its page."""
    own = tmp_path_factory.mktemp("browser") / "demo"
    shutil.copytree(demo_folder, own)
    before = Path.cwd()
    os.chdir(own)
    with Index.open(own / "indexes" / NAME) as index:
        lay_out(index, marked_cells(own))
    run_audit("report")
    yield own
    os.chdir(before)


class Tab:
    """A page that is open, and all that it said and asked for."""

    def __init__(self, browser: Any, path: Path, part: str = "", **options: Any) -> None:
        self.context = browser.new_context(offline=True, accept_downloads=True, **options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.said.extend(self.outside(request.url)))
        self.page.goto(path.as_uri() + part)
        if options.get("java_script_enabled", True):
            self.page.wait_for_selector("html[data-ready]")

    @staticmethod
    def outside(url: str) -> list[str]:
        return [] if url.startswith(("file:", "data:", "blob:")) else [url]

    def texts(self, selector: str) -> list[str]:
        """The texts of elements, once what was just done has been drawn."""
        self.page.evaluate(DRAWN)
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]


@pytest.fixture
def opened(browser: Any, folder: Path) -> Iterator[Callable[..., Tab]]:
    """Opens the demo's page; at the end nothing was said and nothing asked for."""
    tabs: list[Tab] = []

    def open_tab(part: str = "", path: Path | None = None, **options: Any) -> Tab:
        tabs.append(Tab(browser, path or folder / "reports" / f"{NAME}.html", part, **options))
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        tab.context.close()
    assert [tab.said for tab in tabs] == [[] for _ in tabs]


# ------------------------------------------------------------------------------------- the verdict


def test_the_planted_faults_are_the_first_two_subjects(opened: Callable[..., Tab]) -> None:
    tab = opened()
    assert {text.split("\n")[-1] for text in tab.texts(".findings h2")[:2]} == {"star dot", "triangle cross"}
    assert len(tab.texts(".finding img")) == len(tab.texts(".finding"))
    assert all(text.startswith("audit ") for text in tab.texts(".finding code"))


def test_the_demo_is_small(folder: Path) -> None:
    assert (folder / "reports" / f"{NAME}.html").stat().st_size < 4_000_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_no_part_is_wider_than_the_window(opened: Callable[..., Tab], width: int, scheme: str) -> None:
    tab = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_there_are_verdict_tables_and_pictures(opened: Callable[..., Tab]) -> None:
    tab = opened(java_script_enabled=False)
    assert tab.page.locator(".finding img").first.is_visible()
    rows = tab.page.locator("#classes tbody th")
    assert rows.first.is_visible()
    assert rows.count() >= 20
    tab.page.locator("summary").first.click()
    assert tab.page.locator("#map details img").first.is_visible()


def test_it_prints_on_a_few_pages(opened: Callable[..., Tab]) -> None:
    paper = opened().page.pdf(format="A4")
    assert 1 <= paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") <= 8


# ------------------------------------------------------------------------------------- classes


def test_the_numbers_are_those_of_the_command(
    opened: Callable[..., Tab], ask: Callable[..., Any], folder: Path
) -> None:
    tab = opened()
    shown = tab.page.evaluate("JSON.parse(document.getElementById('data').textContent).classes")
    for row in ask("context")["rows"]:
        place = shown["label"].index(row["label"])
        for name in ("loc", "fg_det", "bg_act", "bg_act_without_fg"):
            counts = [shown[f"{name}_{part}"][place] for part in ("hits", "total")]
            assert counts == [row[name]["hits"], row[name]["total"]]
        for name in ("q_value", "least_excess", "least_delta", "name", "images"):
            assert shown[name][place] == row[name]
        interval = [shown[f"bg_act_interval_{end}"][place] for end in ("low", "high")]
        assert interval == row["bg_act_interval"]


def test_the_table_sorts_filters_and_opens_a_class(
    opened: Callable[..., Tab], ask: Callable[..., Any], folder: Path
) -> None:
    tab = opened()
    rows = ask("context", "--by", "bg_act_wo_fg")["rows"]
    names = tab.texts(".vtable tbody th button")
    assert names == [row["name"] for row in rows][: len(names)]
    tab.page.get_by_role("button", name="Loc.", exact=True).click()
    best = max(rows, key=lambda row: row["loc"]["value"])
    assert tab.texts(".vtable tbody tr td:nth-child(4)")[0] == f"{100 * best['loc']['value']:.1f}"
    assert "sort=loc" in tab.page.url
    tab.page.get_by_label("Name or synset").fill("STAR")
    assert set(tab.texts(".vtable tbody th button")) == {row["name"] for row in rows if "star" in row["name"]}
    tab.page.get_by_label("At least n").fill("1000")
    assert tab.texts(".vtable tbody th button") == []
    tab.page.get_by_label("At least n").fill("")
    tab.page.get_by_role("button", name="star dot").first.click()
    dialog = tab.page.get_by_role("dialog")
    assert dialog.locator("h2").inner_text() == "star dot"
    dialog.locator("canvas").nth(59).wait_for()
    assert dialog.locator("canvas").count() == 60  # twenty images in three variants
    tab.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


def test_a_view_is_exported_as_it_is_shown(opened: Callable[..., Tab], tmp_path: Path) -> None:
    tab = opened("#classes?q=dot&sort=name&dir=1")
    with tab.page.expect_download() as waiting:
        tab.page.locator("#classes").get_by_role("button", name="CSV").click()
    waiting.value.save_as(tmp_path / "classes.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "classes.csv").read_text())))
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
    assert rows
    assert all("dot" in row["name"] for row in rows)


def test_a_table_of_any_answer_is_saved_as_csv(opened: Callable[..., Tab], ask: Callable[..., Any]) -> None:
    tab = opened("#answers")
    tab.page.locator("summary", has_text="Confusion").click()
    with tab.page.expect_download() as waiting:
        tab.page.get_by_role("button", name="Save as CSV: Classes by accuracy").first.click()
    rows = list(csv.DictReader(io.StringIO(waiting.value.path().read_text())))
    classes = ask("confusion")["classes"]
    assert [row["Class"].split(" (")[0] for row in rows] == [each["name"] for each in classes][: len(rows)]
    assert len(rows) >= 20


# ------------------------------------------------------------------------------------- images


def test_the_viewer_draws_the_grid_from_the_index(opened: Callable[..., Tab], folder: Path) -> None:
    path, cell = "images/000003.png", 10
    tab = opened(f"#images?image={path}")
    with Index.open(folder / "indexes" / NAME) as index:
        image = index.image(path)
        rows = index.query(
            "SELECT cell, top5, top5_p FROM cells WHERE image = ? AND variant = 0 ORDER BY cell", [image]
        )
        names = [each.name for each in index.manifest.classes]
        hits = similar(index, path, *divmod(cell, GRID), k=5).hits
    tab.page.locator(f"rect[data-cell='{cell}']").hover()
    assert tab.texts(".top5 th") == [names[label] for label in rows["top5"][cell]]
    assert tab.texts(".top5 td") == [f"{100 * share:.1f} %" for share in rows["top5_p"][cell]]
    tab.page.locator(f"rect[data-cell='{cell}']").click()
    tab.page.get_by_role("dialog").locator(".crops button").nth(4).wait_for()
    shown = [
        button.get_attribute("title")
        for button in tab.page.get_by_role("dialog").locator(".crops button").all()
    ]
    assert shown == [f"{hit.path}:{hit.row},{hit.col}" for hit in hits]
    assert f"cell={cell}" in tab.page.url
    visible = (
        "[...document.querySelectorAll('.stage rect[data-cell]')]"
        ".filter(each => each.getAttribute('fill-opacity') > 0).length"
    )
    assert tab.page.evaluate(visible) == GRID * GRID
    tab.page.get_by_role("slider").fill("60")
    tab.page.evaluate(DRAWN)
    assert tab.page.evaluate(visible) == sum(share[0] >= 0.6 for share in rows["top5_p"])


def test_a_variant_covers_what_the_network_did_not_see(opened: Callable[..., Tab]) -> None:
    tab = opened("#images?image=images/000003.png")
    tab.page.wait_for_function("() => document.querySelector('.stage canvas').width === 112")
    grey = (
        "(() => { const c = document.querySelector('.stage canvas'); const copy = c.cloneNode();"
        " const on = copy.getContext('2d', {willReadFrequently: true}); on.drawImage(c, 0, 0);"
        " const d = on.getImageData(0, 0, c.width, c.height).data; let n = 0;"
        " for (let i = 0; i < d.length; i += 4) n += d[i] === 128 && d[i + 1] === 128 && d[i + 2] === 128;"
        " return n / (c.width * c.height); })()"
    )
    shares = []
    for name in ("w/o background", "w/o foreground"):
        tab.page.get_by_role("button", name=name).click()
        tab.page.wait_for_function(f"() => {grey} > 0.01")
        tab.page.wait_for_timeout(100)
        shares.append(tab.page.evaluate(grey))
    assert abs(sum(shares) - 1) < 0.02


def test_the_gallery_filters(opened: Callable[..., Tab], folder: Path) -> None:
    tab = opened()
    tab.page.get_by_label("Answer").select_option("wrong")
    with Index.open(folder / "indexes" / NAME) as index:
        wrong = index.query(
            "SELECT count(*) AS n FROM images WHERE NOT list_contains(labels, top5_original[1])"
        )
    assert tab.texts("#images .count")[1].startswith(f"{int(wrong['n'][0])} of 160 images")


@pytest.mark.parametrize(
    ("written", "holds"),
    [
        ("n>=16 delta > 0.1", lambda r: r["images"] >= 16 and r["delta"] > 0.1),
        (
            "star q<5% loc>=0.5",
            lambda r: "star" in r["name"] and r["q_value"] < 0.05 and r["loc"]["value"] >= 0.5,
        ),
        ('name="star dot"', lambda r: r["name"] == "star dot"),
        ("name!='x' name:cross least<=0", lambda r: "cross" in r["name"] and r["least_excess"] <= 0),
    ],
)
def test_conditions_on_columns_choose_classes(
    opened: Callable[..., Tab],
    ask: Callable[..., Any],
    folder: Path,
    written: str,
    holds: Callable[..., bool],
) -> None:
    rows = ask("context")["rows"]
    for row in rows:
        row["delta"] = row["bg_act_without_fg"]["value"] - row["bg_act"]["value"]
    tab = opened()
    tab.page.get_by_label("Name or synset").fill(written)
    assert set(tab.texts(".vtable tbody th button")) == {row["name"] for row in rows if holds(row)}
    assert tab.page.locator("#classes .wrong").count() == 0


@pytest.mark.parametrize(
    ("written", "sql"),
    [
        ("right=no p<0.5", "NOT list_contains(labels, predicted) AND p < 0.5"),
        ('predicted!="star dot" has_marker=TRUE', "predicted <> 'star dot' AND has_marker = 'true'"),
        (
            'label="star dot" right=yes',
            "list_contains(labels, 'star dot') AND list_contains(labels, predicted)",
        ),
        ("path:00001 split=none", "contains(path, '00001')"),
        ("split=test", "false"),
        ("00001", "contains(path, '00001')"),
    ],
)
def test_conditions_on_columns_choose_images(
    opened: Callable[..., Tab], folder: Path, written: str, sql: str
) -> None:
    tab = opened()
    with Index.open(folder / "indexes" / NAME) as index:
        rows = index.query(
            "SELECT count(*) AS n FROM (SELECT path, answer.name AS predicted, top5_original_p[1] AS p, "
            "(SELECT list(name) FROM classes WHERE list_contains(images.labels, classes.id)) AS labels, "
            "metadata ->> '$.has_marker' AS has_marker "
            "FROM images JOIN classes answer ON answer.id = top5_original[1]) "
            f"WHERE {sql}"
        )
    tab.page.get_by_label("Path or class").fill(written)
    assert tab.texts("#images .count")[1].startswith(f"{int(rows['n'][0])} of 160 images")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("colour=red", "there is no column colour, but path, label, predicted, p, right, split"),
        ("p>high", "p is a number, high is none"),
        ("p>50", "p lies between 0 and 1; write p>50%"),
        ("path>5", "path is text and has no order"),
        ("p<", "p< needs a value"),
        ('label="star', "a quote"),
    ],
)
def test_a_wrong_condition_says_what_is_wrong(opened: Callable[..., Tab], written: str, told: str) -> None:
    tab = opened()
    tab.page.get_by_label("Path or class").fill(written)
    assert told in tab.texts("#images .wrong")[0]
    assert tab.page.get_by_label("Path or class").get_attribute("aria-invalid") == "true"
    tab.page.get_by_label("Path or class").fill("p>50%")
    assert tab.texts("#images .wrong") == []


# ------------------------------------------------------------------------------------- the map


def coloured(tab: Tab) -> int:
    script = (
        "(() => { const c = document.querySelector('.plot .points'); const copy = c.cloneNode();"
        " const on = copy.getContext('2d', {willReadFrequently: true}); on.drawImage(c, 0, 0);"
        " const d = on.getImageData(0, 0, c.width, c.height).data; let n = 0;"
        " for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })()"
    )
    tab.page.wait_for_function(f"() => {script} > 0")
    found: int = tab.page.evaluate(script)
    return found


def test_a_lasso_around_the_planted_cluster_returns_its_cells(
    opened: Callable[..., Tab], folder: Path
) -> None:
    tab = opened("#map?colour=cluster", viewport={"width": 1400, "height": 1000})
    assert coloured(tab) > 1000
    tab.page.locator("#map").scroll_into_view_if_needed()
    tab.page.get_by_role("button", name="Lasso", exact=True).click()
    box = tab.page.locator(".plot .over").bounding_box()
    side = min(box["width"], box["height"])
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    corner = middle[0] + 0.45 * side, middle[1] - 0.45 * side  # where the cells at 10, 10 lie
    reach = 0.09 * side
    tab.page.mouse.move(corner[0] - reach, corner[1] - reach / 3)
    tab.page.mouse.down()
    for dx, dy in [(-1, 1), (0.9, 1), (0.9, -0.4), (-1, -0.4)]:
        tab.page.mouse.move(corner[0] + dx * reach, corner[1] + dy * reach, steps=8)
    tab.page.mouse.up()
    with tab.page.expect_download() as waiting:
        tab.page.locator(".aside").get_by_role("button", name="JSON").click()
    cells = json.loads(waiting.value.path().read_text())["cells"]
    assert set(cells) == marked_cells(folder)
    assert "triangle cross" in tab.texts(".aside tbody th")
    again = opened(f"#{tab.page.url.split('#')[1]}")  # the link leads to this lasso
    assert again.texts(".aside h3")[0].startswith(f"{len(cells)} cells of ")


def test_conditions_on_columns_choose_cells(opened: Callable[..., Tab], folder: Path) -> None:
    tab = opened("#map")
    before = coloured(tab)
    with Index.open(folder / "indexes" / NAME) as index:
        rows = index.query(
            "SELECT count(*) AS n FROM cells WHERE variant = 0 AND NOT foreground AND top5_p[1] > 0.9"
        )
    tab.page.get_by_label("Find cells").fill("foreground=no p>0.9")
    assert f" {int(rows['n'][0]):,} were found" in tab.texts("#map .count")[0]
    assert coloured(tab) == before  # the others are faint, not gone


def test_pointing_at_the_map_shows_the_cell(opened: Callable[..., Tab]) -> None:
    tab = opened("#map", viewport={"width": 1400, "height": 1000})
    coloured(tab)
    box = tab.page.locator(".plot .over").bounding_box()
    side = min(box["width"], box["height"])
    tab.page.mouse.move(box["x"] + box["width"] / 2 - 0.32 * side, box["y"] + box["height"] / 2 + 0.3 * side)
    tab.page.locator(".hint canvas").wait_for()
    assert "images/" in tab.texts(".hint small")[0]


# ------------------------------------------------------------------------------------- for everyone


@pytest.mark.parametrize("part", ["", "#classes?class=3", "#images?image=images/000003.png&cell=10"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(opened: Callable[..., Tab], part: str, scheme: str) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not here; install it with: npm ci --prefix auditor/report/web")
    tab = opened(part, color_scheme=scheme)
    tab.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    tab.page.wait_for_timeout(300)
    tab.page.evaluate(AXE.read_text())
    found = tab.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [(each["id"], [node["target"] for node in each["nodes"]][:5]) for each in found["violations"]]
    assert told == []


def page_of(path: Path, out: Path) -> Path:
    with Index.open(path) as index, Bar(quiet=True) as bar:
        write_page(out, compose(index, Wish(), is_live=False, bar=bar))
    return out
