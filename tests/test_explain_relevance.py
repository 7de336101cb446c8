"""Relevance against plain algebra, its conservation, and models that are the same afterwards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from auditor.errors import BackboneError, CellError
from auditor.explain.convolutions import explain_convolutions, ruled
from auditor.explain.relevance import find_field, relevance
from auditor.explain.rules import explain_tokens, family_of, linearised
from auditor.store import Index

torch.set_num_threads(1)

IMAGE = "images/000003.png"


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(name: str, **arguments: Any) -> Any:
    """A random model whose norms do something."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5, **arguments).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    nn.init.normal_(model.get_classifier().weight, std=0.3)
    return model


def without_biases(model: Any) -> Any:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            module.bias.data.zero_()
    for name in ("pos_embed", "cls_token"):  # they enter as constants, as biases do
        if getattr(model, name, None) is not None:
            getattr(model, name).data.zero_()
    return model


def explain_model(model: Any, images: Tensor, cell: tuple[int, int], label: int) -> tuple[Tensor, Tensor]:
    head = model.get_classifier()
    if family_of(model) == "convolutional":
        weight, bias = head.weight[label], head.bias[label]
        return explain_convolutions(model.forward_features, model, images, cell, weight, bias)
    across = images.shape[-1] // model.patch_embed.patch_size[0]
    token = model.num_prefix_tokens + cell[0] * across + cell[1]

    def run(moving: Tensor) -> Tensor:
        return head(model.fc_norm(model.forward_features(moving)[:, token]))[0, label]  # type: ignore[no-any-return]

    return explain_tokens(run, model, images)


MODELS = [
    ("resnet10t", {"output_stride": 16}),
    ("resnet18", {}),
    ("resnet26d", {}),
    ("vit_tiny_patch16_224", {"img_size": 64}),
    ("vit_tiny_patch16_224", {"img_size": 64, "global_pool": "avg", "class_token": False}),
    ("deit3_small_patch16_224", {"img_size": 64, "depth": 2}),
]


@pytest.mark.parametrize(("name", "arguments"), MODELS)
def test_relevance_is_conserved_without_biases(name: str, arguments: dict[str, Any]) -> None:
    model, images = without_biases(build(name, **arguments)), draw(1, 3, 64, 64)
    scores = [explain_model(model, images, (1, 0), label) for label in range(5)]
    found, score = max(scores, key=lambda pair: abs(float(pair[1])))  # epsilon matters for scores near 0
    assert float(found.sum() / score) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("name", "arguments"), MODELS[1:2] + MODELS[3:4])
def test_the_model_is_the_same_afterwards(name: str, arguments: dict[str, Any]) -> None:
    model, images = build(name, **arguments), draw(1, 3, 64, 64)
    before, state = model(images), {key: value.clone() for key, value in model.state_dict().items()}
    _, score = explain_model(model, images, (1, 0), 2)
    assert torch.equal(model(images), before)
    after = model.state_dict()
    assert state.keys() == after.keys()
    assert all(torch.equal(state[key], after[key]) for key in state)
    assert hooks_of(model) == 0
    assert not any("forward" in vars(module) for module in model.modules())
    assert torch.isfinite(score)


@pytest.mark.parametrize("block", [ruled, linearised])
def test_an_error_inside_leaves_no_hook(block: Any) -> None:
    model = build("resnet18") if block is ruled else build("vit_tiny_patch16_224", depth=1)
    before = [parameter.clone() for parameter in model.parameters()]
    with contextlib.suppress(KeyError), block(model):
        assert hooks_of(model) > 0
        raise KeyError
    assert hooks_of(model) == 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def hooks_of(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


# ------------------------------------------------------------------------------------- against plain algebra


def test_zplus_and_epsilon_by_hand() -> None:
    """Two inputs, three hidden units, one score: z+ below (biases aside), epsilon above."""
    torch.manual_seed(1)
    layer = nn.Conv2d(3, 4, 1)
    images, weight, bias = draw(1, 3, 2, 2, seed=2), draw(4, seed=3), torch.tensor(0.3)
    model = nn.Sequential(layer, nn.ReLU())
    found, score = explain_convolutions(model, model, images, (1, 0), weight, bias)

    x = images[0, :, 1, 0].double().numpy()
    w, b = layer.weight[:, :, 0, 0].detach().double().numpy(), layer.bias.detach().double().numpy()  # type: ignore[union-attr]
    v = weight.double().numpy()
    hidden = np.maximum(w @ x + b, 0)
    z = float(hidden @ v + 0.3)
    above = hidden * v * z / (z + 1e-6 * np.sign(z))
    below = np.zeros(3)
    for unit in range(4):
        positive = [max(float(w[unit, i] * x[i]), 0.0) for i in range(3)]
        for i in range(3):
            below[i] += positive[i] / (sum(positive) + 1e-6) * above[unit]
    assert float(score) == pytest.approx(z, rel=1e-5)
    np.testing.assert_allclose(found[0, :, 1, 0].numpy(), below, rtol=1e-4, atol=1e-6)
    assert found[0, :, 0, :].abs().max() == 0  # other cells have no part in it


def test_cp_lrp_by_hand() -> None:
    """A block in NumPy, what CP-LRP freezes kept as found: affine, so a difference is a derivative."""
    model = build("vit_tiny_patch16_224", img_size=8, patch_size=4, embed_dim=8, depth=1, num_heads=2)
    model = model.double()
    images = draw(1, 3, 8, 8).double()
    found, score = explain_model(model, images, (1, 0), 2)
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    x = images.numpy()
    frozen: dict[str, Any] = {}
    base = forward_by_hand(state, x, frozen)
    assert float(score) == pytest.approx(base[2], rel=1e-9)
    expected = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        moved = x.copy()
        moved[place] += 1.0
        expected[place] = x[place] * (forward_by_hand(state, moved, frozen)[2] - base[2])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


def forward_by_hand(state: dict[str, Any], x: np.ndarray, frozen: dict[str, Any]) -> np.ndarray:
    """Scores (K,) of token 3 (cell 1,0 behind the class token); what is frozen is set at the first call."""
    from scipy.special import erf

    def linear(name: str, values: np.ndarray) -> np.ndarray:
        return values @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name: str, values: np.ndarray) -> np.ndarray:
        deviation = frozen.setdefault(name, np.sqrt(values.var(-1, keepdims=True) + 1e-6))
        return (values - values.mean(-1, keepdims=True)) / deviation * state[f"{name}.weight"] + state[
            f"{name}.bias"
        ]

    kernel = state["patch_embed.proj.weight"]  # 8, 3, 4, 4
    patches = x[0].reshape(3, 2, 4, 2, 4).transpose(1, 3, 0, 2, 4).reshape(4, -1)
    tokens = patches @ kernel.reshape(8, -1).T + state["patch_embed.proj.bias"]
    tokens = np.concatenate([state["cls_token"][0], tokens]) + state["pos_embed"][0]
    normed = norm("blocks.0.norm1", tokens)
    q, k, v = linear("blocks.0.attn.qkv", normed).reshape(5, 3, 2, 4).transpose(1, 2, 0, 3)
    logits = np.exp(q @ k.transpose(0, 2, 1) / 2)  # the square root of a head's length of 4
    weights = frozen.setdefault("attention", logits / logits.sum(-1, keepdims=True))
    tokens = tokens + linear("blocks.0.attn.proj", (weights @ v).transpose(1, 0, 2).reshape(5, 8))
    hidden = linear("blocks.0.mlp.fc1", norm("blocks.0.norm2", tokens))
    slope = frozen.setdefault("slope", (1 + erf(hidden / np.sqrt(2))) / 2)
    tokens = norm("norm", tokens + linear("blocks.0.mlp.fc2", hidden * slope))
    return linear("head", tokens[3])


# ------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("convnext_atto", "ConvNeXt"),
        ("efficientnet_b0", "EfficientNet"),
        ("mobilenetv2_050", "BatchNormAct2d"),
        ("seresnet18", "SEModule"),
        ("resnetblur18", "BlurPool2d"),
        ("vit_small_patch16_dinov3", "EvaAttention"),
        ("vit_base_patch16_siglip_224", "AttentionPoolLatent"),
        ("swin_s3_tiny_224", "ClassifierHead"),
    ],
)
def test_layers_without_a_rule_are_refused(name: str, layer: str) -> None:
    arguments = {"depth": 1} if name.startswith("vit") else {}
    model = timm.create_model(name, **arguments)
    with pytest.raises(BackboneError, match=f"no relevance rule for .*{layer}"):
        family_of(model)


def test_a_class_of_the_same_name_from_elsewhere_is_refused() -> None:
    kind = type("Attention", (nn.Module,), {"__module__": "somewhere.models"})
    model = build("vit_tiny_patch16_224", depth=1)
    model.blocks[0].attn = kind()
    with pytest.raises(BackboneError, match="no relevance rule for Attention"):
        family_of(model)


def test_a_gate_on_the_attention_is_refused() -> None:
    model = build("vit_tiny_patch16_224", depth=1)
    model.blocks[0].attn.gate = nn.Linear(192, 192)
    with pytest.raises(BackboneError, match="no relevance rule for Attention"):
        family_of(model)


def test_a_missing_zennit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zennit.canonizers", None)
    with pytest.raises(BackboneError, match=r"pip install 'auditor\[relevance\]'"), ruled(nn.ReLU()):
        pass


# ------------------------------------------------------------------------------------- the record


def test_the_field_by_hand() -> None:
    pixels = np.zeros((10, 10))
    pixels[2:5, 6:9] = [[10, -10, 10], [10, 10, 10], [-10, 10, 10]]
    assert find_field(pixels) == (6, 2, 9, 5)
    pixels[9, 0] = 0.01  # far below what may be cut away
    assert find_field(pixels) == (6, 2, 9, 5)
    pixels[9, 0] = 5.0
    assert find_field(pixels) == (0, 2, 9, 10)


@pytest.mark.parametrize("seed", range(5))
def test_the_field_holds_99_percent(seed: int) -> None:
    pixels = np.random.default_rng(seed).standard_normal((40, 40)) ** 5
    left, top, right, bottom = find_field(pixels)
    assert np.abs(pixels[top:bottom, left:right]).sum() >= 0.99 * np.abs(pixels).sum()


def test_a_cell_of_an_index(demo: Path, ask: Callable[..., Any]) -> None:
    found = ask("relevance", IMAGE, "--cell", "1,3", "--out", "relevance.png")
    assert found["box"] == [48, 16, 64, 32]
    assert np.shape(found["pixels"]) == (112, 112)
    assert found["total"] == pytest.approx(np.sum(found["pixels"]))
    assert found["conservation_error"] == pytest.approx(abs(found["total"] - found["score"]) / found["score"])
    assert found["conservation_error"] < 0.05
    maps = ask("cam", IMAGE, "--class", found["name"], "--out", "cam.png")["maps"]
    assert maps[0]["cells"][1][3] == pytest.approx(found["score"], rel=5e-3)
    assert ask("grid", IMAGE)["labels"][0][1][3] == found["label"]
    assert (demo / "relevance.png").is_file()


def test_relevance_stays_in_what_the_cell_can_see(demo: Path) -> None:
    """The brute-force truth: a pixel far away that changes nothing has no relevance."""
    model, images = build("resnet10t"), draw(1, 3, 256, 256)
    head = model.get_classifier()
    found, _ = explain_convolutions(
        model.forward_features, model, images, (0, 0), head.weight[1], head.bias[1]
    )
    moved = images.clone()
    moved[..., 220:] += 1
    with torch.no_grad():
        change = model.forward_features(moved) - model.forward_features(images)
    assert change[0, :, 0, 0].abs().max() == 0
    assert found[..., 220:].abs().max() == 0
    assert found.abs().max() > 0


def test_bad_questions(demo: Path, audit: Callable[..., str]) -> None:
    with pytest.raises(CellError, match="outside the 7 x 7 grid"):
        audit("relevance", IMAGE, "--cell", "7,0")
    with pytest.raises(CellError, match="names no cell"):
        audit("relevance", IMAGE, "--cell", "seven")


def test_the_licences_are_said(demo: Path, audit: Callable[..., str]) -> None:
    said = audit("relevance", IMAGE, "--cell", "1,3", "--class", "bar dot")
    assert "patented for commercial use" in said
    assert "conservation error" in said


def test_rules_that_change_the_score_are_caught(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import auditor.explain.convolutions as convolutions

    body, activation = convolutions._BODIES["BasicBlock"]
    wrong = tuple(name for name in body if name != "act1")
    monkeypatch.setitem(convolutions._BODIES, "BasicBlock", (wrong, activation))
    with (
        Index.open(demo / "indexes" / "scenes-symbols") as index,
        pytest.raises(BackboneError, match="no map is given"),
    ):
        relevance(index, IMAGE, 1, 3)
