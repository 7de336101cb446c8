"""Any-cell rates of two grids: pooled by plain loops, counted by the reference, and by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import reference

from auditor.measure.chance import any_chance, with_chance
from auditor.measure.counts import count_pairs
from auditor.measure.regrid import common_grid, on_grid
from auditor.page.compare.ask import compare
from auditor.page.compose import compose
from auditor.questions.metrics.ask import metrics
from auditor.report.views import view_of
from auditor.report.wish import Wish
from auditor.store import Index
from auditor.terminal.progress import Bar
from indexes import CLASSES, FakeImage, make_index, random_images

Grid = tuple[int, int]
RATES = ("fg_det", "bg_act", "bg_act_without_fg", "det_top1", "det_top5")


def described(seed: int, count: int, grid: Grid) -> list[FakeImage]:
    """Images whose cells are sure of what they show, each in its own degree; many as sure as others."""
    rng = np.random.default_rng(seed)
    images = random_images(seed, count, grid)
    for image in images:
        chances = rng.dirichlet(np.ones(6), image.shown.shape[:2])[..., :5].round(1)
        image.chances = -np.sort(-chances, axis=-1)
    return images


def pooled(image: FakeImage, grid: Grid, to: Grid) -> FakeImage:
    """The image on a coarser grid, cell by cell."""
    blocks: list[list[int]] = [[] for _ in range(to[0] * to[1])]
    for row, col in np.ndindex(*grid):
        blocks[row * to[0] // grid[0] * to[1] + col * to[1] // grid[1]].append(row * grid[1] + col)
    assert image.chances is not None
    shown = np.zeros((3, len(blocks), 5), dtype=np.int64)
    for variant, number in np.ndindex(3, len(blocks)):
        sums: Counter[int] = Counter()
        for cell in blocks[number]:
            for label, p in zip(image.shown[variant][cell], image.chances[variant][cell], strict=True):
                sums[int(label)] += round(1e9 * float(np.float32(p)))
        shown[variant, number] = sorted(sums, key=lambda label: (-sums[label], label))[:5]
    return replace(
        image,
        present=image.present and [set().union(*(image.present[cell] for cell in block)) for block in blocks],
        foreground=image.foreground and [any(image.foreground[cell] for cell in block) for block in blocks],
        shown=shown,
        chances=None,
        features=np.ones((*to, image.features.shape[-1]), np.float32),
        norms=np.ones(to, np.float32),
    )


def write(path: Path, images: list[FakeImage], grid: Grid) -> Path:
    """An index in one shard."""
    return make_index(path, images, grid=grid, size=len(images))


@pytest.mark.parametrize(
    ("grid", "to", "target"),
    [((4, 6), (2, 3), "all"), ((5, 4), (3, 3), "all"), ((6, 6), (6, 2), "all"), ((4, 6), (2, 3), "one")],
)
def test_pooled_rates_and_nulls_are_those_of_pooled_images(
    tmp_path: Path, grid: Grid, to: Grid, target: Any
) -> None:
    images = described(grid[0], 40, grid)
    coarse = [pooled(image, grid, to) for image in images]
    pairs = reference.pairs(reference.counted(coarse), target)
    fine, other = (
        write(tmp_path / "fine", images, grid),
        make_index(tmp_path / "b", coarse, grid=to),
    )
    with Index.open(fine) as index, Index.open(other) as second:
        answer = metrics(index, target=target, beside=[index, second]).matched
        plain = metrics(second, target=target)
        alone = metrics(second, target=target, beside=[index])
    assert answer is not None
    assert answer.grid == to
    assert (answer.fg_det.hits, answer.fg_det.total) == reference.fg_det(pairs)
    assert (answer.bg_act.hits, answer.bg_act.total) == reference.bg_act(pairs, 0)
    without = answer.bg_act_without_fg
    assert (without.hits, without.total) == reference.bg_act(pairs, 2)
    for name in RATES:
        assert getattr(answer, name) == getattr(plain, name) == getattr(alone.matched, name)
        assert getattr(answer, f"{name}_chance") == pytest.approx(getattr(plain, f"{name}_chance"))


@pytest.mark.parametrize("seed", range(2))
def test_the_null_of_every_pair_is_the_closed_form_over_its_own_cells(tmp_path: Path, seed: int) -> None:
    """Base rates counted by loops over random grids, an image's own number of cells of each kind."""
    grid, to = (4, 4), (2, 2)
    images = described(seed, 40, grid)
    with Index.open(write(tmp_path / "i", images, grid)) as index:
        pairs = with_chance(index, count_pairs(index, "all", to), to)
    coarse = [pooled(image, grid, to) for image in images]
    counted = reference.counted(coarse)
    expected, five = [], []
    for image, label in reference.pairs(counted, "all"):
        others = [other for other in counted if label not in other.labels]
        base = mean(reference.top1(other, 0, cell) == label for other in others for cell in range(4))
        expected.append(1 - (1 - base) ** len(reference.background_cells(image)))
        among = mean(label in other.shown[0][cell] for other in others for cell in range(4))
        five.append((1 - among) ** 4)
    assert pairs["bg_chance"].tolist() == pytest.approx(expected)
    assert (1 - pairs["chance5"]).tolist() == pytest.approx(five)  # of 6 classes: what is left is small


def test_the_common_grid_is_the_coarsest_each_way(tmp_path: Path) -> None:
    paths = {
        grid: make_index(tmp_path / str(n), [], grid=grid) for n, grid in enumerate([(4, 2), (3, 6), (4, 5)])
    }
    with ExitStack() as opened:
        one, two, three = (opened.enter_context(Index.open(path)) for path in paths.values())
        assert common_grid([one, two, three]) == common_grid([three, two, one]) == (3, 2)
        assert common_grid([one, three]) == (4, 2)
        assert common_grid([two, two]) is None
        assert on_grid(one, "WITH a AS (SELECT 1)", (4, 2)) == "WITH a AS (SELECT 1)"


def test_cells_that_know_nothing_are_at_chance_on_either_grid(tmp_path: Path) -> None:
    """On 14 x 14 cells any class is found nearly everywhere: the rate says nothing, its null says so."""
    grid, to, rng = (14, 14), (7, 7), np.random.default_rng(5)
    images = [replace(image, status="ok") for image in random_images(5, 60, grid)]
    for image in images:
        common = rng.random(image.shown.shape[:2]) < 0.97
        image.shown = np.array([[np.roll(range(CLASSES), -int(k)) for k in row] for row in
                                np.where(common, 5, rng.integers(0, 5, common.shape))])[..., :5]  # fmt: skip
        image.chances = np.broadcast_to([0.9, 0.04, 0.03, 0.02, 0.01], image.shown.shape)
    coarse = make_index(tmp_path / "c", random_images(1, 5, to), grid=to)
    with (
        Index.open(make_index(tmp_path / "i", images, grid=grid, size=60)) as index,
        Index.open(coarse) as other,
    ):
        answer = metrics(index, beside=[other])
    assert answer.matched is not None
    for record in (answer, answer.matched):
        assert record.bg_act.value == pytest.approx(record.bg_act_chance, abs=0.07)
    assert (answer.bg_act.value or 0) > (answer.matched.bg_act.value or 0) + 0.3


def test_any_of_n_independent_cells_on_random_grids() -> None:
    rng = np.random.default_rng(2)
    for base, cells in ((0.01, 49), (0.01, 196), (0.2, 9), (1.0, 3), (0.0, 256)):
        seen = (rng.random((20_000, cells)) < base).any(axis=1).mean()
        (null,) = any_chance(np.array([base]), np.array([cells]))
        assert seen == pytest.approx(null, abs=0.015)


def test_the_table_has_the_papers_figures_first_and_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Any], audit: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_index(Path("indexes/fine"), described(1, 30, (4, 4)), grid=(4, 4))
    make_index(Path("indexes/coarse"), random_images(2, 30, (2, 2)), grid=(2, 2))
    alone, both = ask("metrics", "--index", "fine")[0], ask("metrics", "-i", "fine", "-i", "coarse")
    assert alone["matched"] is None
    assert {**both[0], "matched": None} == alone
    assert both[0]["matched"]["grid"] == both[1]["matched"]["grid"] == [2, 2]
    shown = audit("metrics", "-i", "fine", "-i", "coarse")
    assert shown.index("Det. top-5") < shown.index("FG Det. (one grid)")
    assert "pooled to 2 x 2" in shown
    assert "(one grid)" not in audit("metrics", "-i", "fine", "-i", "fine")


def test_a_comparison_of_two_grids_is_that_of_pooled_images(tmp_path: Path) -> None:
    grid, to = (4, 4), (2, 2)
    images = described(8, 40, grid)
    others = [replace(image, shown=np.roll(image.shown, 1, axis=1)) for image in images]
    paths = {
        "fine": write(tmp_path / "fine", images, grid),
        "pooled": write(tmp_path / "pooled", [pooled(image, grid, to) for image in images], to),
        "second": write(tmp_path / "second", [pooled(image, grid, to) for image in others], to),
    }
    with (
        Index.open(paths["fine"]) as fine,
        Index.open(paths["pooled"]) as coarse,
        Index.open(paths["second"]) as second,
    ):
        answer, expected = compare(fine, second), compare(coarse, second)
        page = compose(second, Wish(), is_live=False, bar=Bar(quiet=True), others=[fine])
    assert answer.grid == to
    assert expected.grid is None
    rows = {row.name: row for row in expected.classes}
    assert any(row.matched != row.bg_act_without_fg for row in answer.classes)
    for row in answer.classes:
        wanted = rows[row.name]
        assert row.matched == wanted.bg_act_without_fg
        assert wanted.matched is None
        assert row.matched_first_chance == pytest.approx(wanted.first_chance)
        assert row.second_chance == row.matched_second_chance == pytest.approx(wanted.second_chance)
        assert row.least == max(row.accuracy.least, wanted.bg_act_without_fg.least)
    (table, _) = view_of(answer).tables
    assert sum("2 x 2" in column.name for column in table.columns) == 1
    assert len(table.columns) == 11 == len(table.rows[0])
    sections = [section for section in page.sections if section.question == "compare"]
    assert sections[0].record[0].matched.grid == to
