"""Causes of errors: against plain loops, planted cases of each, and wrong labels that are known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cause_reference import ORDER, cause_of
from conftest import run_audit
from PIL import Image
from predictions import read_rows, write_predictions

from auditor.data.scenes import CLASSES, Recipe, Scene, render, sample_scene
from auditor.errors import DatasetError
from auditor.measure.significance import exceeds
from auditor.questions.causes.ask import causes, findings
from auditor.questions.confusion.ask import confusion
from auditor.store import Index
from indexes import FakeImage, make_index, random_images

CELLS = 9


def expected(images: list[FakeImage]) -> dict[str, str]:
    """The cause of every wrong image by its path."""
    found = {}
    for image in images:
        predicted = int(image.guesses[0, 0])
        if image.status != "ok" or image.label is None or predicted == image.label:
            continue
        own = None if image.present is None else [image.label in here for here in image.present]
        chances = [0.5] * CELLS if image.chances is None else image.chances[0, :, 0].tolist()
        top1 = image.shown[0, :, 0].tolist()
        found[image.path] = cause_of(image.label, predicted, top1, chances, image.foreground, own)
    return found


@pytest.mark.parametrize("seed", range(2))
def test_every_cause_is_that_of_plain_loops(tmp_path: Path, seed: int) -> None:
    images = random_images(seed, 60)
    rng = np.random.default_rng(seed)
    for image in images:
        image.chances = np.sort(rng.random((3, CELLS, 5)).astype(np.float32))[..., ::-1]
    with Index.open(make_index(tmp_path / "i", images)) as index:
        answer, accuracy = causes(index), confusion(index).top1
    assert {each.path: each.cause for each in answer.images} == expected(images)
    assert answer.wrong.total == accuracy.total
    assert answer.wrong.hits == accuracy.total - accuracy.hits
    counted = Counter(expected(images).values())
    assert {each.cause: each.images.hits for each in answer.causes} == {name: counted[name] for name in ORDER}
    for row in answer.classes:
        assert sum(getattr(row, name).hits for name in ORDER) == row.wrong.hits
    assert sum(row.wrong.hits for row in answer.classes) == answer.wrong.hits


def plant(path: str, top1: list[int], own: list[int], others: tuple[int, ...] = ()) -> FakeImage:
    """An image labelled 1 and taken for 2, its object in cells `own`, another one of class 2 in `others`."""
    chosen = random_images(0, 1)[0]
    present = [{1} if cell in own else {2} if cell in others else set() for cell in range(CELLS)]
    shown = np.array([[[top, *(k for k in range(6) if k != top)][:5] for top in top1]] * 3)
    return replace(
        chosen, path=path, label=1, labels=(1,), present=present, status="ok", true_name=None, shown=shown,
        foreground=[bool(here) for here in present], guesses=np.array([[2, 3, 4, 5, 0]] * 3),
    )  # fmt: skip


PLANTED = {
    "label_suspect": ([3, 3, 3, 2, 2, 2, 3, 3, 3], [3, 4, 5], ()),
    "competing": ([1, 3, 3, 2, 2, 3, 3, 3, 3], [0, 1], (3, 4)),
    "background": ([3, 3, 3, 3, 3, 3, 2, 2, 2], [0, 1, 2], ()),
    "diluted": ([1, 2, 2, 3, 3, 3, 3, 3, 3], [0, 1, 2], ()),
    "absent": ([3, 2, 3, 1, 3, 3, 3, 3, 3], [0, 1, 2], ()),
}


def test_a_planted_case_of_each(tmp_path: Path) -> None:
    images = [plant(f"{name}.jpg", *case) for name, case in PLANTED.items()]
    with Index.open(make_index(tmp_path / "i", images)) as index:
        answer = causes(index)
    assert {each.path: each.cause for each in answer.images} == {f"{name}.jpg": name for name in PLANTED}
    suspect = next(each for each in answer.images if each.cause == "label_suspect")
    assert (suspect.on_object.hits, suspect.on_background.hits, suspect.cell) == (3, 0, f"{suspect.path}:1,0")


def test_without_annotation_every_cell_is_the_objects(tmp_path: Path) -> None:
    images = [plant(f"{name}.jpg", *case) for name, case in PLANTED.items()]
    for image in images:
        image.present = image.foreground = None
    with Index.open(make_index(tmp_path / "i", images)) as index:
        answer = causes(index)
    assert {each.path: each.cause for each in answer.images} == expected(images)
    assert {each.cause for each in answer.images} <= {"label_suspect", "diluted", "absent"}
    assert answer.annotated.hits == 0


def test_a_class_that_its_surroundings_decide_is_a_finding_and_exchanged_labels_are_none(
    tmp_path: Path,
) -> None:
    """12 images of one class are won by their background, 12 of another by an object like their own."""
    driven = [plant(f"a{n}.jpg", *PLANTED["background"]) for n in range(12)]
    seen = [plant(f"b{n}.jpg", [4, 4, 4, 3, 3, 3, 2, 2, 1], [6, 7, 8]) for n in range(12)]
    for image in seen:
        image.label, image.labels = 4, (4,)
        image.present = [{4} if here else set() for here in image.present or ()]
    with Index.open(make_index(tmp_path / "i", [*driven, *seen])) as index:
        (finding,), answer = findings(index), causes(index)
    assert finding.subject == "Class 1"
    assert finding.rate.hits == 12
    row = next(each for each in answer.classes if each.label == 1)
    assert row.background_chance == pytest.approx(0.5, abs=0.15)
    assert row.p_value == pytest.approx(exceeds(12, 12, row.background_chance or 0), rel=1e-12)
    assert finding.strength == pytest.approx((finding.interval or (0, 0))[0] - (row.background_chance or 0))


def test_what_cannot_be_asked_is_said(tmp_path: Path) -> None:
    images = random_images(1, 6)
    for image in images:
        image.label, image.labels = None, ()
    path = make_index(tmp_path / "unlabelled", images)
    with Index.open(path) as index, pytest.raises(DatasetError, match="no image of unlabelled is labelled"):
        causes(index)


def test_on_the_predictions_of_real_photos(real: Path, tmp_path: Path) -> None:
    rows = read_rows(real, "mean")
    with Index.open(write_predictions(real, tmp_path / "index", rows)) as index:
        answer = causes(index)
    for row in rows:
        top1, own = [int(k) for k in row["cells"].split()], [flag == "1" for flag in row["fg_cells"]]
        truth = cause_of(int(row["label"]), int(row["pred"]), top1, [0.5] * len(top1), own, own)
        found = [each.cause for each in answer.images if each.path == row["file"]]
        assert found == ([truth] if row["pred"] != row["label"] else [])
    shares = {each.cause: each for each in answer.causes}
    assert answer.wrong.hits == sum(row["pred"] != row["label"] for row in rows) == 71
    assert (shares["diluted"].images.value or 0) > 20 * (shares["diluted"].chance or 1)


# ------------------------------------------------------------------------------------- known wrong labels


def write_mislabelled(folder: Path, images: int, every: int, *, alone: bool) -> set[str]:
    """Scenes, in one of `every` the target's object bears a wrong class; the paths of these."""
    lines, wrong = [], set()
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(images):
        scene, file = sample_scene(Recipe(5), number), f"{number:04d}.png"
        target = next(symbol for symbol in scene.symbols if symbol.label == scene.target)
        if alone:
            scene = Scene((target,), scene.target, scene.background, False, None)
        drawn = render(scene)
        is_wrong, said = number % every == 0, scene.target
        if is_wrong:
            free = [k for k in range(len(CLASSES)) if k not in {symbol.label for symbol in scene.symbols}]
            said = free[number // every % len(free)]
            wrong.add(f"images/{file}")
        mask = np.where(drawn.semantic == scene.target + 1, said + 1, drawn.semantic).astype(np.uint8)
        drawn.image.save(folder / "images" / file)
        Image.fromarray(mask).save(folder / "masks" / file)
        classes = {said if symbol.label == scene.target else symbol.label for symbol in scene.symbols}
        line = {"path": f"images/{file}", "label": CLASSES[said], "mask": f"masks/{file}"}
        lines.append(json.dumps(line | {"labels": sorted(CLASSES[k] for k in classes)}))
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return wrong


@pytest.mark.parametrize("alone", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_planted_wrong_labels_are_suspect_and_right_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Any], alone: bool
) -> None:
    """One object in an image: 9 of 15 are found; of several, 3. None is found wrongly."""
    monkeypatch.chdir(tmp_path)
    wrong = write_mislabelled(tmp_path / "scenes", 150, 10, alone=alone)
    run_audit("index", "scenes", "--backbone", "symbols")
    answer = ask("causes")
    suspect = {each["path"] for each in answer["images"] if each["cause"] == "label_suspect"}
    assert suspect <= wrong
    assert len(suspect) >= (9 if alone else 3)
    shares = {each["cause"]: each for each in answer["causes"]}
    assert sum(each["images"]["hits"] for each in shares.values()) == answer["wrong"]["hits"]
    if not alone:
        competing = shares["competing"]
        assert competing["interval"][0] > 1.5 * competing["chance"]
