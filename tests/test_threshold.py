"""`audit threshold` against the definitions of A.3 written as loops over images and cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_audit
from numpy.typing import NDArray
from PIL import Image

from auditor.errors import BackboneError, DatasetError, IndexMismatch
from auditor.questions.metrics.ask import metrics
from auditor.questions.threshold.ask import threshold
from auditor.questions.threshold.draw import draw_thresholds
from auditor.questions.threshold.record import CellScore, ThresholdPoint, Thresholds
from auditor.records import Preprocess, Rate
from auditor.report.views import view_of
from auditor.store import HeadFacts, Index
from indexes import Diary, World, exchange_head, make_world, softmax, write_world

SCORES: tuple[CellScore, ...] = ("max_softmax", "confidence", "feature_fg", "logit_fg")


def is_calibration(world: World, row: int) -> bool:
    return int(world.hashes[row][8:16], 16) % 5 == 0


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b))


def prototypes(world: World, vectors: NDArray[Any], rows: Sequence[int]) -> dict[int, NDArray[Any]]:
    """The mean of each class's unit-length vectors over its correct foreground cells."""
    found: dict[int, list[NDArray[Any]]] = {}
    for row in rows:
        for cell in range(9):
            shown = int(world.scores[row, cell].argmax())
            if shown in world.present[row][cell]:
                vector = vectors[row, cell]
                found.setdefault(shown, []).append(vector / math.sqrt(vector @ vector))
    return {label: np.mean(members, axis=0) for label, members in found.items()}


def score_of(
    world: World, name: str, row: int, cell: int, known: dict[str, dict[int, NDArray[Any]]]
) -> float | None:
    """A cell's score by the definition; None where its class has no prototype."""
    p = softmax(world.scores[row, cell])
    if name == "max_softmax":
        return float(max(p))
    if name == "confidence":
        return 1 - sum(-float(x) * math.log(x) for x in p) / math.log(len(p))
    prototype = known[name].get(int(world.scores[row, cell].argmax()))
    vectors = world.features if name == "feature_fg" else world.scores
    return None if prototype is None else cosine(vectors[row, cell], prototype)


def curve_by_loops(
    world: World, name: str, tau: float, evaluated: Sequence[int], known: dict[str, Any]
) -> tuple[Rate, Rate]:
    """Over the cells and pairs of the classes that have a prototype, whatever the score."""
    correct = foreground = active = pairs = 0
    classes = set(known["feature_fg"])
    for row in evaluated:
        kept = []
        for cell in range(9):
            score = score_of(world, name, row, cell, known)
            kept.append(score is not None and score > tau)
        shown = world.scores[row].argmax(axis=1)
        for cell, here in enumerate(world.present[row]):
            foreground += bool(here & classes)
            correct += kept[cell] and int(shown[cell]) in here & classes
        background = [cell for cell, here in enumerate(world.present[row]) if not here]
        for label in classes.intersection(world.labels[row]) if background else ():
            pairs += 1
            active += any(kept[cell] and shown[cell] == label for cell in background)
    return Rate(correct, foreground), Rate(active, pairs)


def assert_equal_to_loops(
    found: Thresholds, world: World, evaluated: Sequence[int], given: World, rows: Sequence[int]
) -> None:
    """Every rate at every threshold; features are stored in half precision, so one cell may be off."""
    known = {
        "feature_fg": prototypes(given, given.features, rows),
        "logit_fg": prototypes(given, given.scores, rows),
    }
    assert found.scores == SCORES
    assert (found.calibration_images, found.images) == (len(rows), len(evaluated))
    assert found.prototypes == len(known["feature_fg"])
    for name in SCORES:
        curve = found.curve(name)
        assert [point.tau for point in curve] == pytest.approx(np.linspace(0, 1, 41))
        for point in curve:
            loc, bg_act = curve_by_loops(world, name, point.tau, evaluated, known)
            assert (point.loc.total, point.bg_act.total) == (loc.total, bg_act.total)
            assert abs(point.loc.hits - loc.hits) <= 1, (name, point.tau)
            assert abs(point.bg_act.hits - bg_act.hits) <= 1, (name, point.tau)
        assert curve[0].loc.hits > curve[24].loc.hits > curve[-1].loc.hits == 0


@pytest.mark.parametrize("seed", range(2))
def test_curves_equal_plain_loops(tmp_path: Path, seed: int) -> None:
    world = make_world(seed, 40, noise=1.0)
    with Index.open(write_world(tmp_path / "index", world)) as index:
        found = threshold(index)
    given = [row for row in range(40) if is_calibration(world, row)]
    assert 2 <= len(given) <= 15
    assert_equal_to_loops(found, world, [row for row in range(40) if row not in given], world, given)


def test_the_comparison_of_every_image_is_told(tmp_path: Path) -> None:
    diary = Diary()
    with Index.open(write_world(tmp_path / "index", make_world(0, 40, noise=1.0))) as index:
        images = threshold(index, watch=diary).images
    assert list(diary.stages.values()) == [[images, images]] * 2
    assert all("prototypes of" in stage for stage in diary.stages)


def test_prototypes_from_a_split(tmp_path: Path) -> None:
    world = make_world(3, 30, noise=1.0)
    world.splits = tuple("train" if row % 3 == 0 else None for row in range(30))
    with Index.open(write_world(tmp_path / "index", world)) as index:
        found = threshold(index, calibration="train")
        with pytest.raises(DatasetError, match="split val of index leaves 0 images"):
            threshold(index, calibration="val")
    given = list(range(0, 30, 3))
    assert found.calibration == "split train"
    assert_equal_to_loops(found, world, [row for row in range(30) if row % 3], world, given)


def test_prototypes_from_another_index(tmp_path: Path) -> None:
    """Its images that are evaluated here too give nothing."""
    everything = make_world(4, 40, noise=1.0)
    world = replace(
        everything,
        features=everything.features[:25],
        labels=everything.labels[:25],
        present=everything.present[:25],
    )
    one, two = write_world(tmp_path / "one", world), write_world(tmp_path / "two", everything)
    other = replace(everything, weight=everything.weight * 2)
    with Index.open(one) as index, Index.open(two) as given:
        found = threshold(index, calibration=given)
        assert_equal_to_loops(found, world, range(25), everything, range(25, 40))
    three = write_world(tmp_path / "three", other)
    four = write_world(tmp_path / "four", everything, preprocess=Preprocess(512, 448))
    for path, said in ((three, "different heads"), (four, "differ in preprocessing")):
        with (
            Index.open(one) as index,
            Index.open(path) as strange,
            pytest.raises(IndexMismatch, match=said),
        ):
            threshold(index, calibration=strange)


def test_with_every_cell_kept_the_rates_are_those_of_the_metrics(tmp_path: Path) -> None:
    """`evaluated` is everything here, and no probability is as low as 0."""
    world, given = make_world(5, 30), make_world(6, 20, prefix="c")
    given.weight, given.bias = world.weight, world.bias
    with (
        Index.open(write_world(tmp_path / "one", world)) as index,
        Index.open(write_world(tmp_path / "two", given)) as other,
    ):
        first = threshold(index, calibration=other).points[0]
        measured = metrics(index)
    assert (first.score, first.tau) == ("max_softmax", 0.0)
    assert (first.loc, first.bg_act) == (measured.loc, measured.bg_act)


def test_a_class_without_prototype_is_never_kept(tmp_path: Path) -> None:
    world = make_world(7, 30)
    world.splits = tuple("calibration" if own == (1,) else None for own in world.labels)
    shown = world.scores.argmax(axis=-1)
    with Index.open(write_world(tmp_path / "index", world)) as index:
        found = threshold(index, calibration="calibration")
    assert found.prototypes == 1
    evaluated = [row for row in range(30) if world.splits[row] is None]
    assert found.unknown_cells == int((shown[evaluated] != 1).sum()) > 0
    correct = sum(
        int(shown[row, cell] == 1 and 1 in world.present[row][cell]) for row in evaluated for cell in range(9)
    )
    assert found.curve("feature_fg")[0].loc.hits == correct
    # every curve is over class 1 alone, so that all of them start from the same cells
    own = [here for row in evaluated for here in world.present[row] if 1 in here]
    assert {point.loc.total for point in found.points} == {len(own)}
    assert found.curve("max_softmax")[0].loc.hits == correct
    pairs = [row for row in evaluated if 1 in world.labels[row] and not all(world.present[row])]
    assert {point.bg_act.total for point in found.points} == {len(pairs)}
    whole = [here for row in evaluated for here in world.present[row] if here]
    assert found.loc_of_all_classes.total == len(whole) > len(own)
    assert "over the 1 of 4 classes that have a prototype" in view_of(found).tables[0].notes[0]
    assert draw_thresholds(found).size  # which has the sentence too


def test_a_head_that_is_not_affine_has_no_logit_prototype(tmp_path: Path) -> None:
    path = write_world(tmp_path / "index", make_world(8, 30))
    write_model_head(path / "heads" / "own.safetensors")
    exchange_head(path)
    with Index.open(path) as index:
        found = threshold(index)
    assert found.scores == SCORES[:3]
    assert "not affine" in found.notes[0]


def write_model_head(path: Path) -> None:
    """The file of a head that works through its model: a header without a matrix."""
    from safetensors.numpy import save_file

    save_file({}, path, metadata={"audit_head": '{"kind": "own", "classes": []}'})


def test_questions_that_cannot_be_answered(tmp_path: Path) -> None:
    world = make_world(9, 20)
    bare = replace(world, present=[[set()] * 9] * 20)
    with (
        Index.open(write_world(tmp_path / "bare", bare)) as index,
        pytest.raises(DatasetError, match="no foreground cell of the calibration images"),
    ):
        threshold(index)


def test_the_chart_draws_every_curve(tmp_path: Path) -> None:
    """Each curve's colour is in the picture; a name with $ and a leading _ neither raises nor vanishes."""
    points = tuple(
        ThresholdPoint(score, tau / 40, Rate(40 - tau + 3 * number, 60), Rate(40 - tau, 60 + 5 * number))
        for number, score in enumerate(SCORES)
        for tau in range(41)
    )
    names = ("_a$b$", "plain")
    drawn = [
        np.asarray(draw_thresholds(Thresholds(name, "x", 1, 2, 3, 3, 0, points))).astype(int)
        for name in names
    ]
    for colour in ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167)):
        assert (np.abs(drawn[0] - colour).sum(axis=-1) < 30).sum() > 200
    height = drawn[0].shape[0] // 12
    assert (drawn[0][:height] != drawn[1][:height]).any()  # the name stands in the title
    assert (drawn[0][height * 2 :] == drawn[1][height * 2 :]).all()


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audit: Callable[..., str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_world(Path("indexes/small"), make_world(10, 40))
    shown = audit("threshold", "--index", "small", "--table", "curves.csv")
    assert "logit prototype: BG Act." in shown
    assert len(Path("curves.csv").read_text().splitlines()) == 1 + 4 * 41
    with Image.open("reports/small/threshold.png") as picture:
        assert picture.size[0] > 1000


def test_no_index_and_no_split_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_world(Path("indexes/small"), make_world(10, 10))
    with pytest.raises(Exception, match="no index at indexes/nowhere"):
        run_audit("threshold", "--calibration", "nowhere")


def test_a_head_that_scored_nothing(tmp_path: Path) -> None:
    path = write_world(tmp_path / "index", make_world(9, 10))
    with Index.open(path) as index:
        index.manifest = replace(index.manifest, head=HeadFacts("none"))
        with pytest.raises(BackboneError, match="has no head"):
            threshold(index)
