"""Training on scenes: the schedule, resuming, the file that comes out, Loc. against plain loops."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from auditor.build.training import to_input, validate_on_scenes
from auditor.data.synth import CLASSES, Recipe, render, sample_scene
from auditor.errors import BackboneError, DatasetError
from auditor.models.train import Schedule, build_classifier, train_classifier
from auditor.models.weights import load_backbone
from auditor.records import Preprocess

TINY = (
    "--arch",
    "test_resnet",
    "--size",
    "56",
    "--batch",
    "8",
    "--epochs",
    "2",
    "--workers",
    "0",
    "--device",
    "cpu",
)


def test_the_rate_warms_up_and_decays() -> None:
    schedule = Schedule(100, epochs=2, rate=0.4, warmup=0.1, final_rate=0.1)
    assert schedule.rate_at(0) == pytest.approx(0.02)
    assert schedule.rate_at(19) == pytest.approx(0.4)
    assert schedule.rate_at(20 + 90) == pytest.approx(0.1 + 0.3 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert schedule.rate_at(199) < 0.101


def test_the_weights_say_all_that_is_needed(tmp_path: Path, audit: Callable[..., str]) -> None:
    scenes, out = tmp_path / "scenes", tmp_path / "m.safetensors"
    audit("synth", scenes, "--images", 16, "--recipe-only")
    assert not (scenes / "images").exists()
    audit("train", scenes, "--out", out, *TINY)
    with safe_open(out, "pt") as file:
        header = json.loads(file.metadata()["audit"])
    assert header["classes"] == list(CLASSES)
    assert header["training"]["scenes"] == 16
    backbone = load_backbone(str(out))
    assert [c.name for c in backbone.classes] == list(CLASSES)
    assert backbone.preprocess == Preprocess(56, 56, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")
    assert not out.with_name(out.name + ".checkpoint").exists()


def test_a_stopped_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    schedule = Schedule(4, epochs=2, batch=4, rate=0.05)
    inputs = torch.randn(8, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def batches(epoch: int, first_step: int):  # type: ignore[no-untyped-def]
        for step in range(first_step, 4):
            yield inputs[4 * epoch + step], torch.arange(4)

    def run(name: str, stop_at: int | None) -> dict[str, Tensor]:
        model = build_classifier("test_resnet", 20, {}, 0)

        def on_step(progress) -> None:  # type: ignore[no-untyped-def]
            if progress.step == stop_at:
                raise KeyboardInterrupt

        train_classifier(
            model,
            schedule,
            batches,
            checkpoint=tmp_path / name,
            on_step=on_step,
            on_epoch=lambda *_: None,
            save_every=1,
        )
        return model.state_dict()

    whole = run("whole", None)
    with pytest.raises(KeyboardInterrupt):
        run("stopped", 6)
    resumed = run("stopped", None)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path, audit: Callable[..., str]) -> None:
    scenes, out = tmp_path / "scenes", tmp_path / "m.safetensors"
    audit("synth", scenes, "--images", 16, "--recipe-only")
    torch.save({"schedule": {"rate": 1.0}}, tmp_path / "m.safetensors.checkpoint")
    with pytest.raises(BackboneError, match="other settings"):
        audit("train", scenes, "--out", out, *TINY)
    with pytest.raises(BackboneError, match="cannot build"):
        audit("train", scenes, "--arch", "no_such_net", "--batch", "8")
    with pytest.raises(DatasetError, match="--batch 16"):
        audit("train", scenes, "--batch", "512")


def test_loc_is_counted_like_plain_loops() -> None:
    model = build_classifier("test_resnet", 20, {}, 3).eval()
    preprocess = Preprocess(224, 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")
    found = validate_on_scenes(model, Recipe(seed=5), 40, preprocess, 0, "cpu", scenes=12)
    correct = cells = 0
    for number in range(40, 52):
        rendered = render(sample_scene(Recipe(seed=5), number))
        with torch.no_grad():
            grid = model.forward_features(to_input(rendered.image, preprocess)[None])[0]
        _, height, width = grid.shape
        for row in range(height):
            for col in range(width):
                block = rendered.semantic[
                    row * 224 // height : (row + 1) * 224 // height,
                    col * 224 // width : (col + 1) * 224 // width,
                ]
                present = set(np.unique(block).tolist()) - {0}
                if present:
                    score = model.fc.weight @ grid[:, row, col] + model.fc.bias
                    cells += 1
                    correct += int(score.argmax()) + 1 in present
    assert (found.loc.hits, found.loc.total) == (correct, cells)
