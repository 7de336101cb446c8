"""Contexts that fire classes: planted ones first, shares of plain loops, none with exchanged labels."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import fisher_exact, rankdata

from auditor.errors import DatasetError
from auditor.measure.shrinkage import shrink
from auditor.measure.staying import Staying, find_staying
from auditor.questions.shortcuts import ask as module
from auditor.questions.shortcuts.ask import RUNS, findings, rank_classes, shortcuts
from auditor.questions.shortcuts.record import Shortcuts, certain
from auditor.report.views import pictures_of, view_of
from auditor.store import Index
from auditor.store.scores import stored_scores
from indexes import CLASSES, FakeImage, make_index, make_world, random_images, write_world

PLANTED = ["star dot", "triangle cross"]
GRID = (6, 6)


@pytest.fixture(scope="module")
def answer(scenes: Index) -> Shortcuts:
    return shortcuts(scenes)


# ------------------------------------------------------------------------------- planted contexts


def test_the_planted_contexts_are_the_certain_ones_the_texture_first(
    scenes: Index, answer: Shortcuts
) -> None:
    assert list(dict.fromkeys(each.name for each in certain(answer))) == PLANTED
    assert [row.name for row in answer.classes[:2]] == PLANTED
    first, second, third = (row.expected or 0.0 for row in answer.classes[:3])
    assert (first > 0.7, second > 0.3, third < 0.05) == (True, True, True)
    rows = scenes.query("SELECT path, metadata FROM images")
    said = dict(zip(rows["path"], map(json.loads, rows["metadata"]), strict=True))
    for context in certain(answer):
        planted = "has_texture" if context.name == PLANTED[0] else "has_marker"
        assert {said[cell.rpartition(":")[0]][planted] for cell in context.exemplars} == {"true"}
        assert context.elsewhere.hits <= 1


def test_exchanged_labels_make_no_context_certain(answer: Shortcuts) -> None:
    assert answer.by_chance == (0,) * RUNS


def test_the_findings_name_the_planted_contexts(scenes: Index) -> None:
    found = list(findings(scenes))
    assert [each.subject for each in found] == PLANTED
    assert all(each.strength > 0.2 and "% of its logit" in each.sentence for each in found)


def test_shares_of_the_logit_are_those_of_plain_loops(
    scenes: Index, answer: Shortcuts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cell's score, less the mean of all classes, added up over the cells that stay."""
    monkeypatch.setattr(module, "MOST", 1)
    whole_classes: Shortcuts = inspect.unwrap(shortcuts)(scenes)  # and not what it was asked before
    assert len(whole_classes.contexts) == len({each.label for each in whole_classes.contexts}) > 5
    scores, staying = stored_scores(scenes), find_staying(scenes)
    assert scores is not None
    weight = scores.head.weight[0].astype(np.float64)
    cells_of_class: dict[int, set[int]] = {}
    for cell, label in zip(staying.cells.tolist(), staying.classes.tolist(), strict=True):
        cells_of_class.setdefault(label, set()).add(cell)
    for context in whole_classes.contexts:
        label = context.label
        part = whole = 0.0
        for place, image in enumerate(staying.images.tolist()):
            if not staying.has(np.array(label), np.array(place)):
                continue
            features, norms = scenes.features(image).reshape(49, -1), scenes.norms(image).ravel()
            for cell in range(49):
                logits = weight @ (features[cell].astype(np.float64) * float(norms[cell])) / 49
                added = float(logits[label] - logits.mean())
                whole += added
                part += added if image * 49 + cell in cells_of_class[label] else 0.0
        assert context.logit_share == pytest.approx(part / whole, abs=1e-5)
        parts = [each.logit_share or 0.0 for each in answer.contexts if each.label == label]
        (own,) = (row.logit_share for row in answer.classes if row.label == label)
        assert own == pytest.approx(sum(parts))


# --------------------------------------------------------------------------------- counts and tests


def images_with_corners(seed: int, count: int = 15) -> list[FakeImage]:
    """Random images whose objects lie in a corner of the grid, so that there are free cells."""
    rng = np.random.default_rng(seed)
    made = []
    for image in random_images(seed, count, GRID):
        inside = rng.integers(1, 5, 2)
        flags = [row < inside[0] and col < inside[1] for row in range(6) for col in range(6)]
        shown = image.shown.copy()
        again = rng.random(36) < 0.5
        shown[2, again] = shown[0, again]
        present = [set(image.labels) if flag else set() for flag in flags]
        made.append(replace(image, present=present, foreground=flags, shown=shown))
    return made


@pytest.mark.parametrize("seed", range(2))
def test_every_count_is_that_of_plain_loops(tmp_path: Path, seed: int) -> None:
    images = images_with_corners(seed)
    with Index.open(make_index(tmp_path / "i", images, grid=GRID)) as index:
        answer, staying = shortcuts(index), find_staying(index)
    hits: dict[int, list[int]] = {}
    free: list[int] = []
    labels: list[tuple[int, ...]] = []
    for image in images:
        flags = np.array(image.foreground).reshape(GRID)
        if image.status != "ok" or not image.labels:
            continue
        inside = []
        for row in range(6):
            for col in range(6):
                near = flags[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2]
                if not near.any():
                    inside.append(row * 6 + col)
        if not inside:
            continue
        free.append(len(inside))
        labels.append(image.labels)
        both = [int(image.shown[0, c, 0]) for c in inside if image.shown[0, c, 0] == image.shown[2, c, 0]]
        for label in range(CLASSES):
            hits.setdefault(label, []).append(both.count(label))
    assert answer.images == len(free)
    assert staying.free.tolist() == free
    exchanged = staying.exchanged(np.random.default_rng(0))
    given, own = (np.stack([each.are_of(c) for c in range(CLASSES)]) for each in (exchanged, staying))
    assert sorted(given.T.tolist()) == sorted(own.T.tolist())
    assert (given != own).any()
    for found in answer.classes:
        own = [found.label in each for each in labels]
        said = [count > 0 for count in hits[found.label]]
        others = [k for k, flag in enumerate(own) if not flag]
        base = sum(hits[found.label][k] for k in others) / sum(free[k] for k in others)
        nulls = [1 - (1 - base) ** free[k] for k in range(len(free)) if own[k]]
        assert found.images == found.stays.total == sum(own)
        assert found.stays.hits == sum(a and b for a, b in zip(own, said, strict=True))
        assert found.chance == pytest.approx(np.mean(nulls))
        contexts = [each for each in answer.contexts if each.label == found.label]
        if len(contexts) == 1:  # of few cells all are one context
            table = np.zeros((2, 2), int)
            for a, b in zip(own, said, strict=True):
                table[int(not a), int(not b)] += 1
            (context,) = contexts
            assert (context.images.hits, context.elsewhere.hits) == (table[0, 0], table[1, 0])
            expected = fisher_exact(table, alternative="greater").pvalue
            is_tested = sum(own) >= 2 and table[:, 0].sum() >= 3
            assert context.p_value == (pytest.approx(expected) if is_tested else None)
    assert "own head" in (answer.reason or "") or "affine" in (answer.reason or "")
    assert any(len([each for each in answer.contexts if each.label == k]) == 1 for k in range(CLASSES))


def test_what_cannot_be_asked_is_said(tmp_path: Path) -> None:
    with (
        Index.open(write_world(tmp_path / "original", make_world(0, 12))) as index,
        pytest.raises(DatasetError, match="objects covered"),
    ):
        shortcuts(index)
    images = random_images(0, 6)
    bare = [replace(image, present=None, foreground=None, status="ok", labels=(1,)) for image in images]
    with (
        Index.open(make_index(tmp_path / "bare", bare)) as index,
        pytest.raises(DatasetError, match="nothing is annotated"),
    ):
        shortcuts(index)
    middle = [
        replace(image, present=[set()] * 9, foreground=[k == 4 for k in range(9)], status="ok", labels=(1,))
        for image in images
    ]
    with (
        Index.open(make_index(tmp_path / "middle", middle)) as index,
        pytest.raises(DatasetError, match="touches an object"),
    ):
        shortcuts(index)


# ------------------------------------------------------------------------------------- the ranking


def test_shrunk_rates_are_what_rates_are_on_average() -> None:
    """Of 20,000 groups with rates from a known distribution: of those that are given r, the mean is r."""
    rng = np.random.default_rng(0)
    rates, sizes = rng.beta(0.4, 1.6, 20_000), rng.integers(1, 9, 20_000)
    groups = np.repeat(np.arange(20_000), sizes)
    chances = rng.uniform(0, 0.6, len(groups))
    hits = rng.random(len(groups)) < chances + (1 - chances) * rates[groups]
    found = shrink(groups, hits, chances, 20_000)
    order = np.argsort(found)
    for part in np.array_split(order, 10):
        assert found[part].mean() == pytest.approx(rates[part].mean(), abs=0.02)
    single = found[(sizes == 1) & (np.bincount(groups, hits) == 1)]
    several = found[(sizes >= 5) & (np.bincount(groups, hits) == sizes) & (np.bincount(groups, chances) < 1)]
    assert single.max() < several.min()


@dataclass(frozen=True)
class Study:
    """Which classes (K,) are planted, what stays, the images of each, and the rates that others rank by."""

    planted: np.ndarray[Any, Any]
    staying: Staying
    images: np.ndarray[Any, Any]
    others: dict[str, np.ndarray[Any, Any]]


def study(seed: int, classes: int = 150, planted: float = 0.25) -> Study:
    """Classes of one to eight images and 1 to 49 background cells, a quarter with a context of their own.

    The context lies in 30 to 100 % of a planted class's images. In the background of all images patches of
    four cells say some class, a few classes far more often than others. Beside objects their class leaks into
    the original's background, and in the covered image's the outline may say it: rates count both, free cells
    neither, but of these there are half as many.
    """
    rng = np.random.default_rng(seed)
    is_planted = rng.random(classes) < planted
    sizes = np.minimum(rng.geometric(0.35, classes), 8)
    base = np.exp(rng.normal(-7, 1.6, classes)).clip(0, 0.1)
    extent, follows = rng.beta(2, 2, classes), rng.uniform(0.3, 1, classes)
    leaks, outline = rng.uniform(0.2, 0.8, classes), rng.beta(1, 9, classes)
    labels = np.repeat(np.arange(classes), sizes)
    background = np.maximum(rng.binomial(49, extent[labels]), 1)
    free = np.maximum(background // 2, 1)
    cells, said, places, rows = [], [], [], []
    for image, (label, behind, count) in enumerate(zip(labels, background, free, strict=True)):
        draws = rng.choice(classes + 1, behind // 4 + 1, p=[*base, 1 - base.sum()])
        shown = np.repeat(draws, 4)[:behind]
        if is_planted[label] and rng.random() < follows[label]:
            shown[: 1 + rng.binomial(behind - 1, 0.4)] = label
        shown = rng.permutation(shown)
        inside = np.flatnonzero(shown[:count] < classes)
        cells += (image * 49 + inside).tolist()
        said += shown[inside].tolist()
        places += [image] * len(inside)
        without = (shown == label).any() or rng.random() < outline[label]
        original = (shown == label).any() or rng.random() < leaks[label]
        rows.append((original, without, behind))
    original, without, behind = (
        np.bincount(labels, column, classes) / sizes for column in np.array(rows, float).T
    )
    staying = Staying(
        images=np.arange(len(labels)),
        free=free,
        labels=np.flatnonzero(np.arange(classes)[:, None] == labels),
        cells=np.array(cells),
        classes=np.array(said),
        places=np.array(places),
        is_free=np.ones(len(cells), bool),
    )
    rates = {"without": without, "bg_act": original, "delta": without - original, "cells": behind}
    return Study(is_planted, staying, sizes, rates)


def auc(scores: Any, truth: np.ndarray[Any, Any]) -> float:
    """How often a planted class is ahead of another one."""
    ranks, count = rankdata(scores), int(truth.sum())
    return float((ranks[truth].sum() - count * (count + 1) / 2) / (count * (len(truth) - count)))


def compare(seeds: range) -> dict[str, dict[str, float]]:
    """By how many images the classes have, and by what ranks them, the mean AUC over studies."""
    found: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        made = study(seed)
        rows = rank_classes(made.staying, [str(k) for k in range(len(made.planted))])
        place, stays = np.empty(len(rows)), np.empty(len(rows))
        labels = [row.label for row in rows]
        place[labels], stays[labels] = -np.arange(len(rows)), [row.stays.value or 0.0 for row in rows]
        assert rows[0].images > 1
        parts = {"all": made.images > 0, "one or two": made.images < 3, "three or more": made.images >= 3}
        for name, chosen in parts.items():
            for by, scores in (made.others | {"stays": stays, "ours": place}).items():
                area = auc(scores[chosen], made.planted[chosen])
                found.setdefault(name, {}).setdefault(by, []).append(area)
    return {name: {by: float(np.mean(areas)) for by, areas in each.items()} for name, each in found.items()}


def test_the_ranking_finds_planted_classes_better_than_rates_do() -> None:
    """At any number of images; beside the rates, the mere number of background cells says nothing here."""
    for areas in compare(range(12)).values():
        ours = areas.pop("ours")
        assert ours > 0.79
        assert all(ours > area for area in areas.values()), (ours, areas)


# ------------------------------------------------------------------------------------- the command


def test_the_command_shows_and_draws_it(
    demo: Path, ask: Callable[..., Any], audit: Callable[..., str]
) -> None:
    said = audit("shortcuts")
    assert "Contexts that fire a class" in said
    assert "With exchanged labels 20 runs had 0" in said
    record = ask("shortcuts")
    assert record["contexts"][0]["name"] == PLANTED[0]
    assert record["reason"] is None
    with Index.open(demo / "indexes" / "scenes-symbols") as index:
        found = shortcuts(index)
        (picture,) = pictures_of(index, found)
        assert len(np.unique(np.asarray(picture.drawn()).reshape(-1, 3), axis=0)) > 50
    assert len(view_of(found).tables[0].rows) == len(certain(found))
