"""Metrics by SQL equal the same definitions written as loops, and one case computed by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference

from auditor.errors import BackboneError, DatasetError
from auditor.measure.images import find_class, find_classes, grids_of
from auditor.models.imagenet import class_names
from auditor.questions.context.ask import class_detail, context
from auditor.questions.metrics.ask import image_rows, metrics
from auditor.records import ClassName, Rate
from auditor.store import Index
from indexes import FakeImage, make_index, manifest, random_images


def plain(value: Any) -> Any:
    return (value.hits, value.total) if isinstance(value, Rate) else value


@pytest.mark.parametrize("target", ["all", "one"])
@pytest.mark.parametrize("seed", range(6))
def test_metrics_equal_plain_loops(tmp_path: Path, seed: int, target: Any) -> None:
    images = random_images(seed, 25)
    removed = [3, 11, 20]
    with Index.open(make_index(tmp_path / "index", images, removed=removed)) as index:
        measured = metrics(index, target=target)
    expected = reference.metrics(reference.counted(images, removed), target)
    for name, value in expected.items():
        found = plain(getattr(measured, name))
        assert found == (pytest.approx(value) if isinstance(value, float) else value), name


@pytest.mark.parametrize("seed", range(6))
def test_context_equals_plain_loops(tmp_path: Path, seed: int) -> None:
    images = random_images(seed, 40)
    counted = reference.counted(images, [0])
    with Index.open(make_index(tmp_path / "index", images, removed=[0])) as index:
        rows = context(index, plain=True).rows
        ranked = {by: context(index, by=by).rows for by in ("delta", "bg_act_wo_fg")}
    assert len(rows) == 6
    for row in rows:
        for name, value in reference.class_row(counted, row.label).items():
            assert plain(getattr(row, name)) == value, (row.label, name)
        share, elsewhere = reference.background_shares(counted, row.label)
        assert (row.bg_share, row.bg_share_elsewhere) == (pytest.approx(share), pytest.approx(elsewhere))
    deltas = [row.delta for row in rows]
    assert deltas == sorted(deltas, key=lambda delta: -(delta or 0))
    for by, table in ranked.items():
        least = [row.least(by) for row in table]
        assert least == sorted(least, key=lambda end: (end is None, -(end or 0)))
        assert {row.label for row in table} == {row.label for row in rows}


@pytest.mark.parametrize("seed", range(3))
def test_image_rows_add_up_to_the_metrics(tmp_path: Path, seed: int) -> None:
    images = random_images(seed, 25)
    with Index.open(make_index(tmp_path / "index", images)) as index:
        rows, measured = image_rows(index), metrics(index)
    counted = reference.counted(images)
    assert [row.path for row in rows] == [image.path for image in counted]
    assert [row.label for row in rows] == [image.label for image in counted]
    assert [row.predicted for row in rows] == [image.guesses[0][0] for image in counted]
    for image, row in zip(counted, rows, strict=True):
        assert (row.fg_hits, row.fg_cells) == reference.loc_of_image(image, "all", 0)
        assert row.bg_cells == len(reference.background_cells(image))
        assert row.classes == len(image.labels)
    for name in ("fg_det", "bg_act", "bg_act_without_fg", "det_top1", "det_top5", "top1", "top5"):
        assert sum(getattr(row, name) for row in rows) == getattr(measured, name).hits, name


def tiny(shown: list[list[int]], present: list[set[int]], guess: int) -> FakeImage:
    """A 2 x 2 image of class 1 whose cells show these classes first in each variant."""
    ranked = np.array([[[k, *[j for j in range(6) if j != k][:4]] for k in row] for row in shown])
    guesses = np.array([[guess, 5, 4, 3, 2]] * 3)
    unit = np.eye(16, dtype=np.float32)[:4].reshape(2, 2, 16)
    foreground = [bool(here) for here in present]
    return FakeImage("x.jpg", 1, (1,), present, foreground, ranked, guesses, (1, 2), features=unit,
                     norms=np.ones((2, 2), np.float32))  # fmt: skip


def test_metrics_by_hand(tmp_path: Path) -> None:
    images = [
        # foreground: cells 0 and 1, of which 0 is right; background 2 and 3 shows the class only w/o FG
        tiny([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1]], [{1}, {1}, set(), set()], guess=1),
        # foreground everywhere: no background to speak of; two of four right, none without background
        replace(tiny([[1, 1, 2, 0], [0, 0, 0, 0], [1, 1, 1, 1]], [{1}] * 4, guess=0), path="y.jpg"),
        # nothing of the object in the crop: four background cells, the class among them before and after
        replace(tiny([[0, 0, 0, 1], [1, 1, 1, 1], [0, 1, 0, 0]], [set()] * 4, guess=5), path="z.jpg"),
    ]
    with Index.open(make_index(tmp_path / "index", images, grid=(2, 2))) as index:
        measured, table = metrics(index), context(index)
    assert measured.top1 == Rate(1, 3)
    assert measured.top5 == Rate(1, 3)
    assert measured.loc == Rate(3, 6)
    assert measured.loc_per_image == 0.5
    assert measured.loc_without_bg == Rate(2, 6)
    assert measured.fg_det == Rate(2, 2)
    assert measured.bg_act == Rate(1, 2)
    assert measured.bg_act_without_fg == Rate(2, 2)
    assert measured.delta == 0.5
    assert measured.det_top1 == Rate(3, 3)
    assert measured.real_acc == Rate(1, 3)
    assert measured.real_rec == Rate(4, 6)  # x: 1; y: 1 and 2; z: 1
    assert measured.real_rec_per_image == pytest.approx((0.5 + 1 + 0.5) / 3)
    (row,) = table.rows
    assert (row.gained, row.lost, row.p_value, row.q_value) == (1, 0, 1.0, 1.0)
    # Wilson for 2 of 2: 2 / (2 + 1.96 ** 2)
    assert row.bg_act_without_fg_interval == (pytest.approx(2 / (2 + 1.959964**2)), 1.0)
    assert row.bg_act_interval == (pytest.approx(0.0945312), pytest.approx(0.9054688))


def test_mcnemar_and_false_discovery_by_hand(tmp_path: Path) -> None:
    def image(label: int, number: int, gains: bool) -> FakeImage:
        shown = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, label if gains else 0]]
        made = tiny(shown, [{label}, set(), set(), set()], guess=0)
        return replace(made, path=f"{label}-{number}.jpg", label=label, labels=(label,))

    images = [image(1, n, True) for n in range(6)] + [image(2, n, n < 3) for n in range(6)]
    with Index.open(make_index(tmp_path / "index", images, grid=(2, 2))) as index:
        rows = context(index).rows
        assert context(index, minimum=7).rows == ()
        detail = class_detail(index, "class 2", limit=4)
    assert [(row.label, row.gained, row.delta) for row in rows] == [(1, 6, 1.0), (2, 3, 0.5)]
    assert [row.p_value for row in rows] == [pytest.approx(2 / 2**6), pytest.approx(2 / 2**3)]
    assert [row.q_value for row in rows] == [pytest.approx(2 / 2**6 * 2), pytest.approx(2 / 2**3)]
    assert detail.row == rows[1]
    assert [grids.path for grids in detail.images] == [f"2-{n}.jpg" for n in range(4)]


def test_grids_of_one_image(tmp_path: Path) -> None:
    images = random_images(1, 30)
    with Index.open(make_index(tmp_path / "index", images)) as index:
        for image in reference.counted(images):
            grids = grids_of(index, index.image(image.path))
            variants = 1 if image.present is None else 3
            assert len(grids.variants) == variants
            assert np.array_equal(grids.labels.reshape(variants, -1), image.shown[:variants, :, 0])
            assert np.all(grids.probabilities == 0.5)
            assert grids.label == image.label
            if image.foreground is None:
                assert grids.foreground is None
            else:
                assert grids.foreground is not None
                assert grids.foreground.ravel().tolist() == image.foreground
            assert all(name == f"Class {label}" for label, name in grids.names.items())


def test_find_class_by_id_name_and_synset(tmp_path: Path) -> None:
    with Index.open(make_index(tmp_path / "index", random_images(1, 3))) as index:
        assert [find_class(index, text) for text in ("4", "CLASS 4", "n00000004")] == [4, 4, 4]
        with pytest.raises(DatasetError, match="close matches: Class"):
            find_class(index, "clas 4")


def test_a_class_that_is_not_there_is_told_with_three_that_are(tmp_path: Path) -> None:
    classes = tuple(map(ClassName, ("sea lion", "house", "sea urchin", "seal", "sea snake")))
    with Index.open(make_index(tmp_path / "i", [], described=replace(manifest(), classes=classes))) as index:
        for asked, close in (("SEA", "sea lion, sea urchin, seal"), ("hous", "house"), ("5", "none")):
            with pytest.raises(DatasetError, match=rf"no class '{asked}'; close matches: {close}$"):
                find_class(index, asked)


def test_questions_that_need_a_head_say_so(tmp_path: Path) -> None:
    images = [replace(image, status="ok") for image in random_images(1, 4)]
    with Index.open(make_index(tmp_path / "index", images, head="none")) as index:
        for question in (metrics, context, image_rows, lambda i: grids_of(i, 0)):
            with pytest.raises(BackboneError, match="no head"):
                question(index)


def test_unannotated_images_have_no_rates_and_no_context(tmp_path: Path) -> None:
    images = [
        replace(image, present=None, foreground=None, label=None, labels=(), status="ok")
        for image in random_images(4, 6)
    ]
    with Index.open(make_index(tmp_path / "index", images)) as index:
        measured = metrics(index)
        assert {rate.total for rate in (measured.loc, measured.fg_det, measured.bg_act, measured.top1)} == {0}
        assert measured.delta is None
        assert measured.loc_per_image is None
        with pytest.raises(DatasetError, match="needs boxes or masks"):
            context(index)


@pytest.mark.parametrize("name", ["crane", "Maillot"])
def test_a_name_of_two_imagenet_classes_is_asked_back_with_both(tmp_path: Path, name: str) -> None:
    """Classes 134 and 517 are both cranes, 638 and 639 both maillots."""
    classes = class_names()
    described = replace(manifest(), classes=classes)
    with Index.open(make_index(tmp_path / "index", [], described=described)) as index:
        both = [label for label, known in enumerate(classes) if known.name == name.lower()]
        assert len(both) == 2
        for asked in (lambda: find_class(index, name), lambda: find_classes(index, [f"3,{name}"])):
            with pytest.raises(DatasetError, match="names 2 classes of index") as raised:
                asked()
            for label in both:
                assert f"{label} {name.lower()} {classes[label].synset}" in str(raised.value)
        for label in both:
            assert find_class(index, str(label)) == find_class(index, classes[label].synset) == label


def test_names_that_differ_in_case_alone_are_told_apart(tmp_path: Path) -> None:
    described = replace(manifest(), classes=class_names())
    with Index.open(make_index(tmp_path / "index", [], described=described)) as index:
        assert find_classes(index, ["Cardigan", "cardigan", "Cardigan,3"]) == [
            264,
            474,
            3,
        ]  # a corgi, a jacket
        with pytest.raises(DatasetError, match="264 Cardigan n02113186, 474 cardigan n02963159"):
            find_class(index, "CARDIGAN")
