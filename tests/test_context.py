"""`audit context`: classes by what the data support, and what it says where they support nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.questions.context.ask import class_detail, context
from auditor.report.views import view_of
from auditor.store import Index
from indexes import FakeImage, make_index, random_images

BACKGROUND = "bg_act_wo_fg"


def image(label: int, number: int, hits: int) -> FakeImage:
    """An image of a class, one cell of foreground and eight of background: `hits` show the class w/o FG."""
    made = replace(random_images(0, 1)[0], path=f"{label}-{number}.jpg", status="ok")
    other = (label + 1) % 6 if label != 4 else 0
    shown = np.full((3, 9), other)
    shown[2, 1 : 1 + hits] = label
    ranked = np.array([[[k, *[j for j in range(6) if j != k][:4]] for k in row] for row in shown])
    present: list[set[int]] = [{label}, *(set[int]() for _ in range(8))]
    foreground = [True, *[False] * 8]
    return replace(
        made, label=label, labels=(label,), present=present, foreground=foreground, shown=ranked, real=None
    )


def test_noise_does_not_lead(tmp_path: Path) -> None:
    """One image that is all background stands behind twenty that nearly are, and behind what is judged."""
    images = [image(0, 0, 8)]
    images += [image(1, number, 6 if number else 0) for number in range(20)]
    images += [image(2, number, 8) for number in range(2)]
    images += [image(3, number, 0) for number in range(20)]
    with Index.open(make_index(tmp_path / "i", images)) as index:
        ranked, plain = context(index, by=BACKGROUND), context(index, by=BACKGROUND, plain=True)
        by_delta = context(index)
    assert [row.label for row in ranked.rows] == [1, 2, 3, 0]
    assert [row.label for row in plain.rows] == [2, 0, 1, 3]
    assert [row.label for row in by_delta.rows] == [1, 2, 3, 0]
    assert ranked.rows[-1].least_excess is None
    assert ranked.sentence == "1 of 4 classes is above zero at 95 %; 1 with one image cannot be judged"
    assert (ranked.plain, plain.plain) == (False, True)


def test_one_image_per_class_is_a_sentence_and_no_table(tmp_path: Path) -> None:
    with Index.open(make_index(tmp_path / "i", [image(label, 0, 8) for label in range(5)])) as index:
        table = context(index)
        view = view_of(table)
        plain = view_of(context(index, plain=True))
    assert not view.tables
    assert view.notes[0].startswith("one image per class: no class can be judged; index more images")
    assert "--plain" in view.notes[0]
    assert view.rows is not None
    assert len(view.rows.items) == 5  # files hold all rows, whatever is shown
    assert len(plain.tables[0].rows) == 5


def test_a_minimum_that_leaves_nothing_gives_the_reason(tmp_path: Path) -> None:
    images = [image(label, number, 1) for label in (1, 2) for number in range(1 + label)]
    with Index.open(make_index(tmp_path / "i", images)) as index:
        view = view_of(context(index, minimum=5))
        families = [context(index, minimum=least).rows[0].q_value for least in (1, 3)]
        alone = class_detail(index, 2).row.q_value
    assert not view.tables
    assert view.notes == ("no class has 5 images with background; the largest has 3.",)
    assert families == [alone, alone]  # one family, whatever is left out of the table


def test_twenty_rows_and_more_on_demand(tmp_path: Path) -> None:
    with Index.open(make_index(tmp_path / "i", [image(1, number, 3) for number in range(3)])) as index:
        table = context(index)
    rows = tuple(replace(table.rows[0], label=label) for label in range(37))
    (short,) = view_of(replace(table, rows=rows)).tables
    assert (len(short.rows), short.notes[0]) == (20, "17 more: --all")
    (whole,) = view_of(replace(table, rows=rows, shows_all=True)).tables
    assert len(whole.rows) == 37


def test_the_commands_options(demo: Path, ask: Callable[..., Any], audit: Callable[..., str]) -> None:
    ranked = ask("context", "--by", BACKGROUND)
    plain = ask("context", "--by", BACKGROUND, "--plain")
    assert (ranked["plain"], plain["plain"], ranked["by"]) == (False, True, BACKGROUND)
    assert len(ranked["rows"]) == len(plain["rows"]) == 20
    least = [row["least_excess"] for row in ranked["rows"]]
    assert least == sorted(least, reverse=True)
    assert "Ranked by what the data support" in audit("context", "--all")
    assert "no class has 99 images with background" in audit("context", "--minimum", "99")


@pytest.mark.parametrize("seed", range(1, 6))
def test_the_planted_faults_stand_first(
    seed: int, tmp_path: Path, monkeypatch: Any, ask: Callable[..., Any], audit: Callable[..., str]
) -> None:
    """In scenes of other seeds than the demo's: the texture, the marker, then what nobody planted."""
    monkeypatch.chdir(tmp_path)
    audit("synth", "scenes", "--images", "120", "--seed", str(seed), "--texture", "star dot",
          "--marker", "triangle cross")  # fmt: skip
    audit("index", "scenes", "--backbone", "symbols")
    rows = ask("context", "--by", BACKGROUND)["rows"]
    assert [row["name"] for row in rows[:2]] == ["star dot", "triangle cross"]
    assert rows[0]["least_excess"] > rows[1]["least_excess"] > rows[2]["least_excess"]
