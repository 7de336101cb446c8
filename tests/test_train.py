"""Training on scenes: the schedule, resuming, the file that comes out, Loc. against plain loops."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from conftest import run_audit
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from auditor.data.occlusion import normalise
from auditor.data.read import read_dataset
from auditor.data.scenes import CLASSES, Recipe, render, sample_scene
from auditor.errors import BackboneError, DatasetError
from auditor.models.catalog import BackboneSpec
from auditor.models.weights import assemble, load_backbone
from auditor.records import Preprocess, Rate
from auditor.train.examples import ImageExamples, SceneExamples, load_batches
from auditor.train.loop import (
    Progress,
    Schedule,
    build_classifier,
    find_arch,
    pick_optimizer,
    train_classifier,
)
from auditor.train.training import TrainingRequest, Validation, train, validate

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
    assert header["training"]["images"] == 16
    assert header["training"]["schedule"]["rate"] == 0.15
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


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_bfloat16_is_trained_in_where_the_processor_has_it(
    has_bfloat16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = {"architecture": "x86_64", "avx512_bf16": has_bfloat16}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    model, seen = build_classifier("test_resnet", 20, {}, 0), []
    model.register_forward_hook(lambda *outputs: seen.append(outputs[-1].dtype))
    train_classifier(
        model,
        Schedule(1, epochs=1, batch=4, rate=0.05),
        lambda *_: iter([(torch.randn(4, 3, 32, 32), torch.arange(4))]),
        checkpoint=tmp_path / "checkpoint",
        on_step=lambda _: None,
        on_epoch=lambda *_: None,
    )
    assert seen == [torch.bfloat16 if has_bfloat16 else torch.float32]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path, audit: Callable[..., str]) -> None:
    scenes, out = tmp_path / "scenes", tmp_path / "m.safetensors"
    audit("synth", scenes, "--images", 16, "--recipe-only")
    torch.save({"schedule": {"rate": 1.0}}, tmp_path / "m.safetensors.checkpoint")
    with pytest.raises(BackboneError, match="other settings"):
        audit("train", scenes, "--out", out, *TINY)
    with pytest.raises(BackboneError, match="no model no_such_net"):
        audit("train", scenes, "--arch", "no_such_net", "--batch", "8")
    with pytest.raises(BackboneError, match="open_clip; only timm's"):
        audit("train", scenes, "--arch", "clip_vit")
    with pytest.raises(BackboneError, match="not one linear layer"):
        audit("train", scenes, "--arch", "deit_tiny_distilled_patch16_224", "--head", "mlp")


@pytest.mark.parametrize(("arch", "side", "head"), [("test_resnet", 224, "fc"), ("test_vit", 112, "mlp")])
def test_loc_is_counted_like_plain_loops(arch: str, side: int, head: Literal["fc", "mlp"]) -> None:
    args = {} if arch == "test_resnet" else {"class_token": False, "global_pool": "avg", "fc_norm": False}
    model = build_classifier(arch, 20, args, 3, size=side, head=head).eval()
    examples = SceneExamples(Recipe(seed=5), 40, side)
    backbone = assemble(BackboneSpec(arch, "timm", arch), model, examples.preprocess, weights_sha256="")
    found = validate(backbone, examples.held_out(scenes=12), 0)
    right = correct = cells = 0
    for number in range(40, 52):
        scene = sample_scene(Recipe(seed=5), number)
        rendered = render(scene)
        pixels = torch.from_numpy(examples.pixels(rendered.image).copy())[None]
        inputs = normalise(pixels, examples.preprocess)
        with torch.no_grad():
            features = model.forward_features(inputs)[0]  # type: ignore[operator]
            right += int(model(inputs).argmax()) == scene.target
        vectors = features.flatten(1).T if features.ndim == 3 else features
        side_cells = math.isqrt(len(vectors))
        for position, vector in enumerate(vectors):
            row, col = divmod(position, side_cells)
            block = rendered.semantic[
                row * 224 // side_cells : (row + 1) * 224 // side_cells,
                col * 224 // side_cells : (col + 1) * 224 // side_cells,
            ]
            present = set(np.unique(block).tolist()) - {0}
            if present:
                with torch.no_grad():
                    score = model.get_classifier()(vector[None])[0]  # type: ignore[operator]
                cells += 1
                correct += int(score.argmax()) + 1 in present
    assert (found.loc.hits, found.loc.total) == (correct, cells)
    assert found.accuracy == Rate(right, 12)


def test_an_mlp_head_is_that_of_the_paper_and_comes_back(tmp_path: Path, audit: Callable[..., str]) -> None:
    scenes, out = tmp_path / "scenes", tmp_path / "m.safetensors"
    audit("synth", scenes, "--images", 16)
    audit("train", scenes, "--out", out, "--head", "mlp", *TINY)
    backbone = load_backbone(str(out))
    layers = backbone.anatomy.tower.module.fc
    dim = backbone.dim
    assert [type(layer).__name__ for layer in layers] == [
        "Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear",
    ]  # fmt: skip
    assert [tuple(layers[i].weight.shape) for i in (0, 3, 6)] == [(dim, dim), (dim, dim), (20, dim)]
    inputs = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    grid = backbone.grid_of(inputs)
    by_hand = layers(grid.features.flatten(0, 2)).reshape(*grid.features.shape[:3], 20)
    torch.testing.assert_close(backbone.pointwise(grid.features), by_hand)
    assert backbone.anatomy.verdict == "exact-affine"  # the first-order split adds up, the cells do not
    torch.testing.assert_close(backbone.exact(grid).mean((1, 2)), grid.logits, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(by_hand.mean((1, 2)), grid.logits, atol=1e-4)  # type: ignore[arg-type]


def test_the_defaults_are_those_of_the_paper() -> None:
    arch, args = find_arch("vit_small_patch32_gap", {})
    model = build_classifier(arch, 20, args, 0)
    assert isinstance(model.fc_norm, torch.nn.Identity)
    assert isinstance(model.norm, torch.nn.LayerNorm)
    assert (model.num_prefix_tokens, model.global_pool) == (0, "avg")
    assert TrainingRequest().schedule(model, 500_000) == Schedule(
        976, 100, 512, "adamw", 1.5e-3, 0.05, 0.05, 1e-5
    )
    resnet = build_classifier("resnet18", 20, {}, 0)
    assert TrainingRequest().schedule(resnet, 500_000) == Schedule(
        976, 100, 512, "sgd", 0.15, 1e-4, 0.05, 0.0
    )
    assert pick_optimizer(resnet) == "sgd"


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Two classes of images, told apart by their colour, in splits; one file is broken."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 6)):
        for number in range(count):
            name, base = (("red", (200, 40, 40)), ("blue", (40, 40, 200)))[number % 2]
            pixels = np.clip(np.array(base) + rng.integers(-30, 31, (48, 64, 3)), 0, 255).astype(np.uint8)
            path = tmp_path / "colours" / split / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    (tmp_path / "colours" / "train" / "red" / "0.png").write_bytes(b"no image")
    return tmp_path / "colours"


def test_any_labelled_images_can_be_trained_on(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.safetensors"
    run_audit("train", colours, "--out", out, *TINY[:-6], "--epochs", "6", *TINY[-4:], "--rate", "0.02")
    said = capsys.readouterr()
    assert "image accuracy 1.000 on unseen images" in said.out
    assert said.err.count("0.png is no image") == 1
    backbone = load_backbone(str(out))
    assert [c.name for c in backbone.classes] == ["blue", "red"]
    assert (backbone.preprocess.resize, backbone.preprocess.crop) == (64, 56)


def test_batches_are_the_same_whatever_the_workers(colours: Path) -> None:
    examples = ImageExamples(read_dataset(colours), 32, seed=1)
    assert (examples.images, len(examples.validation)) == (24, 6)

    def read(epoch: int, first: int, workers: int) -> list[tuple[Tensor, Tensor]]:
        return [b[:2] for b in load_batches(examples.epoch(epoch), first, 8, workers)]

    alone, together, rest = read(0, 0, 0), read(0, 0, 2), read(0, 1, 0)
    assert len(alone) == 3
    for one, other in [*zip(alone, together, strict=True), *zip(alone[1:], rest, strict=True)]:
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(alone[0][0], read(1, 0, 0)[0][0])


def test_images_without_labels_are_refused(tmp_path: Path, audit: Callable[..., str]) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    with pytest.raises(DatasetError, match="0 labelled images of 0 classes"):
        audit("train", tmp_path, "--out", tmp_path / "m.safetensors", *TINY)


def test_the_best_epoch_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes, out = tmp_path / "scenes", tmp_path / "m.safetensors"
    run_audit("synth", scenes, "--images", 16, "--recipe-only")
    run_audit("train", scenes, "--out", out, *TINY[:-6], "--epochs", "4", *TINY[-4:], "--rate", "0.5")
    said = capsys.readouterr()
    epochs = re.findall(r"epoch (\d): image accuracy [\d.]+, Loc. ([\d.]+)", said.err)
    assert len(epochs) == 4
    best = max(epochs, key=lambda found: float(found[1]))
    assert f"epoch {best[0]}:" in said.out
    with safe_open(out, "pt") as file:
        kept = json.loads(file.metadata()["audit"])["training"]["validation"]
    assert str(kept["epoch"] + 1) == best[0]
    again = validate(load_backbone(str(out)), SceneExamples(Recipe(seed=0), 16, 56).held_out(), 0)
    assert again.loc.total == kept["loc"]["total"]
    assert abs(again.loc.hits - kept["loc"]["hits"]) <= 0.01 * again.loc.total  # fp16 tips near ties


def test_weights_of_another_run_are_not_taken_for_the_best_of_this_one(
    tmp_path: Path, audit: Callable[..., str]
) -> None:
    scenes, out = tmp_path / "scenes", tmp_path / "m.safetensors"
    audit("synth", scenes, "--images", 16, "--recipe-only")
    audit("train", scenes, "--out", out, *TINY)
    request = TrainingRequest("test_resnet", size=56, epochs=2, batch=8, rate=0.01)

    def stop(progress: Progress) -> None:
        if progress.step == 3:  # in the second epoch: the first has left a checkpoint
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(scenes, tmp_path / "n.safetensors", request, on_step=stop, on_validation=print, say=print)
    with safe_open(out, "pt") as file:  # as if an older run had left weights that localize all cells
        header = json.loads(file.metadata()["audit"])
    header["training"]["validation"]["loc"] = {"hits": 1, "total": 1}
    save_file(load_file(out), tmp_path / "n.safetensors", metadata={"audit": json.dumps(header)})
    seen: list[Validation] = []
    best = train(
        scenes, tmp_path / "n.safetensors", request, on_step=print, on_validation=seen.append, say=print
    )
    assert best in seen
    with safe_open(tmp_path / "n.safetensors", "pt") as file:
        assert json.loads(file.metadata()["audit"])["training"]["schedule"]["rate"] == 0.01
