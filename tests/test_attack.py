"""PGD against a slow reference, finite differences and a fresh forward pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from auditor.errors import AuditError, DatasetError
from auditor.explain.live import open_image
from auditor.questions.attack.ask import attack, descend, loss_gradient
from auditor.store import Index

torch.set_num_threads(1)

IMAGE = "images/000003.png"


def tiny(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = (nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    return nn.Sequential(*layers).double().eval()


def pixels(seed: int = 0) -> Tensor:
    return torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_gradient_agrees_with_finite_differences() -> None:
    model, start = tiny(), pixels()
    found = loss_gradient(model, start, 3)
    step = 1e-6
    for place in np.ndindex(*start.shape):
        ends = []
        for sign in (1, -1):
            moved = start.clone()
            moved[place] += sign * step
            ends.append(-model(moved).log_softmax(-1)[0, 3].item())
        assert float(found[place]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)


def test_a_linear_model_step_by_step() -> None:
    """Every pixel by itself in plain Python: the sign of the softmax's gradient, two clips."""
    weights = np.random.default_rng(0).standard_normal((4, 12))
    start = np.random.default_rng(1).random(12)
    model = lambda moving: moving.flatten(1) @ torch.tensor(weights).T  # noqa: E731
    frames = list(descend(model, torch.tensor(start).view(1, 3, 2, 2), 2, 6, 0.1, 0.03))
    current = list(start)
    for frame in frames[1:]:
        scores = [sum(w * x for w, x in zip(row, current, strict=True)) for row in weights]
        chances = np.exp(scores) / np.exp(scores).sum()
        for i in range(12):
            slope = sum(chances[k] * weights[k][i] for k in range(4)) - weights[2][i]
            moved = current[i] - 0.03 * np.sign(slope)
            moved = min(max(moved, start[i] - 0.1), start[i] + 0.1)
            current[i] = min(max(moved, 0.0), 1.0)
        np.testing.assert_allclose(frame.flatten().numpy(), current, atol=1e-12)


@pytest.mark.parametrize("epsilon", [2 / 255, 8 / 255, 0.9])
def test_it_stays_in_its_ball_and_in_the_range_of_pixels(epsilon: float) -> None:
    start = pixels().round(decimals=1)  # some pixels at 0 and at 1
    frames = [frame.detach() for frame in descend(tiny(), start, 1, 15, epsilon, 0.05)]
    assert len(frames) == 16
    for frame in frames:
        assert (frame - start).abs().max() <= epsilon + 1e-12
        assert frame.min() >= 0
        assert frame.max() <= 1
    assert not torch.equal(frames[0], frames[-1])


def test_the_loss_falls() -> None:
    model = tiny()
    losses = [
        -model(frame).log_softmax(-1)[0, 4].item() for frame in descend(model, pixels(), 4, 8, 0.2, 0.02)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


# ------------------------------------------------------------------------------------- through an index


@pytest.fixture(scope="module")
def index(demo_folder: Path) -> Any:
    with Index.open(demo_folder / "indexes" / "scenes-symbols") as opened:
        yield opened


def test_the_last_step_is_what_a_fresh_forward_says(index: Index) -> None:
    found = attack(index, IMAGE, 8, steps=4)
    opened = open_image(index, IMAGE)
    perturbed = torch.tensor(found.perturbed).permute(2, 0, 1)[None]
    with torch.no_grad():
        images = opened.normalise(perturbed)
        raw = opened.backbone.anatomy.tower.module.forward_features(images)
        scores = opened.backbone.anatomy.tower.module.forward_head(raw)[0]
        weight, bias = opened.backbone.anatomy.affine  # type: ignore[misc]
        cells = torch.einsum("kc,chw->hwk", weight, raw[0]) + bias
    assert int(found.image_labels[-1]) == int(scores.argmax())
    assert found.target_probabilities[-1] == pytest.approx(float(scores.softmax(-1)[8]), rel=1e-4)
    np.testing.assert_array_equal(found.labels[-1], cells.argmax(-1).numpy())
    np.testing.assert_allclose(found.probabilities[-1], cells.softmax(-1).max(-1).values.numpy(), rtol=1e-3)
    assert np.abs(found.perturbed - found.original / 255).max() <= 8 / 255 + 1e-6


def test_it_is_deterministic(index: Index) -> None:
    first, second = (attack(index, IMAGE, 8, steps=2) for _ in range(2))
    np.testing.assert_array_equal(first.perturbed, second.perturbed)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_before_the_first_step_it_is_the_index(index: Index) -> None:
    found = attack(index, IMAGE, 8, steps=1)
    known = index.query("SELECT top1 FROM cells WHERE image = 3 AND variant = 0 ORDER BY cell")["top1"]
    np.testing.assert_array_equal(found.labels[0].ravel(), known)
    assert found.labels.shape == (2, 7, 7)
    assert found.target_cells.tolist() == [int((found.labels[step] == 8).sum()) for step in range(2)]


def test_the_command_saves_what_was_attacked(demo: Path, ask: Callable[..., Any]) -> None:
    words = ("attack", IMAGE, "--target", "square dot", "--steps", "3", "--eps", "0.05", "--out", "a.png")
    found = ask(*words)
    assert "original" not in found
    assert "perturbed" not in found
    assert found["epsilon"] == 0.05
    assert found["steps"] == 3
    assert found["flipped_at"] == next(
        (step for step, label in enumerate(found["image_labels"]) if label == found["target"]), None
    )
    saved = np.asarray(Image.open(demo / "a-perturbed.png"), dtype=int)
    with Index.open(demo / "indexes" / "scenes-symbols") as opened:
        again = attack(opened, IMAGE, found["target"], steps=3, epsilon=0.05)
        file = demo / "a-perturbed.png"
        outside = attack(opened, str(file), found["target"], steps=1)
    np.testing.assert_array_equal(saved, (again.perturbed * 255).round().astype(int))
    np.testing.assert_array_equal(outside.original, saved)
    assert int(outside.image_labels[0]) == found["saved_label"]


@pytest.mark.parametrize("share", ["0", "8/0", "-1/255", "eight", "2"])
def test_bad_shares(demo: Path, audit: Callable[..., str], share: str) -> None:
    with pytest.raises(AuditError, match="is no share"):
        audit("attack", IMAGE, "--target", "3", "--eps", share)


def test_an_unknown_target(demo: Path, audit: Callable[..., str]) -> None:
    with pytest.raises(DatasetError, match="close matches"):
        audit("attack", IMAGE, "--target", "heart dott")
