"""Delta under every fill and a placebo, against loops and the index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from auditor.data.occlusion import normalise, occlude
from auditor.data.shown import unpack_mask
from auditor.explain.fill_counts import COLUMNS, count_fills
from auditor.explain.live import reopen
from auditor.explain.placebo import free_places, place_elsewhere
from auditor.grids import occupancy
from auditor.measure.counts import count_pairs
from auditor.questions.context.ask import context
from auditor.questions.fills.ask import compare_fills, fills, report
from auditor.questions.fills.draw import draw_fills
from auditor.questions.fills.record import FillTable
from auditor.questions.metrics.ask import metrics
from auditor.records.watch import Silence
from auditor.report.views import view_of
from auditor.report.wish import Subject, Wish
from auditor.store import Index
from indexes import make_index, random_images

FILLS = ("mean", "black", "grey", "blur", "noise")


# ------------------------------------------------------------------------------------- placebo masks


def test_free_places_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = rng.random((17, 17)) < 0.08
        shape = rng.random((rng.integers(1, 8), rng.integers(1, 20))) < 0.5
        rows, cols = 17 - shape.shape[0] + 1, 17 - shape.shape[1] + 1
        expected = [
            [row, col]
            for row in range(rows)
            for col in range(cols)
            if not (mask[row : row + shape.shape[0], col : col + shape.shape[1]] & shape).any()
        ]
        assert free_places(mask, shape).tolist() == expected


def test_a_placebo_is_the_same_shape_elsewhere() -> None:
    mask = np.zeros((60, 60), np.bool_)
    mask[5:25, 10:20] = True
    mask[20:25, 10:35] = True  # an L, so that turns can be told apart
    placed = {name: place_elsewhere(mask, name) for name in ("a", "b", "c", "d")}
    for placebo in placed.values():
        assert placebo is not None
        assert not (placebo & mask).any()
        rows, cols = np.nonzero(placebo)
        cut = placebo[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
        assert np.array_equal(cut, mask[5:25, 10:35])
    assert len({placebo.tobytes() for placebo in placed.values() if placebo is not None}) > 1
    again = place_elsewhere(mask, "a")
    assert again is not None
    assert np.array_equal(again, placed["a"])


def test_a_placebo_turns_only_where_it_must_and_gives_up_where_it_cannot_fit() -> None:
    step = np.zeros((40, 40), np.bool_)
    step[:20, :25] = True
    step[20:32, :5] = True  # 32 rows x 25 columns: it fits beside itself only when turned
    turned = place_elsewhere(step, "x")
    assert turned is not None
    assert turned.sum() == step.sum()
    assert not (turned & step).any()
    assert not len(free_places(step, step[:32, :25]))
    full = np.zeros((40, 40), np.bool_)
    full[5:36, 5:36] = True
    assert place_elsewhere(full, "x") is None
    assert place_elsewhere(np.zeros((8, 8), np.bool_), "x") is None


# ------------------------------------------------------------------------------------- every fill


def top1_of(index: Index, image: int, masks: np.ndarray[Any, Any] | None, fill: Any) -> np.ndarray[Any, Any]:
    """The live model on one image, by hand: no code of `explain` but the reopening."""
    backbone, head = reopen(index)
    assert head is not None
    path = Path(index.manifest.dataset.root, index.path_of(image))
    geometry = index.manifest.preprocess
    photo = Image.open(path).convert("RGB").resize((geometry.crop,) * 2, Image.Resampling.BILINEAR)
    inputs = normalise(torch.from_numpy(np.array(photo))[None], geometry)
    if masks is not None:
        inputs = occlude(inputs, torch.from_numpy(masks)[None], fill, geometry)
    scores = head.scores(backbone.grid_of(inputs).features)[0]
    return np.asarray(scores.argmax(-1).numpy())


def test_counts_are_loops_over_the_live_model(demo: Path) -> None:
    with Index.open(demo / "indexes" / "scenes-symbols") as index:
        fills = ("black", "noise")
        counts = count_fills(index, fills, label=3, has_placebo=True, limit=6, watch=Silence())
        rows = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*counts.values(), strict=True)]
        assert len(rows) == 6 * len(fills)
        assert {row["shared_cells"] > 0 for row in rows} == {True, False}  # some placebo fits, some does not
        for row in rows:
            image, fill = int(row["image"]), fills[row["fill"]]
            packed = index.query("SELECT foreground FROM images WHERE id = ?", [image])["foreground"][0]
            mask = unpack_mask(packed)
            placebo = place_elsewhere(mask, index.path_of(image))
            background = ~occupancy(mask, index.grid)
            touched = np.ones_like(background) if placebo is None else occupancy(placebo, index.grid)
            shared = background & ~touched
            panels = [top1_of(index, image, None, fill), top1_of(index, image, mask, fill)]
            panels.append(panels[0] if placebo is None else top1_of(index, image, placebo, fill))
            hits = dict.fromkeys(COLUMNS[3:], 0)
            for cell in np.ndindex(index.grid):
                shows = [int(panel[cell] == 3) for panel in panels]
                hits["bg_cells"] += background[cell]
                hits["bg_cells_without_fg"] += background[cell]
                hits["bg_hits"] += background[cell] * shows[0]
                hits["bg_hits_without_fg"] += background[cell] * shows[1]
                hits["shared_cells"] += shared[cell]
                hits["shared_hits"] += shared[cell] * shows[0]
                hits["shared_hits_without_fg"] += shared[cell] * shows[1]
                hits["shared_hits_without_placebo"] += shared[cell] * shows[2]
            assert {name: row[name] for name in hits} == hits


def test_the_index_s_own_fill_gives_the_index_s_own_numbers(demo: Path) -> None:
    with Index.open(demo / "indexes" / "scenes-symbols") as index:
        counts = count_fills(index, ("mean",), limit=None, watch=Silence())
        stored = count_pairs(index, "all")
        measured = metrics(index)
        table = compare_fills(index, ("mean",), counts, has_placebo=False)
    order = np.lexsort((counts["class"], counts["image"]))
    for name in ("image", "class", "bg_cells", "bg_hits", "bg_hits_without_fg", "bg_cells_without_fg"):
        assert np.array_equal(counts[name][order], stored[name]), name
    whole = table.rows[0]
    assert (whole.label, whole.bg_act, whole.bg_act_without_fg) == (
        None,
        measured.bg_act,
        measured.bg_act_without_fg,
    )


def test_the_class_planted_on_stripes_stays_under_every_fill(
    demo: Path, tmp_path: Path, ask: Callable[..., Any]
) -> None:
    drawn = tmp_path / "fills.png"
    words = ("--fill", ",".join(FILLS), "--placebo", "-c", "star dot", "--images", "12", "--out", drawn)
    found = ask("fills", *words)
    assert [row["fill"] for row in found["rows"]] == list(FILLS)
    for row in found["rows"]:
        assert (row["name"], row["images"]) == ("star dot", 12)
        assert row["bg_act_without_fg"]["hits"] >= 0.7 * row["bg_act_without_fg"]["total"]
        assert row["placebo"]["left_out"] + row["placebo"]["bg_act"]["total"] == 12
    assert drawn.exists()


def made_up(pairs: list[tuple[int, bool, bool, bool]]) -> dict[str, np.ndarray[Any, Any]]:
    """Counts of one fill with a cell each: (class, shown before, without foreground, without placebo)."""
    rows = []
    for image, (label, before, after, placebo) in enumerate(pairs):
        rows.append((image, label, 0, 2, 2, before, after, 1, before, after, placebo))
    return dict(zip(COLUMNS, np.array(rows, np.int64).T, strict=True))


def test_marks_by_hand(tmp_path: Path) -> None:
    pairs = [(0, False, True, False)] * 12  # only the object's mask does it
    pairs += [(1, False, True, True)] * 9 + [(1, False, True, False)] * 1  # any mask does it
    pairs += [(2, True, False, True)] * 2  # too few to say
    pairs += [(3, True, True, True)] * 4  # nothing happens
    counts = made_up(pairs)
    for name in COLUMNS[7:]:
        counts[name][:2] = 0  # the placebo fits nowhere in two images of class 0
    with Index.open(make_index(tmp_path / "i", random_images(0, 5))) as index:
        table = compare_fills(index, ("blur",), counts, has_placebo=True)
    rows = {row.label: row for row in table.rows}
    assert [row.label for row in table.rows] == [None, 0, 1, 3, 2]
    marks = {label: row.placebo.mark if row.placebo else "" for label, row in rows.items()}
    assert marks == {None: "object", 0: "object", 1: "mask", 2: "unclear", 3: None}
    placebo = rows[0].placebo
    assert placebo is not None
    assert (placebo.left_out, placebo.bg_act.total, placebo.only_object) == (2, 10, 10)
    assert placebo.p_value == pytest.approx(2 * 0.5**10)
    assert rows[0].p_value == pytest.approx(2 * 0.5**12)
    assert (rows[0].delta, rows[2].delta) == (1.0, -1.0)
    whole = rows[None].placebo
    assert whole is not None
    assert (whole.only_object, whole.only_placebo) == (11, 2)
    tail = sum(comb(13, k) for k in range(3)) / 2**13
    assert whole.p_value == pytest.approx(2 * tail)
    assert whole.q_value == whole.p_value  # all classes together are one test
    assert placebo.q_value == pytest.approx(2 * 0.5**10 * 4)  # the smallest of four classes


def test_one_class_has_the_same_family_as_in_the_table(demo: Path) -> None:
    """`context`, `fills` of all classes and `fills` of one give one q for the same test."""
    with Index.open(demo / "indexes" / "scenes-symbols") as index:
        own = {row.label: row.q_value for row in context(index).rows}
        everyone = fills(index, watch=Silence())
        (alone,) = fills(index, label=14, watch=Silence()).rows
    assert {row.label: row.q_value for row in everyone.rows if row.label is not None} == pytest.approx(own)
    assert everyone.rows[0].q_value == everyone.rows[0].p_value
    assert alone.q_value == pytest.approx(own[14])
    assert alone.p_value is not None
    assert alone.q_value != alone.p_value


def test_twenty_classes_and_more_on_demand(tmp_path: Path) -> None:
    counts = made_up([(label, False, True, False) for label in range(6) for _ in range(2)])
    with Index.open(make_index(tmp_path / "i", random_images(0, 5))) as index:
        table = compare_fills(index, ("mean",), counts, has_placebo=False)
    rows = tuple(replace(table.rows[1], label=label, name=f"c{label}") for label in range(30))
    (short,) = view_of(replace(table, rows=rows)).tables
    assert (len(short.rows), short.notes[0]) == (20, "10 classes more: --all")
    assert len(view_of(replace(table, rows=rows, shows_all=True)).tables[0].rows) == 30


def test_a_class_of_one_image_is_neither_listed_nor_drawn_unless_asked_for(tmp_path: Path) -> None:
    pairs = [(0, False, True, False), *[(1, True, True, False)] * 2, (2, False, True, False)]
    with Index.open(make_index(tmp_path / "i", random_images(0, 5))) as index:
        table = compare_fills(index, ("mean",), made_up(pairs), has_placebo=False)
        alone = compare_fills(index, ("mean",), made_up(pairs[:1]), has_placebo=False)
    assert table.judged == (None, 1)
    (short,) = view_of(table).tables
    assert len(short.rows) == 2
    assert short.notes[:2] == (
        "2 classes with one image with background cannot be judged.",
        "2 classes more: --all",
    )
    assert len(view_of(replace(table, shows_all=True)).tables[0].rows) == 4
    assert alone.judged == (0,)
    assert draw_fills(table).height == draw_fills(replace(table, rows=table.rows[:2])).height


def test_dots_stand_where_the_numbers_say(tmp_path: Path) -> None:
    counts = made_up([(0, False, True, False)] * 2 + [(0, False, False, False)] * 2)
    with Index.open(make_index(tmp_path / "i", random_images(0, 5))) as index:
        table = compare_fills(index, ("mean",), counts, has_placebo=True)
    drawn = np.asarray(draw_fills(table)).astype(int)[90:-60, 290:1060]
    blue = (drawn[..., 2] > 150) & (drawn[..., 0] < 100)
    axis = np.flatnonzero((np.abs(drawn - (96, 103, 115)).sum(-1) < 60).mean(0) > 0.5).mean()
    right = blue[:, int(axis) + 30 :].nonzero()[1] + int(axis) + 30
    share = (np.median(right[right > right.max() - 10]) - axis) / 760
    # the axis goes from -20 to +60 points, so +50 is five eighths of its length to the right of zero
    assert share == pytest.approx(0.5 / 0.8, abs=0.02)


def test_many_classes_are_cut_and_said(tmp_path: Path) -> None:
    counts = made_up([(label, False, True, False) for label in range(6) for _ in range(2)])
    with Index.open(make_index(tmp_path / "i", random_images(0, 5))) as index:
        table = compare_fills(index, ("mean",), counts, has_placebo=False)
    small = draw_fills(FillTable(table.index, table.fills, table.rows[:2]))
    assert draw_fills(table).height > small.height


# ------------------------------------------------------------------------------------- on a page


def test_a_page_asks_about_the_class_of_its_subject(demo: Path) -> None:
    with Index.open(demo / "indexes" / "scenes-symbols") as index:
        assert not list(report(index, Wish()))
        (answer,) = report(index, Wish(subject=Subject("images/000003.png", 3)))
    words = ("--class", "3", "--fill", "mean,black,blur", "--placebo", "--images", "24")
    assert answer.words == words
    assert [row.fill for row in answer.record.rows] == ["mean", "black", "blur"]
    assert {row.label for row in answer.record.rows} == {3}
