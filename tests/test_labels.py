"""Missing and wrong labels: against plain loops, known ones in scenes, and exchanged labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from conftest import run_audit
from PIL import Image
from scipy.stats import binomtest

from auditor.data.scenes import CLASSES, Recipe, render, sample_scene
from auditor.errors import DatasetError
from auditor.measure.annotations import read_annotations
from auditor.questions.labels.ask import findings, labels
from auditor.records.watch import Silence
from auditor.search.among import nearest_in_others
from auditor.search.content import usable_images
from auditor.search.regions import INSIDE, MARGIN, NEAREST, SUREST, connect
from auditor.store import Index
from indexes import GRID, FakeImage, make_index, random_images, softmax

CELLS = GRID[0] * GRID[1]


def flood(won: np.ndarray[Any, Any]) -> list[frozenset[int]]:
    """Regions of one grid (H, W), each from its first cell outwards."""
    height, width = won.shape
    left, regions = {(r, c) for r in range(height) for c in range(width) if won[r, c] >= 0}, []
    while left:
        inside, edge = set(), [min(left)]
        while edge:
            r, c = edge.pop()
            if (r, c) in left:
                left.remove((r, c))
                inside.add(r * width + c)
                near = ((r + dr, c + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1))
                edge += [cell for cell in near if cell in left and won[cell] == won[r, c]]
        regions.append(frozenset(inside))
    return regions


def test_regions_are_those_of_a_flood() -> None:
    won = np.random.default_rng(0).integers(-1, 3, (20, 5, 7))
    numbers = connect(won).reshape(20, -1)
    assert sorted(np.unique(numbers[numbers >= 0])) == list(range(numbers.max() + 1))
    for grid, own in zip(won, numbers, strict=True):
        found = {frozenset(np.flatnonzero(own == number).tolist()) for number in np.unique(own[own >= 0])}
        assert found == set(flood(grid))


def labelled_images(seed: int, count: int) -> list[FakeImage]:
    images = random_images(seed, count)
    rng = np.random.default_rng(seed)
    for image in images:
        chances = -np.sort(-softmax(2 * rng.standard_normal((3, CELLS, 6))))
        image.chances = chances[..., :5]
    return images


def slow_neighbours(images: list[FakeImage], place: int, cell: int) -> list[tuple[int, int]]:
    """The NEAREST cells, one of each other labelled image, as (image, cell)."""
    query, found = images[place].features.reshape(CELLS, -1)[cell], []
    for other, image in enumerate(images):
        if other != place and image.labels:
            cosines = image.features.reshape(CELLS, -1) @ query
            found.append((-float(cosines.max()), other, int(cosines.argmax())))
    return [(other, near) for _, other, near in sorted(found)[:NEAREST]]


def is_said(image: FakeImage, cell: int, label: int) -> bool:
    return label in (image.labels if image.present is None else image.present[cell])


def slow_missing(images: list[FakeImage], share: Callable[[int, int], float]) -> dict[tuple[str, int], Any]:
    """Sureness, neighbours, p and size of the regions of every class that an image is not labelled with."""
    found: dict[tuple[str, int], Any] = {}
    for place, image in enumerate(images):
        if not image.labels or image.chances is None:
            continue
        shown, chances = image.shown[0], image.chances[0]
        won = np.where(chances[:, 0] >= MARGIN * chances[:, 1], shown[:, 0], -1)
        for region in flood(won.reshape(GRID)):
            label, sure = int(won[min(region)]), {}
            if label in image.labels:
                continue
            for cell in sorted(region):
                kept = 1.0
                if image.present is not None:
                    of = dict(zip(image.shown[2][cell].tolist(), image.chances[2][cell], strict=True))
                    kept = of.get(label, 1 - sum(of.values()))
                sure[cell] = chances[cell, 0] * (INSIDE + kept) / (1 + INSIDE)
            asked = sorted(sure, key=lambda cell: -sure[cell])[:SUREST]
            near = [pair for cell in asked for pair in slow_neighbours(images, place, cell)]
            agree = sum(is_said(images[other], cell, label) for other, cell in near)
            chance = float(np.mean([share(cell, label) for _, cell in near]))
            hits, total = agree // len(asked), len(near) // len(asked)
            p_value = binomtest(hits, total, chance, alternative="greater").pvalue if hits else 1.0
            score = float(np.mean(list(sure.values()))) * (agree + 1) / (len(near) + 2)
            region_found = (score, agree, len(near), p_value, len(region))
            found.setdefault((image.path, label), []).append(region_found)
    return found


@pytest.mark.parametrize("seed", range(2))
def test_missing_labels_are_those_of_plain_loops(tmp_path: Path, seed: int) -> None:
    images = labelled_images(seed, 60)
    with Index.open(make_index(tmp_path / "i", images)) as index:
        answer = labels(index)
    usable = [image for image in images if image.status == "ok"]
    said = [image for image in usable if image.labels]

    def share(cell: int, label: int) -> float:
        return sum(is_said(image, cell, label) for image in said) / len(said)

    wanted = slow_missing(usable, share)
    assert {(row.path, row.label) for row in answer.missing} == set(wanted)
    guesses, scored = {image.path: image.guesses[0].tolist() for image in usable}, 0
    for row in answer.missing:
        candidates = wanted[row.path, row.label]
        is_guessed = row.label in guesses[row.path]  # these images give their five guesses no probability,
        if not is_guessed:  # so that the sixth class has all of it
            scored += 1
            candidates = [max(candidates)]
            assert row.score == pytest.approx(candidates[0][0], rel=1e-5)
        assert (row.agree.hits, row.agree.total, pytest.approx(row.p_value, rel=1e-9), row.cells) in [
            each[1:] for each in candidates
        ]
    assert scored


def test_the_nearest_cells_are_those_of_brute_force(tmp_path: Path) -> None:
    images = random_images(3, 30)
    with Index.open(make_index(tmp_path / "i", images)) as index:
        ids = usable_images(index)
        cells = ids[:5] * CELLS + 4
        found, cosines = nearest_in_others(index, cells, ids, 4, Silence())
        vectors = {int(image): index.features(int(image)).reshape(CELLS, -1) for image in ids}
    for cell, near, cosine in zip(cells.tolist(), found, cosines, strict=True):
        query = vectors[cell // CELLS][cell % CELLS]
        best = sorted(
            (-(vectors[image] @ query).max(), image * CELLS + (vectors[image] @ query).argmax())
            for image in vectors
            if image != cell // CELLS
        )[:4]
        assert near.tolist() == [place for _, place in best]
        assert cosine == pytest.approx([-value for value, _ in best], abs=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_annotations_are_those_of_plain_loops(tmp_path: Path, seed: int) -> None:
    images = random_images(seed, 40)
    for image in images[::2]:
        image.labels += image.labels[:1]  # said twice is said once
    images[3] = replace(images[3], status="ok", labels=(4,), present=None, foreground=None)
    with Index.open(make_index(tmp_path / "i", images, removed=[1, 2])) as index:
        said = read_annotations(index, usable_images(index))
    usable = reference.counted(images, [1, 2])
    everywhere = [[set(image.labels)] * CELLS if image.present is None else image.present for image in usable]
    for (place, image), cells in zip(enumerate(usable), everywhere, strict=True):
        flags = [bool(image.labels)] * CELLS if image.foreground is None else image.foreground
        assert said.foreground[place].tolist() == flags
        assert said.is_labelled[place] == bool(image.labels)
        for label in range(6):
            assert said.has_label(np.array([place]), np.array([label])) == (label in image.labels)
            marks = said.has_mark(place * CELLS + np.arange(CELLS), np.full(CELLS, label))
            assert marks.tolist() == [label in cell for cell in cells]
    assert not said.has_mark(np.array([-1]), np.array([0])).any()
    labelled = sum(bool(image.labels) for image in usable)
    expected = [
        [sum(k in cells[c] for cells in everywhere) / labelled for k in range(6)] for c in range(CELLS)
    ]
    assert said.shares() == pytest.approx(np.array(expected))
    assert len(said.labels) == sum(len(set(image.labels)) for image in usable)
    assert len(said.marks) == sum(len(cell) for cells in everywhere for cell in cells)


def test_exchanged_annotations_go_together(tmp_path: Path) -> None:
    images = [image for image in random_images(4, 60) if image.status == "ok"]
    with Index.open(make_index(tmp_path / "i", images)) as index:
        said = read_annotations(index, usable_images(index))
    other = said.exchanged(np.random.default_rng(0))

    def by_image(these: Any) -> list[Any]:
        classes = np.arange(these.classes)
        found = []
        for place in range(len(images)):
            cells, marked = these.marks_of(np.array([place]))
            assert these.has_mark(cells, marked).all()
            labels = classes[these.has_label(np.full(these.classes, place), classes)].tolist()
            marks = [*zip((cells - place * these.cells).tolist(), marked.tolist(), strict=True)]
            found.append((labels, marks, these.foreground_of(np.array([place])).tolist()))
        return found

    mine, others = by_image(said), by_image(other)
    assert sorted(mine) == sorted(others)
    assert mine != others
    assert said.is_labelled.tolist() == other.is_labelled.tolist()


def test_what_cannot_be_asked_is_said(tmp_path: Path) -> None:
    images = random_images(1, 6)
    for image in images:
        image.label, image.labels = None, ()
    path = make_index(tmp_path / "unlabelled", images)
    with Index.open(path) as index, pytest.raises(DatasetError, match="no image of unlabelled is labelled"):
        labels(index)


# ------------------------------------------------------------------------------------- known answers


def write_hidden(folder: Path, images: int) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Scenes of which half of the labels are hidden, one in ten has a wrong one: (path, class) of both."""
    rng = np.random.default_rng(1)
    lines, hidden, wrong = [], set(), set()
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(images):
        scene, file = sample_scene(Recipe(9), number), f"{number:04d}.png"
        drawn, there = render(scene), sorted({symbol.label for symbol in scene.symbols})
        given = [k for k in there if rng.random() < 0.5] or there[:1]
        mask = np.where(np.isin(drawn.semantic, [k + 1 for k in given]), drawn.semantic, 0).astype(np.uint8)
        if number % 10 == 0:
            old, new = given[0], next(k for k in range(len(CLASSES)) if k not in there)
            mask[mask == old + 1] = new + 1
            given = sorted({new, *given} - {old})
            wrong.add((f"images/{file}", CLASSES[new]))
        hidden |= {(f"images/{file}", CLASSES[k]) for k in there if k not in given}
        drawn.image.save(folder / "images" / file)
        Image.fromarray(mask).save(folder / "masks" / file)
        line = {"path": f"images/{file}", "label": CLASSES[given[0]], "mask": f"masks/{file}"}
        lines.append(json.dumps(line | {"labels": [CLASSES[k] for k in given]}))
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return hidden, wrong


def test_hidden_and_wrong_labels_of_scenes_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    hidden, wrong = write_hidden(tmp_path / "scenes", 200)
    run_audit("index", "scenes", "--backbone", "symbols")
    answer = ask("labels")
    ranked = [(row["path"], row["name"]) for row in answer["missing"]]
    assert sum(each in hidden for each in ranked[:100]) == 100
    certain = [(row["path"], row["name"]) for row in answer["missing"] if row["is_certain"]]
    assert sum(each in hidden for each in certain) >= 0.9 * len(certain)
    assert len(hidden & set(certain)) >= 0.6 * len(hidden)
    assert sum((row["path"], row["name"]) in wrong for row in answer["wrong"][:10]) == 10
    sure = {(row["path"], row["name"]) for row in answer["wrong"] if row["is_certain"]}
    assert sure <= wrong
    assert max(answer["missing_by_chance"]) <= 2
    assert max(answer["wrong_by_chance"]) <= 2
    with Index.open(tmp_path / "indexes" / "scenes-symbols") as index:
        found = list(findings(index))
    assert found
    assert all(finding.rate.hits > max(answer["missing_by_chance"]) for finding in found)
