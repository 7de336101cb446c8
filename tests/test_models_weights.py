"""Loading: files in every layout that is met in the wild, files that must be refused, and the network."""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from auditor.errors import BackboneError
from auditor.models.checkpoints import read_checkpoint
from auditor.models.heads import OwnHead, certify
from auditor.models.weights import load_backbone, parse_model_args
from auditor.records import ClassName

torch.set_num_threads(1)  # small work: on a busy machine threads cost more than they give

SMALL = "timm/test_resnet.r160_in1k"


def build(name: str = "test_resnet", seed: int = 7, **arguments: Any) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(name, **arguments).eval()


def output(model: nn.Module, size: int = 224) -> Tensor:
    with torch.no_grad():
        return model(images(size))


def images(size: int = 224) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))


def contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.contiguous() for key, value in state.items()}


def wrapped(kind: str, state: dict[str, Tensor]) -> Any:
    """The state dict as the scripts of the field save it."""
    namespace = argparse.Namespace(lr=0.1)
    return {
        "plain": state,
        "ddp": {"state_dict": {f"module.{key}": value for key, value in state.items()}, "args": namespace},
        "compiled": {"model": {f"module._orig_mod.{key}": value for key, value in state.items()}},
        "best": {"state_dict": state, "best_loss": np.float64(0.5), "epoch": 3},
        "averaged": {"state_dict": {key: value * 0 for key, value in state.items()}, "state_dict_ema": state},
    }[kind]


@pytest.mark.parametrize("kind", ["plain", "ddp", "compiled", "best", "averaged"])
def test_torch_file(tmp_path: Path, kind: str) -> None:
    model = build()
    path = tmp_path / "w.pth"
    torch.save(wrapped(kind, model.state_dict()), path)
    backbone = load_backbone(SMALL, weights=path, device="cpu")
    torch.testing.assert_close(backbone.grid_of(images()).logits, output(model))
    assert backbone.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_half_precision_safetensors_are_used_in_float32(tmp_path: Path) -> None:
    model = build()
    path = tmp_path / "w.safetensors"
    save_file({key: value.half() for key, value in contiguous(model.state_dict()).items()}, path)
    backbone = load_backbone(SMALL, weights=str(path), device="cpu")
    assert backbone.device.type == "cpu"
    assert {p.dtype for p in backbone.anatomy.tower.module.parameters()} == {torch.float32}
    torch.testing.assert_close(backbone.grid_of(images()).logits, output(model), rtol=0, atol=1e-2)


def test_upstream_dinov2_layout_is_converted(tmp_path: Path) -> None:
    """`mask_token` is dropped and the 37 x 37 position table resampled to 16 x 16."""
    model = build("vit_small_patch14_dinov2", img_size=518)
    state = contiguous(model.state_dict()) | {"mask_token": torch.zeros(1, 384)}
    path = tmp_path / "dinov2.pth"
    torch.save(state, path)
    backbone = load_backbone("timm/vit_small_patch14_dinov2.lvd142m", weights=path, size=224, device="cpu")
    assert backbone.grid == (16, 16)
    assert backbone.classes == ()
    reference = build("vit_small_patch14_dinov2", img_size=518, dynamic_img_size=True)
    torch.testing.assert_close(backbone.grid_of(images()).logits, output(reference), rtol=1e-3, atol=1e-4)


def test_file_without_head_gives_no_random_head(tmp_path: Path) -> None:
    """DINO's ResNet-50: torchvision's keys and no fc."""
    state = {key: value for key, value in build("resnet18").state_dict().items() if not key.startswith("fc.")}
    path = tmp_path / "headless.pth"
    torch.save(state, path)
    backbone = load_backbone("timm/resnet18", weights=path, device="cpu")
    assert backbone.classes == ()
    assert (backbone.anatomy.head, backbone.anatomy.verdict) == ("none", "exact")


def test_thousand_class_file_as_features(tmp_path: Path) -> None:
    model = build()
    path = tmp_path / "w.safetensors"
    save_file(contiguous(model.state_dict()), path)
    backbone = load_backbone(SMALL, weights=path, model_args={"num_classes": "0"}, device="cpu")
    assert backbone.classes == ()
    grid = backbone.grid_of(images())
    torch.testing.assert_close(grid.logits, grid.pooled)


def test_class_count_is_read_from_the_file(tmp_path: Path) -> None:
    model = build(num_classes=20)
    path = tmp_path / "fine-tuned.safetensors"
    save_file(contiguous(model.state_dict()), path)
    backbone = load_backbone(SMALL, weights=path, device="cpu")
    assert backbone.classes == tuple(ClassName(str(index)) for index in range(20))
    torch.testing.assert_close(backbone.grid_of(images()).logits, output(model))


def test_wrong_class_count_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fine-tuned.safetensors"
    save_file(contiguous(build(num_classes=20).state_dict()), path)
    with pytest.raises(BackboneError, match="20 classes, not the 10"):
        load_backbone(SMALL, weights=path, model_args={"num_classes": "10"})


def test_other_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file(contiguous(build("test_vit").state_dict()), path)
    with pytest.raises(BackboneError, match="does not fit"):
        load_backbone(SMALL, weights=path)


def described(path: Path, classes: list[str], **changes: Any) -> Path:
    """What `audit train` writes."""
    preprocess = {
        "resize": 112,
        "crop": 112,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bilinear",
    }
    said = {"arch": "test_resnet", "model_args": {}, "classes": classes, "preprocess": preprocess} | changes
    model = build(num_classes=3)
    save_file(contiguous(model.state_dict()), path, metadata={"audit": json.dumps(said)})
    return path


def test_self_describing_file_needs_no_other_option(tmp_path: Path) -> None:
    path = described(tmp_path / "mine.safetensors", ["a", "b", "c"])
    backbone = load_backbone(str(path), device="cpu")
    assert [known.name for known in backbone.classes] == ["a", "b", "c"]
    assert (backbone.preprocess.resize, backbone.preprocess.crop) == (112, 112)
    again = load_backbone(str(path), size=112, device="cpu")
    assert again.preprocess == backbone.preprocess
    torch.testing.assert_close(backbone.grid_of(images(112)).logits, output(build(num_classes=3), 112))


def test_self_describing_file_with_too_few_names(tmp_path: Path) -> None:
    path = described(tmp_path / "mine.safetensors", ["a", "b"])
    with pytest.raises(BackboneError, match="names 2 classes and has weights for 3"):
        load_backbone(str(path))


def test_self_describing_file_under_another_name(tmp_path: Path) -> None:
    path = described(tmp_path / "mine.safetensors", ["a", "b", "c"])
    with pytest.raises(BackboneError, match="holds a test_resnet"):
        load_backbone("timm/resnet18", weights=path)


class Payload:
    """Runs code when it is unpickled by a careless reader."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def test_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    target, path = tmp_path / "pwned", tmp_path / "evil.pth"
    torch.save({"state_dict": build().state_dict(), "extra": Payload(target)}, path)
    with pytest.raises(BackboneError, match="asks to run code"):
        load_backbone(SMALL, weights=path)
    assert not target.exists()


def test_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(nn.Sequential(nn.Linear(2, 2)), path)
    with pytest.raises(BackboneError, match="save its state_dict alone"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_damaged_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"no weights at all" * 9)
    with pytest.raises(BackboneError, match=name):
        load_backbone(SMALL, weights=path)


def test_truncated_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(contiguous(build().state_dict()), path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BackboneError, match="damaged"):
        load_backbone(SMALL, weights=path)


def test_missing_file() -> None:
    with pytest.raises(BackboneError, match="no weights at nowhere"):
        load_backbone(SMALL, weights="nowhere/w.pth")


def test_random_weights_follow_their_seed() -> None:
    first, same, other = (load_backbone(SMALL, weights=f"random:{seed}", device="cpu") for seed in (1, 1, 2))
    assert first.weights_sha256 == "random:1"
    a, b, c = (backbone.grid_of(images()).logits for backbone in (first, same, other))
    assert torch.equal(a, b)
    assert not torch.allclose(a, c)
    assert len(first.classes) == 1000


def test_random_weights_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_backbone(SMALL, weights="random", device="cpu")
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("weights", ["random:x", "random:-1", "random:1.5"])
def test_bad_seed(weights: str) -> None:
    with pytest.raises(BackboneError, match="random:0"):
        load_backbone(SMALL, weights=weights)


def test_model_args_are_what_they_look_like() -> None:
    given = {"a": "1", "b": "0.5", "c": "true", "d": "False", "e": "same", "f": "none", "g": "-2"}
    expected = {"a": 1, "b": 0.5, "c": True, "d": False, "e": "same", "f": None, "g": -2}
    assert parse_model_args(given) == expected


def test_preprocess_of_the_model_and_of_the_paper() -> None:
    own = load_backbone("timm/test_vit.r160_in1k", weights="random", size=160, device="cpu").preprocess
    assert (own.resize, own.crop, own.mean, own.interpolation) == (183, 160, (0.5,) * 3, "bicubic")
    paper = load_backbone(SMALL, weights="random", preprocess="paper", device="cpu").preprocess
    assert (paper.resize, paper.crop, paper.interpolation) == (256, 224, "bilinear")
    assert paper.mean == (0.485, 0.456, 0.406)
    said = load_backbone(SMALL, weights="random", mean=0.1, std=[1, 2, 3], device="cpu").preprocess
    assert (said.mean, said.std) == ((0.1, 0.1, 0.1), (1.0, 2.0, 3.0))
    with pytest.raises(BackboneError, match="one value or three"):
        load_backbone(SMALL, weights="random", mean=[1, 2])


def test_larger_input_gives_a_finer_grid() -> None:
    assert load_backbone("timm/resnet18", weights="random", size=448, device="cpu").grid == (14, 14)
    assert load_backbone("timm/vit_tiny_patch16_224", weights="random", size=320, device="cpu").grid == (
        20,
        20,
    )


def test_size_that_does_not_fit() -> None:
    with pytest.raises(BackboneError, match="take 224 or 240"):
        load_backbone("timm/vit_tiny_patch16_224", weights="random", size=230)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("timm/resnet5", "did you mean"),
        ("timm/resnet50.nope", "It has .*tv2_in1k"),
        ("open_clip/RN5", "did you mean"),
        ("open_clip/RN50:nope", "it has openai"),
        ("open_clip/RN50", "name a tag"),
        ("dinov1_resnet50", "dino_resnet50_pretrain.pth"),
        ("timm/gcvit_tiny", "get https://"),
    ],
)
def test_name_without_weights_says_what_to_do(name: str, hint: str) -> None:
    with pytest.raises(BackboneError, match=hint):
        load_backbone(name)


def test_real_classifier_is_exact_on_real_images(real: Path) -> None:
    weights = real / "weights" / "mobilenetv2_100_tf2.safetensors"
    backbone = load_backbone(
        "timm/mobilenetv2_100",
        weights=weights,
        model_args={"pad_type": "same"},
        mean=0.5,
        std=0.5,
        interpolation="bilinear",
        device="cpu",
    )
    assert (backbone.grid, backbone.dim, backbone.anatomy.readout) == ((7, 7), 1280, "linear")
    batch = torch.stack([photo(path) for path in sorted((real / "ilsvrc" / "images").rglob("*.JPEG"))[:8]])
    certificate = certify(backbone, OwnHead(backbone), batch)
    assert certificate.verdict == "exact"
    assert certificate.exact_error is not None
    assert certificate.exact_error <= 1e-5


def photo(path: Path) -> Tensor:
    """Resized to 256, cropped to 224, in [-1, 1]."""
    with Image.open(path) as image:
        pixels = image.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR).crop((16, 16, 240, 240))
    return torch.from_numpy(np.asarray(pixels, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)
