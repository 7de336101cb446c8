"""Confusion of whole images, against plain loops, and a planted pair."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from auditor.errors import DatasetError
from auditor.questions.confusion.ask import confusion
from auditor.questions.confusion.draw import draw_matrix
from auditor.store import Index
from indexes import FakeImage, make_index, random_images


def reference(images: list[FakeImage]) -> tuple[Counter[tuple[int, int]], Counter[int], Counter[int]]:
    """Confused pairs, right images and all images of each class, one image at a time."""
    pairs: Counter[tuple[int, int]] = Counter()
    right: Counter[int] = Counter()
    total: Counter[int] = Counter()
    for image in images:
        if image.status != "ok" or image.label is None:
            continue
        predicted = int(image.guesses[0, 0])
        total[image.label] += 1
        if predicted == image.label:
            right[image.label] += 1
        elif predicted not in image.labels:
            pairs[image.label, predicted] += 1
    return pairs, right, total


def rivals(images: list[FakeImage]) -> dict[int, tuple[Counter[int], int]]:
    """For each class the other classes that its cells show, and how many cells were looked at."""
    shown: dict[int, tuple[Counter[int], int]] = {}
    for image in images:
        if image.status != "ok" or image.label is None:
            continue
        counter, cells = shown.get(image.label, (Counter(), 0))
        for cell, top in enumerate(image.shown[0, :, 0].tolist()):
            if image.foreground is None or image.foreground[cell]:
                cells += 1
                counter.update([top] if top not in image.labels else [])
        shown[image.label] = counter, cells
    return shown


@pytest.mark.parametrize("seed", range(4))
def test_every_count_is_that_of_plain_loops(tmp_path: Path, seed: int) -> None:
    images = random_images(seed, 40)
    pairs, right, total = reference(images)
    with Index.open(make_index(tmp_path / "i", images)) as index:
        answer = confusion(index)
    assert {(pair.label, pair.predicted): pair.images.hits for pair in answer.pairs} == pairs
    assert {row.label: (row.top1.hits, row.top1.total) for row in answer.classes} == {
        label: (right[label], count) for label, count in total.items()
    }
    assert answer.images == total.total()
    for row in answer.classes:
        counter, cells = rivals(images)[row.label]
        assert row.rival_cells.total == cells or not counter
        assert row.rival_cells.hits == max(counter.values(), default=0)
        if row.rival is not None:
            assert counter[row.rival] == row.rival_cells.hits


def test_the_planted_pair_comes_first_and_its_rival_beside_it(tmp_path: Path) -> None:
    images = random_images(3, 30)
    for image in images[:20]:
        image.status, image.label, image.labels = "ok", 1, (1,)
        image.guesses[:, :] = [4, 1, 2, 3, 0]
        image.shown[0, :, 0] = 4
    with Index.open(make_index(tmp_path / "i", images)) as index:
        answer = confusion(index)
    first = answer.pairs[0]
    assert (first.label, first.predicted) == (1, 4)
    assert first.images.hits >= 20
    worst = next(row for row in answer.classes if row.label == 1)
    assert worst.rival == 4
    drawn = np.asarray(draw_matrix(answer))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 20


def test_what_cannot_be_asked_is_said(tmp_path: Path) -> None:
    images = random_images(1, 6)
    for image in images:
        image.label, image.labels = None, ()
    with (
        Index.open(make_index(tmp_path / "unlabelled", images)) as index,
        pytest.raises(DatasetError, match="no image of unlabelled is labelled"),
    ):
        confusion(index)
