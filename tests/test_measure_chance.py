"""What chance gives an any-cell rate, whether cells carry their class, and sums of images, each by loops."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import pytest
import reference

from auditor.errors import DatasetError
from auditor.measure.absence import explain_absence
from auditor.measure.census import ImageCensus, take_census
from auditor.measure.chance import any_chance, with_chance
from auditor.measure.counts import count_pairs
from auditor.measure.evidence import CellEvidence, cell_evidence, image_ranks
from auditor.measure.rates import least_change, least_difference, wilson_of
from auditor.questions.context.ask import class_detail, context
from auditor.questions.metrics.ask import metrics
from auditor.questions.threshold.ask import threshold
from auditor.records import ClassName, Rate
from auditor.report.views import view_of
from auditor.store import DatasetFacts, HeadFacts, Index
from indexes import FakeImage, make_index, manifest, random_images


def test_chance_is_what_random_grids_give() -> None:
    """Every cell shows one of 20 classes at random: how often does any of n cells show the fourth?"""
    rng = np.random.default_rng(0)
    grids = rng.integers(0, 20, (4000, 49))
    for cells in (1, 5, 49):
        seen = (grids[:, :cells] == 3).any(axis=1).mean()
        (null,) = any_chance(np.array([1 / 20]), np.array([cells]))
        assert seen == pytest.approx(null, abs=0.025)


def ignorant(seed: int, count: int) -> list[FakeImage]:
    """Images whose cells show classes whatever is in them, some classes more often than others."""
    rng = np.random.default_rng(seed)
    weights = np.array([0.02, 0.05, 0.1, 0.2, 0.28, 0.35])
    images = [replace(image, status="ok") for image in random_images(seed, count)]
    for image in images:
        first = rng.choice(6, image.shown.shape[:2], p=weights)
        rest = np.array([[[k for k in range(6) if k != one][:4] for one in row] for row in first])
        image.shown = np.concatenate([first[..., None], rest], axis=-1)
    return images


def test_cells_that_know_nothing_are_at_chance(tmp_path: Path) -> None:
    with Index.open(make_index(tmp_path / "i", ignorant(1, 400), size=400)) as index:
        measured, evidence = metrics(index), cell_evidence(index)
    for name in ("fg_det", "bg_act", "bg_act_without_fg", "det_top1"):
        rate, null = getattr(measured, name).value, getattr(measured, f"{name}_chance")
        assert rate == pytest.approx(null, abs=0.06), name
        assert 0.1 < null < 0.9
    assert evidence is not None
    assert evidence.share.value == pytest.approx(evidence.share_elsewhere, abs=0.03)


def test_a_class_of_every_image_has_no_chance(tmp_path: Path) -> None:
    images = [replace(image, status="ok", labels=(2,), label=2) for image in random_images(3, 8)]
    with Index.open(make_index(tmp_path / "i", images)) as index:
        assert np.isnan(with_chance(index, count_pairs(index, "all"))["chance"]).all()
        assert metrics(index).det_top1_chance is None
    for image in images:
        image.present, image.foreground = [{2}] * 9, [True] * 9
    with Index.open(make_index(tmp_path / "everywhere", images)) as index:
        evidence = cell_evidence(index)
    assert evidence is not None
    assert evidence.share.total == 72
    assert evidence.share_elsewhere is None


def test_evidence_is_the_same_in_every_digit_however_often_it_is_asked(scenes: Index) -> None:
    """A database groups by threads, in any order; sums of those groups ended in one of two digits."""
    assert len({cell_evidence(scenes) for _ in range(60)}) == 1


@pytest.mark.parametrize("seed", range(4))
def test_evidence_equals_plain_loops(tmp_path: Path, seed: int) -> None:
    images = random_images(seed, 30)
    with Index.open(make_index(tmp_path / "i", images)) as index:
        found = cell_evidence(index)
    counted = reference.counted(images)
    wins, ranks, elsewhere = [], [], []
    for image, label in reference.pairs(counted, "all"):
        others = [
            reference.top1(other, 0, cell) == label
            for other in counted
            if label not in other.labels
            for cell, flag in enumerate(other.foreground or [])
            if flag
        ]
        for cell in reference.class_cells(image, label):
            shown = image.shown[0][cell].tolist()
            wins.append(shown[0] == label)
            ranks.append(shown.index(label) if label in shown else 5)
            elsewhere.append(mean(others))
    assert found is not None
    assert found.images == sum(
        any(reference.class_cells(image, label) for label in image.labels) for image in counted
    )
    assert (found.share.hits, found.share.total) == (sum(wins), len(wins))
    assert found.share_elsewhere == pytest.approx(mean(elsewhere))
    assert (found.rank, found.rank_by_chance) == (median(ranks), 2.5)


def test_ranks_are_those_of_every_image_in_its_order(tmp_path: Path) -> None:
    images = random_images(6, 30)
    with Index.open(make_index(tmp_path / "i", images)) as index:
        found = image_ranks(index).tolist()
    expected = []
    for image in reference.counted(images):
        cells = [(cell, label) for label in image.labels for cell in reference.class_cells(image, label)]
        shown = [(image.shown[0][cell].tolist(), label) for cell, label in cells]
        ranks = [known.index(label) if label in known else 5 for known, label in shown]
        expected += [median(ranks)] if ranks else []
    assert len(set(expected)) > 3
    assert found == expected


def test_a_label_that_is_said_twice_counts_once(tmp_path: Path) -> None:
    once = random_images(7, 30)
    twice = [replace(image, labels=image.labels + image.labels[:1]) for image in once]
    answers = []
    for name, images in (("once", once), ("twice", twice)):
        with Index.open(make_index(tmp_path / name, images)) as index:
            answers.append((cell_evidence(index), image_ranks(index).tolist()))
    assert answers[0] == answers[1]


def test_one_cell_elsewhere_is_some(tmp_path: Path) -> None:
    """Ants have three cells, and the bee's image one, which shows an ant: every cell elsewhere does."""
    ant, bee = (replace(image, status="ok") for image in random_images(8, 2))
    for image, label, count in ((ant, 0, 3), (bee, 1, 1)):
        image.label, image.labels = label, (label,)
        image.present = [{label}] * count + [set()] * (9 - count)
        image.foreground = [True] * count + [False] * (9 - count)
        image.shown = np.tile(np.arange(5), (3, 9, 1))
    with Index.open(make_index(tmp_path / "i", [ant, bee])) as index:
        found = cell_evidence(index)
    assert found is not None
    assert found.share_elsewhere == (3 * 1 + 1 * 0) / 4


def test_what_is_no_better_than_chance_is_not_carried() -> None:
    better = CellEvidence(9, Rate(5, 9), 0.5, 2.0, 2.5)
    assert better.is_carried
    assert replace(better, rank=None).is_carried
    assert replace(better, share_elsewhere=None).is_carried
    assert not replace(better, rank=2.5).is_carried
    assert not replace(better, share_elsewhere=5 / 9).is_carried


def test_the_sentence_has_every_number() -> None:
    known = CellEvidence(9, Rate(5, 1009), 0.001, 2.0, 3.0)
    first = "Its cells carry the class: the class wins 0.5 % of the 1,009 foreground cells of its objects"
    elsewhere, place = (
        " (0.1 % of those in images without them)",
        ", and is at median place 3 of 7 (by chance 4)",
    )
    assert known.sentence == f"{first}{elsewhere}{place}."
    assert replace(known, rank=None).sentence == f"{first}{elsewhere}."
    assert replace(known, share_elsewhere=None).sentence == f"{first}{place}."
    assert (
        "do not carry the class: the class wins 0.0 % of the 9" in replace(known, share=Rate(0, 9)).sentence
    )


@pytest.mark.parametrize(("wins", "verdict"), [(True, "Its cells carry"), (False, "Its cells do not carry")])
def test_the_sentence_says_what_the_cells_do(tmp_path: Path, wins: bool, verdict: str) -> None:
    images = [replace(image, status="ok") for image in random_images(5, 30)]
    for image in images:
        for cell, here in enumerate(image.present or []):
            first = (
                next(iter(here), 0) if wins else next(k for k in range(6) if k not in here | {*image.labels})
            )
            last = sorted(set(range(6)) - {first}, key=lambda k: (k in here, k))
            image.shown[0][cell] = [first, *last][:5]
    with Index.open(make_index(tmp_path / "i", images)) as index:
        shown = view_of(metrics(index))
    assert any(verdict in note for note in shown.tables[0].notes)


# ------------------------------------------------------------------------------------- sums of images


def test_images_add_up(tmp_path: Path) -> None:
    images = random_images(2, 60)
    described = replace(manifest(), dataset=replace(manifest().dataset, min_area=0.01))
    path = make_index(tmp_path / "i", images, removed=[0, 1], described=described)
    with Index.open(path) as index:
        census = take_census(index)
    left = [image for number, image in enumerate(images) if number > 1]
    statuses = [image.status for image in left]
    assert (census.listed, census.removed) == (60, 2)
    assert (census.broken, census.filtered) == (statuses.count("broken"), statuses.count("filtered"))
    assert census.listed == census.measured + census.filtered + census.broken + census.removed
    assert census.measured == census.evaluated + census.unlabelled + census.unannotated
    assert f"60 images listed = {census.measured} indexed + {census.filtered} without" in census.sentence
    assert "1 % of the crop" in census.sentence


def test_sums_of_images_in_words(tmp_path: Path) -> None:
    """A class and no object, an object and no class, neither, and both: each image is in one sum."""
    one = replace(random_images(2, 1)[0], status="ok")
    nothing = dict[str, Any](present=None, foreground=None)
    objects = dict[str, Any](present=[set()] * 9, foreground=[cell == 5 for cell in range(9)])
    classes, no_class = dict[str, Any](label=2, labels=(2,)), dict[str, Any](label=None, labels=())
    kinds = [
        {**classes, **objects}, {**classes, **nothing}, {**no_class, **objects}, {**no_class, **nothing}
    ]  # fmt: skip
    images = [replace(one, path=f"{number}.jpg", **kinds[number % 4]) for number in range(7)]
    with Index.open(make_index(tmp_path / "i", images)) as index:
        census = take_census(index)
    assert (census.measured, census.unlabelled, census.unannotated, census.evaluated) == (7, 3, 2, 2)
    assert census.sentence == (
        "7 images listed = 7 indexed; 7 indexed = 2 evaluated + 3 without a label that the head knows + "
        "2 with a class but no boxes or masks."
    )
    with Index.open(make_index(tmp_path / "all", images[:1])) as index:
        assert take_census(index).sentence == "1 images listed, all of them indexed and evaluated."
    gone = ImageCensus(9, 0, 1, 2, 6, 0, 0, 0.5)
    assert gone.sentence == (
        "9 images listed = 6 indexed + 2 without an annotation of 50 % of the crop + 1 that cannot be read."
    )


# ------------------------------------------------------------------------------------- true reasons


def named(path: Path, images: list[FakeImage], **options: Any) -> Path:
    """An index of a dataset whose only class is no class of the head."""
    facts = DatasetFacts("/data/birds", "masks", None, (ClassName("lamp"),), 0.0, ())
    return make_index(path, images, described=replace(manifest(), dataset=facts, options=options))


def without_labels(images: list[FakeImage]) -> list[FakeImage]:
    return [
        replace(image, status="ok", labels=(), label=None, present=[set() for _ in image.shown[0]],
                foreground=[cell % 2 == 0 for cell in range(len(image.shown[0]))])
        for image in images
    ]  # fmt: skip


@pytest.mark.parametrize(("options", "fix"), [({}, "--head probe"), ({"head_file": "ab"}, "--classes FILE")])
def test_masks_without_a_class_of_the_head_say_so(tmp_path: Path, options: Any, fix: str) -> None:
    with Index.open(named(tmp_path / "i", without_labels(random_images(0, 6)), **options)) as index:
        for question in (context, threshold):
            with pytest.raises(Exception, match=rf"none of.*lamp.*{fix}"):
                question(index)
        (note,) = [note for note in view_of(metrics(index)).tables[0].notes if "not counted" in note]
    assert "6 images of i have boxes or masks" in note
    assert fix in note
    assert "needs boxes" not in note


@pytest.mark.parametrize(("count", "listed"), [(3, r"\(a, b, c\)"), (4, r"\(a, b, c \.\.\.\)")])
def test_three_of_a_datasets_classes_are_named(tmp_path: Path, count: int, listed: str) -> None:
    facts = DatasetFacts("/data", "masks", None, tuple(map(ClassName, "abcd"[:count])), 0.0, ())
    described = replace(manifest(), dataset=facts)
    path = make_index(tmp_path / "i", without_labels(random_images(0, 6)), described=described)
    with Index.open(path) as index, pytest.raises(DatasetError, match=listed):
        context(index)


def test_only_what_nobody_annotated_needs_boxes(tmp_path: Path) -> None:
    images = [replace(image, status="ok", present=None, foreground=None) for image in random_images(0, 6)]
    with Index.open(make_index(tmp_path / "i", images)) as index:
        for question in (context, threshold):
            with pytest.raises(Exception, match="needs boxes or masks"):
                question(index)
        assert "needs boxes" in (explain_absence(index) or "")
        # the command makes the same index, with annotations, and beside this one
        again = shlex.split((explain_absence(index) or "").partition("with them: ")[2])
        assert again[:3] == ["audit", "index", index.manifest.dataset.root]
        assert again[again.index("--backbone") + 1] == index.manifest.backbone.name
        assert again[again.index("--name") + 1].endswith("i-annotated")
        assert again[-2:] == ["--annotations", "FILE"]


def test_a_class_of_an_index_without_labels_has_the_true_reason(tmp_path: Path) -> None:
    images = [replace(image, status="ok", label=None, labels=(), present=None, foreground=None)
              for image in random_images(0, 6)]  # fmt: skip
    with Index.open(make_index(tmp_path / "i", images)) as index:
        with pytest.raises(DatasetError, match="no image of i has a label that its head knows"):
            class_detail(index, 3)
        assert "6 without a label that the head knows" in take_census(index).sentence


def test_every_reason_that_nothing_is_counted(tmp_path: Path) -> None:
    """No image at all, objects and labels in different images, an object in every cell, a head in a file."""
    first, second = (replace(image, status="ok") for image in random_images(0, 2))
    cells, nothing = range(len(first.shown[0])), dict[str, Any](present=None, foreground=None)
    labelled = replace(first, label=2, labels=(2,), **nothing)
    boxed = replace(second, label=None, labels=(), present=[set()] * 9, foreground=[True] * 9)
    filled = replace(first, label=2, labels=(2,), present=[{2} for _ in cells], foreground=[True] * 9)
    broken = replace(first, status="broken")
    for name, images, reason in (
        ("none", [broken], "no image that could be read; see: audit check --index none"),
        (
            "apart",
            [labelled, boxed],
            "1 images of apart have boxes or masks, and 1 others a class of its head",
        ),
        ("full", [filled], "no labelled image of full has a background cell"),
    ):
        path = make_index(tmp_path / name, images)
        with Index.open(path) as index, pytest.raises(DatasetError, match=reason):
            context(index)
    described = replace(
        manifest(), head=HeadFacts("own", "heads/mine.safetensors"), options={"head_file": "mine.safetensors"}
    )
    with Index.open(make_index(tmp_path / "mine", [labelled], described=described)) as index:
        reason = explain_absence(index) or ""
    words = shlex.split(reason.partition("with them: ")[2])
    assert words[words.index("--head") + 1] == str(tmp_path / "mine" / "heads" / "mine.safetensors")
    own = replace(described, options={})  # the network's own, kept in the index
    with Index.open(make_index(tmp_path / "own", [labelled], described=own)) as index:
        assert "safetensors" not in (explain_absence(index) or "safetensors")


# ------------------------------------------------------------------------------------- ends of intervals


def test_intervals_of_differences_by_hand() -> None:
    # Newcombe 1998a, method 10: 56/70 against 48/80 is 0.2 (0.0524 to 0.3339); 1998b, table II, method 10
    assert least_difference((56 / 70, 70), (48 / 80, 80)) == pytest.approx(0.0524, abs=1e-4)
    assert wilson_of(1, 2) == (pytest.approx(2 / (2 + 1.959964**2)), 1.0)


def test_a_change_is_certain_only_with_many(tmp_path: Path) -> None:
    ends = [least_change(0, n, 0, n) for n in (1, 2, 5, 6, 20, 100)]
    assert ends == sorted(ends)
    assert ends[0] < 0 == ends[1] == ends[2] < ends[3]  # McNemar's p: 1, 0.5, 0.0625, 0.03
    assert least_change(5, 0, 0, 10) < 0
    assert least_change(40, 20, 2, 100) == pytest.approx(0.18 - _half_width(), abs=1e-12)


def _half_width() -> float:
    """Newcombe's paired lower half for 40 both, 20 gained, 2 lost, 38 neither, from his formula."""
    p, q = 0.6, 0.42
    down, up = p - wilson_of(p, 100)[0], wilson_of(q, 100)[1] - q
    phi = (40 * 38 - 20 * 2 - 50) / (60 * 40 * 42 * 58) ** 0.5
    return float((down**2 - 2 * phi * down * up + up**2) ** 0.5)


def test_one_label_and_any_label(tmp_path: Path) -> None:
    images = [replace(image, status="ok") for image in random_images(6, 30)]
    with Index.open(make_index(tmp_path / "i", images)) as index:
        several = metrics(index)
    assert several.top1_any.total == sum(bool(image.labels) for image in images)
    assert "Top-1 (any label)" in [column.name for column in view_of(several).tables[0].columns]
    alone = [replace(image, labels=image.labels[:1], label=None) for image in images]
    with Index.open(make_index(tmp_path / "j", alone)) as index:
        single = metrics(index)
    assert (single.top1_any.hits, single.top1_any.total) == (0, 0)
    assert "Top-1 (any label)" not in [column.name for column in view_of(single).tables[0].columns]
