"""Synthetic scenes against A.2, and their masks against the rendered pixels."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auditor.data.read import read_dataset
from auditor.data.scenes import (
    CLASSES,
    COUNTS,
    MARKER,
    SCALES,
    SIDE,
    Recipe,
    render,
    render_image,
    sample_scene,
)
from auditor.errors import DatasetError

PLAIN = Recipe(seed=3)
PLANTED = Recipe(seed=3, texture_class=3, marker_class=12)


def test_scenes_follow_the_paper() -> None:
    scenes = [sample_scene(PLAIN, number) for number in range(2000)]
    counts = Counter(len(scene.symbols) for scene in scenes)
    assert set(counts) == set(COUNTS)
    assert all(abs(count / len(scenes) - 1 / 3) < 0.05 for count in counts.values())
    for scene in scenes:
        labels = [symbol.label for symbol in scene.symbols]
        assert len(set(labels)) == len(labels)
        assert scene.target in labels
        assert min(scene.background) >= 200
    symbols = [symbol for scene in scenes for symbol in scene.symbols]
    assert {symbol.label for symbol in symbols} == set(range(20))
    scales, rotations = (np.array([getattr(s, name) for s in symbols]) for name in ("scale", "rotation"))
    assert scales.min() >= SCALES[0]
    assert scales.max() <= SCALES[1]
    assert abs(scales.mean() - sum(SCALES) / 2) < 1
    assert -180 <= rotations.min() < -170
    assert 170 < rotations.max() <= 180


def test_expected_image_accuracy_is_the_papers() -> None:
    """A perfect model names one of n visible classes: E[1/n] is 26.1 % (4.4)."""
    assert math.isclose(sum(1 / n for n in COUNTS) / len(COUNTS), 0.261, abs_tol=5e-4)


def test_a_scene_depends_on_its_recipe_and_number_alone() -> None:
    assert sample_scene(PLAIN, 17) == sample_scene(PLAIN, 17)
    assert sample_scene(PLAIN, 17) != sample_scene(PLAIN, 18)
    assert sample_scene(PLAIN, 17) != sample_scene(replace(PLAIN, seed=4), 17)


def test_planting_a_fault_changes_nothing_else() -> None:
    for number in range(50):
        plain, planted = sample_scene(PLAIN, number), sample_scene(PLANTED, number)
        assert planted.symbols == plain.symbols
        assert planted.target == plain.target


def test_planted_faults_go_with_their_classes() -> None:
    scenes = [sample_scene(PLANTED, number) for number in range(3000)]
    for label, has_fault in ((3, lambda s: s.has_texture), (12, lambda s: s.marker_at is not None)):
        inside = [has_fault(s) for s in scenes if label in {symbol.label for symbol in s.symbols}]
        outside = [has_fault(s) for s in scenes if label not in {symbol.label for symbol in s.symbols}]
        assert abs(np.mean(inside) - PLANTED.strength) < 0.03
        assert abs(np.mean(outside) - PLANTED.leak) < 0.01


def test_masks_are_exactly_the_pixels_that_a_symbol_changes() -> None:
    """Independent of the drawing: leave one symbol out and see which pixels differ."""
    for number in range(12):
        scene = sample_scene(PLANTED, number)
        rendered = render(scene)
        full = np.asarray(rendered.image).astype(int)
        assert np.array_equal(full, np.asarray(render_image(scene)))
        for instance, symbol in enumerate(scene.symbols, start=1):
            rest = replace(scene, symbols=scene.symbols[: instance - 1] + scene.symbols[instance:])
            changed = (full != np.asarray(render_image(rest)).astype(int)).any(-1)
            mine = rendered.instance == instance
            assert (changed <= mine).all()
            # A pixel may keep its colour by chance; no more than that.
            assert changed.sum() >= 0.98 * mine.sum()
            assert (rendered.semantic[mine] == symbol.label + 1).all()
        assert ((rendered.semantic > 0) == (rendered.instance > 0)).all()


def test_the_marker_is_a_checker_in_a_corner_and_no_foreground() -> None:
    scene = next(s for n in range(200) if (s := sample_scene(PLANTED, n)).marker_at is not None)
    left, top = scene.marker_at
    rendered = render(scene)
    patch = np.asarray(rendered.image)[top : top + MARKER, left : left + MARKER]
    assert set(np.unique(patch)) == {0, 255}
    assert not rendered.semantic[top : top + MARKER, left : left + MARKER].any()
    assert min(left, SIDE - MARKER - left) <= 6
    assert min(top, SIDE - MARKER - top) <= 6


def test_files_hold_the_scene(tmp_path: Path, audit: Callable[..., str]) -> None:
    out = tmp_path / "scenes"
    audit("synth", out, "--images", 4, "--seed", 3, "--texture", "star dot", "--marker", "triangle cross")
    scene, rendered = sample_scene(PLANTED, 2), render(sample_scene(PLANTED, 2))
    for folder, pixels in (
        ("images", np.asarray(rendered.image)),
        ("masks", rendered.semantic),
        ("instances", rendered.instance),
    ):
        with Image.open(out / folder / "000002.png") as image:
            assert np.array_equal(np.asarray(image), pixels)
    record = json.loads((out / "records" / "000002.json").read_text())
    assert record["target"] == CLASSES[scene.target]
    for number, found in enumerate(record["objects"], start=1):
        rows, cols = np.nonzero(rendered.instance == number)
        assert found["box"] == [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
        assert found["area"] == len(rows)
    dataset = read_dataset(out)
    assert [c.name for c in dataset.classes] == list(CLASSES)
    assert [sample.label for sample in dataset.samples] == [sample_scene(PLANTED, n).target for n in range(4)]


def test_a_stopped_run_continues_and_another_recipe_is_refused(
    tmp_path: Path, audit: Callable[..., str]
) -> None:
    out = tmp_path / "scenes"
    audit("synth", out, "--images", 3)
    (out / "records" / "000001.json").unlink()
    (out / "images" / "000001.png").write_bytes(b"half")
    audit("synth", out, "--images", 5)
    assert len(list((out / "images").iterdir())) == 5
    with Image.open(out / "images" / "000001.png") as image:
        assert image.size == (SIDE, SIDE)
    with pytest.raises(DatasetError, match="another recipe"):
        audit("synth", out, "--images", 5, "--seed", 9)
    with pytest.raises(DatasetError, match="no symbol"):
        audit("synth", tmp_path / "other", "--texture", "star")
