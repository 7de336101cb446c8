"""Ledgers add up to the model's own logits; parts are those of plain loops, and planted shortcuts lead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_audit

from auditor.data.occlusion import normalise
from auditor.data.pixels import load_input
from auditor.errors import BackboneError, DatasetError
from auditor.explain.live import reopen
from auditor.measure.rates import lower_mean
from auditor.questions.cam.ask import live_scores
from auditor.questions.ledger.ask import class_detail, class_ledgers, ledger
from auditor.questions.ledger.draw import draw_ledger
from auditor.questions.ledger.record import Ledger
from auditor.report.views import pictures_of, view_of
from auditor.store import Index
from indexes import make_index, make_world, manifest, random_images, write_world

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes through an untrained ResNet, whose classes none of the objects has, and under a probe."""
    folder = tmp_path_factory.mktemp("ledger")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_audit("synth", "scenes", "--images", "24", "--seed", "3")
        words = ("--backbone", "timm/resnet18", "--weights", "random:0", "--size", "64")
        run_audit("index", "scenes", *words, "--name", "resnet")
        run_audit("index", "scenes", "--head", "probe", "--name", "probe")
    return folder / "indexes"


def logits(index: Index, path: str) -> Any:
    """The whole model on the image's pixels, as its library runs it."""
    pixels, _ = load_input(Path(index.manifest.dataset.root, path), index.manifest.preprocess)
    images = normalise(torch.tensor(pixels)[None], index.manifest.preprocess)
    backbone, _ = reopen(index, "cpu")
    with torch.no_grad():
        module: Any = backbone.anatomy.tower.module
        return module(images)[0].double().numpy()


def summed(answer: Ledger) -> tuple[float, float]:
    return sum(each.target for each in answer.entries), sum(each.rival for each in answer.entries)


@pytest.mark.parametrize("image", range(0, 12, 3))
def test_a_ledger_adds_up_to_the_models_own_logits(scenes: Index, image: int) -> None:
    answer = ledger(scenes, scenes.path_of(image))
    expected = logits(scenes, answer.path)
    assert answer.target == expected.argmax()
    assert summed(answer) == pytest.approx((expected[answer.target], expected[answer.rival]), abs=1e-5)
    assert answer.error < 1e-5
    lead = answer.foreground_margin + answer.background_margin
    bias = sum(each.margin for each in answer.entries if each.kind == "bias")
    assert lead + bias == pytest.approx(answer.target_logit - answer.rival_logit, abs=1e-5)


def test_a_ledger_of_an_untrained_resnet_adds_up(others: Path) -> None:
    with Index.open(others / "resnet") as index:
        for image in range(3):
            answer = ledger(index, index.path_of(image))
            expected = logits(index, answer.path)
            assert summed(answer) == pytest.approx(expected[[answer.target, answer.rival]], abs=1e-5)
            assert [each.name for each in answer.entries] == ["other objects", "background", "bias"]


def test_a_ledger_of_a_probe_adds_up_to_the_logit_of_its_fold(others: Path) -> None:
    """Its cells do only where each is divided by the length of the pooled vector, as they are here."""
    with Index.open(others / "probe") as index:
        for image in range(3):
            answer = ledger(index, index.path_of(image))
            _, whole = live_scores(index, answer.path, (answer.target, answer.rival), "exact")
            assert summed(answer) == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("image", [0, 3, 11])
def test_every_entry_is_that_of_plain_loops(scenes: Index, image: int) -> None:
    answer = ledger(scenes, scenes.path_of(image))
    cells, _ = live_scores(scenes, answer.path, (answer.target, answer.rival), "exact")
    _, bias = reopen(scenes, "cpu")[0].anatomy.affine
    bias = bias[[answer.target, answer.rival]].double().numpy()
    stored = scenes.query(
        "SELECT foreground, present FROM cells WHERE image = ? AND variant = 0 ORDER BY cell", [image]
    )
    parts: dict[str, list[Any]] = {}
    for cell, (flag, present) in enumerate(zip(stored["foreground"], stored["present"], strict=True)):
        names = [scenes.manifest.classes[label].name for label in present] if flag else ["background"]
        for name in names:
            own = (cells.reshape(-1, 2)[cell] - bias) / 49
            parts.setdefault(name, []).append([1 / len(names), *(own / len(names))])
    expected = {name: np.sum(rows, axis=0).tolist() for name, rows in parts.items()}
    found = {each.name: [each.cells, each.target, each.rival] for each in answer.entries}
    assert found.pop("bias")[1:] == pytest.approx(bias.tolist())
    assert set(found) == set(expected)
    for name, values in found.items():
        assert values == pytest.approx(expected[name], abs=1e-6), name
    assert answer.cells.sum() == pytest.approx(answer.foreground_margin + answer.background_margin)


def test_the_rival_is_a_label_that_was_missed_or_the_runner_up(scenes: Index) -> None:
    rows = scenes.query("SELECT path, labels, top5_original AS guesses FROM images LIMIT 5")
    for path, labels, guesses in zip(rows["path"], rows["labels"], rows["guesses"], strict=True):
        answer = ledger(scenes, path)
        assert (answer.target, answer.rival) == (guesses[0], guesses[1])
        absent = next(k for k in range(20) if k not in labels)
        against = ledger(scenes, path, target=absent)
        assert (against.target, against.rival) == (absent, labels[0])


def test_what_has_no_ledger_is_refused_with_its_reason(scenes: Index, tmp_path: Path) -> None:
    certificate = manifest().certificate
    assert certificate is not None
    images = random_images(1, 12)
    described = replace(manifest(), certificate=replace(certificate, verdict="pointwise-only"))
    with Index.open(make_index(tmp_path / "cls", images, described=described)) as index:
        for asked in (lambda: ledger(index, images[0].path), lambda: class_ledgers(index)):
            with pytest.raises(BackboneError, match="not the sum of its cells"):
                asked()
    bare = [replace(image, present=None, foreground=None, status="ok") for image in images]
    with Index.open(make_index(tmp_path / "bare", bare)) as index:
        for asked in (lambda: ledger(index, bare[0].path), lambda: class_ledgers(index)):
            with pytest.raises((DatasetError, BackboneError)):
                asked()


# --------------------------------------------------------------------------------- classes


def test_images_without_labels_give_no_class_a_ledger(tmp_path: Path) -> None:
    world = make_world(0, 8)
    unlabelled = replace(world, labels=[()] * len(world.labels))
    with Index.open(write_world(tmp_path / "i", unlabelled)) as index:
        assert class_ledgers(index).rows == ()


@pytest.mark.parametrize("seed", range(3))
def test_classes_equal_plain_loops(tmp_path: Path, seed: int) -> None:
    world = make_world(seed, 40)
    with Index.open(write_world(tmp_path / "i", world)) as index:
        rows = {row.label: row for row in class_ledgers(index).rows}
    centred = world.features @ (world.weight - world.weight.mean(axis=0)).T / 9
    for label, row in rows.items():
        own, elsewhere = [], []
        for image, labels in enumerate(world.labels):
            behind = [cell for cell in range(9) if not world.present[image][cell]]
            part = float(centred[image, behind, label].sum())
            whole = float(centred[image, :, label].sum())
            if label in labels:
                own.append((whole - part, part, len(behind)))
            elif behind:
                elsewhere.append(part / len(behind))
        foreground, background, cells = (np.array(column) for column in zip(*own, strict=True))
        null = np.mean(elsewhere) * cells
        assert row.images == len(own)
        assert row.foreground == pytest.approx(foreground.mean(), abs=2e-3)  # features are stored in fp16
        assert row.background == pytest.approx(background.mean(), abs=2e-3)
        assert row.background_elsewhere == pytest.approx(null.mean(), abs=2e-3)
        variance = np.var(elsewhere) / len(elsewhere) * np.mean(cells) ** 2
        assert row.least == pytest.approx(lower_mean(background - null, variance), abs=5e-3)
        if row.context_share is not None:
            wanted = background.sum() / (foreground + background).sum()
            assert row.context_share == pytest.approx(wanted, abs=5e-3)


def test_the_lower_end_of_a_mean_holds_what_it_says() -> None:
    rng = np.random.default_rng(0)
    draws = [rng.normal(1, 2, 8) - rng.normal(0, 2 / np.sqrt(50)) for _ in range(4000)]
    below = np.mean([(lower_mean(values, 4 / 50) or 0) < 1 for values in draws])
    assert below == pytest.approx(0.975, abs=0.01)
    assert lower_mean(np.ones(1)) is None


def test_the_planted_shortcuts_lead(scenes: Index) -> None:
    """The texture and the marker of the tour; no other class reaches half of the lesser."""
    rows = class_ledgers(scenes).rows
    assert {row.name for row in rows[:2]} == {"star dot", "triangle cross"}
    assert (rows[2].least or 0) < 0.5 * (rows[1].least or 0)
    detail = class_detail(scenes, "star dot")
    assert detail.row in rows
    assert detail.row.images == len(detail.images) == 29
    assert detail.images[0].background == max(each.background for each in detail.images)


def test_exchanged_labels_give_no_class_a_background(tmp_path: Path) -> None:
    """Ten sets of four classes whose labels were exchanged: 2.5 % of 40 are meant to be above zero."""
    above = total = 0
    for seed in range(10):
        world = make_world(seed, 40, labels=1)
        order = np.random.default_rng(seed).permutation(40)
        exchanged = replace(world, labels=[world.labels[place] for place in order])
        with Index.open(write_world(tmp_path / str(seed), exchanged)) as index:
            least = [row.least for row in class_ledgers(index).rows]
        above += sum(end is not None and end > 0 for end in least)
        total += len(least)
    assert total == 40
    assert above <= 4


def test_the_commands_show_and_draw_it(
    demo: Path, ask: Callable[..., Any], audit: Callable[..., str]
) -> None:
    shown = audit("ledger", "000003.png")
    assert "add up to the model's own logits" in shown
    record = ask("ledger", "000003.png", "--class", "star dot")
    assert record["target_name"] == "star dot"
    assert sum(each["margin"] for each in record["entries"]) == pytest.approx(
        record["target_logit"] - record["rival_logit"], abs=1e-5
    )
    assert "Context share" in audit("ledger")
    assert "Its images" in audit("ledger", "--class", "star dot")
    with Index.open(demo / "indexes" / "scenes-symbols") as index:
        answer = ledger(index, "000003.png")
        (picture,) = pictures_of(index, answer)
        drawn = np.asarray(picture.drawn())
        assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 50
        assert drawn.shape == np.asarray(draw_ledger(picture.drawn(), answer)).shape
    assert len(view_of(answer).tables[0].rows) == len(answer.entries) + 1
