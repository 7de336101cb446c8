"""Hygiene: every number against plain loops, planted faults, how often it is wrong, real networks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import reference
from conftest import run_audit
from numpy.typing import NDArray

from auditor.measure.reach import FEWEST, measure_reach
from auditor.measure.shuffled import shuffle_labels
from auditor.measure.survival import survival
from auditor.page.compose import compose
from auditor.questions.findings.ask import findings
from auditor.questions.hygiene.ask import hygiene
from auditor.questions.hygiene.record import Hygiene
from auditor.questions.similar.ask import similar, similar_to_vector
from auditor.report.views import view_of
from auditor.report.wish import Wish
from auditor.search.norms import measure_norms
from auditor.search.place_bias import place_bias
from auditor.store import Index
from auditor.store.check import check as verify
from auditor.terminal.progress import Bar
from indexes import CLASSES, DIM, FakeImage, make_index, manifest, random_images

GRID = (5, 6)


def asked(path: Path, images: list[FakeImage], **facts: Any) -> Hygiene:
    with Index.open(make_index(path, images, size=len(images), **facts)) as index:
        return hygiene(index)


def check(answer: Hygiene, name: str) -> bool | None:
    """Whether the check of this name passes."""
    return next(each.passes for each in answer.checks if each.name == name)


def with_features(images: list[FakeImage], raw: NDArray[np.floating]) -> list[FakeImage]:
    """The images with these features (n, H, W, C), all of them readable."""
    norms = np.linalg.norm(raw, axis=-1).astype(np.float32)
    units = (raw / norms[..., None]).astype(np.float32)
    rows = zip(images, units, norms, strict=True)
    return [replace(image, status="ok", features=own, norms=length) for image, own, length in rows]


def placed(seed: int, strength: float, count: int = 40) -> list[FakeImage]:
    """Images whose cells are a class's direction, noise, and as strong an embedding of their place."""
    rng = np.random.default_rng(seed)
    places = rng.standard_normal((*GRID, DIM))
    content = rng.standard_normal((CLASSES, DIM))[rng.integers(0, CLASSES, (count, *GRID))]
    raw = content + 0.3 * rng.standard_normal((count, *GRID, DIM)) + strength * places
    return with_features(random_images(seed, count, GRID), raw)


def says(images: list[FakeImage], variant: int, right: float, seed: int = 0) -> None:
    """Cells of a variant show a class that is in them in so many cases, else one of no label."""
    rng = np.random.default_rng(seed)
    for image in images:
        for cell, here in enumerate(image.present or []):
            others = [k for k in range(CLASSES) if k not in image.labels]
            first = min(here) if here and rng.random() < right else int(rng.choice(others))
            rest = [k for k in range(CLASSES) if k != first]
            image.shown[variant][cell] = [first, *sorted(rest, key=lambda k: k not in here)][:5]


# --------------------------------------------------------------------------------- against plain loops


@pytest.mark.parametrize("seed", range(4))
def test_survival_equals_plain_loops(tmp_path: Path, seed: int) -> None:
    images = random_images(seed, 40)
    with Index.open(make_index(tmp_path / "i", images)) as index:
        found = survival(index)
    counted = reference.counted(images)
    cells = [(image, cell) for image in counted for cell, flag in enumerate(image.foreground or []) if flag]
    kept, elsewhere = [], []
    for image, cell in cells:
        first = reference.top1(image, 0, cell)
        if first in image.present[cell]:
            kept.append(reference.top1(image, 1, cell) == first)
            others = [(other, at) for other, at in cells if first not in other.labels]
            elsewhere.append(mean(reference.top1(other, 1, at) == first for other, at in others))
    assert found is not None
    assert (found.kept.hits, found.kept.total) == (sum(kept), len(kept))
    assert found.elsewhere == pytest.approx(mean(elsewhere))


def test_without_right_cells_or_covered_images_there_is_no_survival(tmp_path: Path) -> None:
    wrong, bare = known(3), known(3)
    says(wrong, 0, 0.0)
    for image in bare:
        image.guesses = image.guesses[:1]
    for name, images in (("wrong", wrong), ("bare", bare)):
        with Index.open(make_index(tmp_path / name, images)) as index:
            assert survival(index) is None


@pytest.mark.parametrize("seed", range(3))
def test_places_equal_plain_loops(tmp_path: Path, seed: int) -> None:
    """With fewer than 1,000 cells every one asks, but for those of the middle column."""
    images = placed(seed, 0.8, 12)
    images[3] = replace(images[3], status="broken")
    images[4].norms[2, 1] = 0  # a cell without content
    images[4].features[2, 1] = 0
    with Index.open(make_index(tmp_path / "i", images, grid=GRID)) as index:
        found = place_bias(index)
        stored = {number: index.features(number) for number in range(12) if number != 3}
    same, mirrored = [], []
    for number, own in stored.items():
        for row, col in np.ndindex(*GRID):
            if not own[row, col].any():
                continue
            others = [
                (float(own[row, col] @ feature[at]), -other, -at[0], -at[1])
                for other, feature in stored.items()
                for at in np.ndindex(*GRID)
                if other != number and feature[at].any()
            ]
            *_, y, x = max(others)
            same.append((-y, -x) == (row, col))
            mirrored.append((-y, -x) == (row, GRID[1] - 1 - col))
    assert found is not None
    assert found.queries == len(same) == 11 * 30 - 1
    assert (found.same, found.mirrored) == pytest.approx((mean(same), mean(mirrored)))


def test_an_odd_grid_asks_all_but_its_middle_column(tmp_path: Path) -> None:
    with Index.open(make_index(tmp_path / "i", with_features(*unlike(0, 12)))) as index:
        found = place_bias(index)
    assert found is not None
    assert found.asked_at[:, 1].tolist() == [0, 0, 0]
    assert found.queries == found.asked_at.sum() == 12 * 6


def unlike(seed: int, count: int) -> tuple[list[FakeImage], NDArray[np.floating]]:
    """Images whose cells have nothing in common."""
    images = random_images(seed, count)
    return images, np.random.default_rng(seed).standard_normal((count, 3, 3, DIM))


# --------------------------------------------------------------------------------- planted, and absent


@pytest.mark.parametrize(("share", "recall"), [(0.005, 0.9), (0.02, 0.9), (0.1, 0.5)])
def test_planted_high_norm_tokens_are_those_that_are_named(
    tmp_path: Path, share: float, recall: float
) -> None:
    """Two percent of DINOv2's tokens are ten times as long. None is named that was not planted."""
    rng = np.random.default_rng(4)
    images, raw = random_images(4, 120), rng.standard_normal((120, 3, 3, DIM))
    raw *= rng.lognormal(0, 0.3, (120, 3, 3, 1))
    is_planted = rng.permutation(1080).reshape(120, 3, 3) < round(1080 * share)
    raw[is_planted] *= 10
    path = make_index(tmp_path / "i", with_features(images, raw), size=60)
    with Index.open(path) as index:
        found, answer = measure_norms(index), hygiene(index)
    assert found is not None
    planted = set(np.flatnonzero(is_planted).tolist())
    assert set(found.high.tolist()) <= planted
    assert len(found.high) >= recall * len(planted)
    assert answer.high_norm is not None
    assert answer.high_norm.hits == len(found.high)
    assert check(answer, "norms") is False
    assert answer.verdict == "fail"
    image, cell = divmod(int(found.high[0]), 9)
    assert answer.high_norm_cells[0] == f"{images[image].path}:{cell // 3},{cell % 3}"


def test_far_longer_cells_are_no_hits_unless_one_of_them_asks(tmp_path: Path) -> None:
    """All alike in direction: without their length nothing tells them from the cell that asks."""
    rng = np.random.default_rng(7)
    images = random_images(7, 30)
    raw = np.ones(DIM) + 0.1 * rng.standard_normal((30, 3, 3, DIM))
    is_long = np.zeros((30, 3, 3), np.bool_)
    is_long[5:15, 1, 1] = True
    raw[is_long] = 10 * (np.ones(DIM) + 0.001 * rng.standard_normal((10, DIM)))
    with Index.open(make_index(tmp_path / "i", with_features(images, raw), size=30)) as index:
        found = similar(index, images[0].path, 0, 0, k=400, per_image=0)
        places = {(hit.path, hit.row, hit.col) for hit in found.hits}
        assert (len(places), found.long) == (29 * 9 - 10, 10)
        assert not places & {(images[number].path, 1, 1) for number in range(5, 15)}
        assert "far longer" in str(view_of(found).tables[0].notes)
        asked = similar(index, images[5].path, 1, 1)
        assert asked.long == 0
        assert {(hit.row, hit.col) for hit in asked.hits[:9]} == {(1, 1)}
        raw_vector = index.features(1)[0, 0]
        assert similar_to_vector(index, raw_vector).long == 10


def test_cells_of_ordinary_lengths_are_none(tmp_path: Path) -> None:
    """Twenty indexes, lengths of three kinds of spread: 21,600 cells, and no index fails."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        raw = rng.standard_normal((120, 3, 3, DIM)) * rng.lognormal(0, 0.2 * (1 + seed % 3), (120, 3, 3, 1))
        answer = asked(tmp_path / str(seed), with_features(random_images(seed, 120), raw))
        assert check(answer, "norms") is True


def test_a_positional_backbone_is_caught_and_another_is_not(tmp_path: Path) -> None:
    """Five of each: an embedding of place that is half as long as the content, and none."""
    for seed in range(5):
        for strength in (0.0, 0.5):
            answer = asked(tmp_path / f"{seed}-{strength}", placed(seed, strength), grid=GRID)
            assert check(answer, "place") is (strength == 0)


def test_a_layout_that_is_its_own_mirror_image_is_no_position(tmp_path: Path) -> None:
    """Every row has a content of its own, as sky and ground have: cells find their row, on either side."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((GRID[0], abs(GRID[1] // 2), DIM))
    layout = np.concatenate([rows, rows[:, ::-1]], axis=1)
    raw = layout + 0.5 * rng.standard_normal((40, *GRID, DIM))
    answer = asked(tmp_path / "i", with_features(random_images(1, 40, GRID), raw), grid=GRID)
    assert answer.same_place is not None
    assert answer.same_place > 0.3
    assert check(answer, "place") is True


def known(seed: int, count: int = 40) -> list[FakeImage]:
    """Images whose cells know their class in 8 of 10 cases, as they are and covered."""
    images = [image for image in random_images(seed, 4 * count) if image.labels and image.present][:count]
    images = [replace(image, status="ok", label=image.labels[0]) for image in images]
    for image in images:
        image.guesses[:] = [image.label, *(k for k in range(CLASSES) if k != image.label)][:5]
    says(images, 0, 0.8)
    says(images, 1, 0.8)
    return images


def test_cells_that_know_their_class_pass(tmp_path: Path) -> None:
    answer = asked(tmp_path / "i", known(2))
    assert [check(answer, name) for name in ("class", "rank", "context")] == [True] * 3
    assert answer.share_p_value == pytest.approx(1 / 200)


def test_cells_that_need_their_surroundings_fail(tmp_path: Path) -> None:
    images = known(3)
    says(images, 1, 0.0)  # but the images stay recognised
    answer = asked(tmp_path / "i", images)
    assert check(answer, "context") is False
    assert answer.survives is not None
    assert answer.survives.hits == 0


def test_where_covered_images_cannot_be_read_survival_is_not_judged(tmp_path: Path) -> None:
    images = known(3)
    says(images, 1, 0.0)
    for image in images:
        image.guesses[1] = next(k for k in range(CLASSES) if k not in image.labels)
    answer = asked(tmp_path / "i", images)
    assert check(answer, "context") is None
    assert "covering is too much" in next(each.sentence for each in answer.checks if each.name == "context")


@pytest.mark.parametrize("radius", [0, 1, 2, 3])
def test_the_reach_of_a_toy_backbone_is_its_receptive_field(tmp_path: Path, radius: int) -> None:
    """Each of its cells is the mean of the cells up to so far away, and its class the likelier of two."""
    rng = np.random.default_rng(radius)
    images, by_distance = [], dict[int, list[float]]()
    for image in random_images(5, 60, TOY):
        pixels, mask = rng.random(TOY), np.zeros(TOY, np.bool_)
        row, col = rng.integers(0, 7, 2)
        mask[row : row + 2, col : col + 2] = True
        cells = [averaged(np.where(covered, 0, pixels), radius) for covered in (mask & False, ~mask, mask)]
        chances = np.stack([np.stack([means, 1 - means], axis=-1) for means in cells]).reshape(3, 64, 2)
        order = np.argsort(-chances, axis=-1)
        ranked = np.take_along_axis(chances, order, axis=-1)
        flags = mask.ravel().tolist()
        for number, cell in enumerate(np.ndindex(TOY)):
            far = int(np.abs(np.argwhere(mask) - cell).max(axis=1).min())
            first = order[0, number, 0]
            change = abs(chances[0, number, first] - chances[2, number, first])
            by_distance.setdefault(far, []).append(change)
        present = [{0} if flag else set() for flag in flags]
        images.append(
            replace(
                image, status="ok", labels=(0,), label=0, present=present, foreground=flags, shown=order,
                chances=ranked, entropy=None, guesses=image.guesses,
            )
        )  # fmt: skip
    with Index.open(make_index(tmp_path / "i", images, grid=TOY, size=60)) as index:
        answer, measured = hygiene(index), measure_reach(index)
    assert measured is not None
    enough = [far for far in sorted(by_distance) if far and len(by_distance[far]) >= FEWEST]
    assert measured.cells == tuple(len(by_distance[far]) for far in enough)
    assert measured.changes == pytest.approx([np.mean(by_distance[far]) for far in enough], abs=1e-7)
    assert answer.reach == radius
    assert answer.reach_asked is not None
    assert answer.reach_asked > radius
    assert all((change > 0) == (far <= radius) for far, change in enumerate(answer.changes, start=1))


TOY = (8, 8)


def averaged(pixels: NDArray[np.floating], radius: int) -> NDArray[np.floating]:
    """The mean of the cells around each cell, those outside being 0."""
    return np.array(
        [
            [
                pixels[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1].sum()
                / (2 * radius + 1) ** 2
                for x in range(TOY[1])
            ]
            for y in range(TOY[0])
        ]
    )


def test_what_fails_is_the_first_finding_and_what_passes_is_none(tmp_path: Path) -> None:
    facts = {"grid": GRID, "head": "none", "described": manifest(GRID, head="none")}
    with Index.open(make_index(tmp_path / "placed", placed(1, 3.0), **facts)) as index:  # type: ignore[arg-type]
        found = findings(index).findings
        assert [each.subject for each in found] == ["cells"]
        assert "at the same place for" in found[0].sentence
        assert found[0].rate.value == pytest.approx(hygiene(index).same_place)
    with Index.open(make_index(tmp_path / "known", known(2))) as index:
        assert hygiene(index).verdict == "pass"
        assert "cells" not in {each.subject for each in findings(index).findings}


@pytest.mark.parametrize("seed", range(2))
def test_exchanged_labels_equal_plain_loops(tmp_path: Path, seed: int) -> None:
    """Every label goes to every image as often: so many cells show a label of another on average."""
    images = random_images(seed, 40)
    with Index.open(make_index(tmp_path / "i", images, size=40, removed=range(0, 40, 5))) as index:
        found = shuffle_labels(index)
    assert found is not None
    counted = reference.counted(images, range(0, 40, 5))
    asked = [image for image in counted if image.labels and any(image.foreground or [])]
    shown = [
        (image, reference.top1(image, 0, cell))
        for image in asked
        for cell, flag in enumerate(image.foreground or [])
        if flag
    ]
    assert found.images == len(asked)
    assert (found.share.hits, found.share.total) == (sum(k in image.labels for image, k in shown), len(shown))
    expected = mean(k in other.labels for _, k in shown for other in asked)
    assert found.shares.mean() == pytest.approx(
        expected, abs=4 * found.shares.std() / len(found.shares) ** 0.5
    )
    assert found.shares.std() > 0
    assert found.p_value == (1 + sum(found.shares >= found.share.hits / len(shown))) / 200


def test_exchanged_labels_do_not_pass(tmp_path: Path) -> None:
    """The same cells under the labels of other images: at 5 %, at most 3 of 20 pass, and 1 is expected."""
    passed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        images = known(seed)
        order = rng.permutation(len(images))
        exchanged = [
            replace(image, labels=images[other].labels, label=images[other].label)
            for image, other in zip(images, order, strict=True)
        ]
        with Index.open(make_index(tmp_path / str(seed), exchanged, size=40)) as index:
            found = shuffle_labels(index)
        assert found is not None
        passed += found.p_value <= 0.05
    assert passed <= 3


def test_of_few_images_nothing_is_judged(tmp_path: Path) -> None:
    answer = asked(tmp_path / "i", known(1, 6))
    assert [check(answer, name) for name in ("class", "rank", "context", "place")] == [None] * 4
    assert all("too few" in each.sentence for each in answer.checks if each.passes is None)


def test_an_index_without_a_head_or_annotations_is_asked_what_it_knows(tmp_path: Path) -> None:
    answer = asked(
        tmp_path / "i", placed(1, 0.0), grid=GRID, head="none", described=manifest(GRID, head="none")
    )
    assert [each.name for each in answer.checks] == ["norms", "place"]
    assert answer.verdict == "pass"
    bare = [replace(image, present=None, foreground=None) for image in known(1)]
    answer = asked(tmp_path / "bare", bare)
    assert [check(answer, name) for name in ("class", "context")] == [None, None]


def test_the_command_the_list_and_the_page_say_the_same(
    tmp_path: Path, audit: Callable[..., str], ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = make_index(Path("indexes/placed"), placed(1, 3.0), grid=GRID)
    answer = ask("hygiene")
    assert answer["verdict"] == "fail"
    assert "at the same place for" in audit("hygiene")
    assert Path("reports/placed/hygiene.png").stat().st_size > 1000
    assert ask("list")[0]["hygiene"].startswith("fail (")
    assert "placed: hygiene: fail (" in audit("list")
    (kept,) = path.glob("derived/*/answer-brief-*.json")
    assert ask("check")["is_sound"]
    content = kept.read_bytes()
    kept.write_bytes(content.replace(b"fail", b"pass"))  # as long as before: what is kept is verified
    assert not verify(path).is_sound
    assert ask("list")[0]["hygiene"].startswith("fail (")
    assert kept.read_bytes() == content
    assert ask("check")["is_sound"]
    with Index.open(path) as index:
        page = compose(index, Wish(), is_live=False, bar=Bar(quiet=True))
    assert any("not worth reading" in banner for banner in page.banners)
    assert sum(isinstance(section.record, Hygiene) for section in page.sections) == 1


def test_a_comparison_says_which_of_the_indexes_is_not_worth_reading(tmp_path: Path) -> None:
    placed_one = make_index(tmp_path / "placed", placed(1, 3.0), grid=GRID)
    sound = make_index(tmp_path / "sound", known(2))

    def unread(first: Path, other: Path) -> list[str]:
        with Index.open(first) as index, Index.open(other) as beside:
            page = compose(index, Wish(), is_live=False, bar=Bar(quiet=True), others=[beside])
        return [banner for banner in page.banners if "not worth reading" in banner]

    assert [banner.startswith("placed: ") for banner in unread(sound, placed_one)] == [True]
    assert [banner.startswith("Its cells ") for banner in unread(placed_one, sound)] == [True]


# --------------------------------------------------------------------------------- real networks


@pytest.fixture(scope="module")
def photos(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty real photos with their boxes."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "images").mkdir()
    for path in sorted((real / "ilsvrc" / "images").iterdir())[:40]:
        shutil.copy(path, folder / "images")
    return folder


@pytest.mark.parametrize(
    ("backbone", "weights", "words", "verdict", "failed"),
    [
        (
            "timm/mobilenetv2_100",
            "mobilenetv2_100_tf2",
            ("--model-arg", "pad_type=same", "--mean", "0.5", "--std", "0.5"),
            "pass",
            [],
        ),
        ("timm/deit_tiny_patch16_224", "deit_tiny_patch16_224", (), "fail", ["rank"]),
    ],
    ids=["mobilenet", "deit"],
)
def test_real_networks_pass_and_fail(
    real: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    backbone: str,
    weights: str,
    words: tuple[str, ...],
    verdict: str,
    failed: list[str],
) -> None:
    """DeiT-Tiny reads a class token: its patch tokens rank the class worse than the middle of 1,000."""
    monkeypatch.chdir(photos)
    boxes = ("--annotations", real / "ilsvrc" / "boxes")
    file = real / "weights" / f"{weights}.safetensors"
    run_audit("index", "images", *boxes, "--backbone", backbone, "--weights", file, *words, "--name", weights)
    with Index.open(photos / "indexes" / weights) as index:
        answer = hygiene(index)
    assert answer.verdict == verdict
    assert [each.name for each in answer.checks if each.passes is False] == failed
