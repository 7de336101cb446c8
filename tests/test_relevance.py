"""Relevance against plain algebra, its conservation, and models that are the same afterwards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from auditor.data.load import load
from auditor.data.occlusion import normalise
from auditor.draw.colours import Red
from auditor.errors import BackboneError, CellError
from auditor.explain.rules import _RULES, Linearised, constant_parameters, linearise
from auditor.models.weights import load_backbone
from auditor.questions.relevance.ask import find_field, relevance
from auditor.questions.relevance.draw import picture_relevance
from auditor.questions.relevance.view import view_relevance
from auditor.records import Dataset, Sample
from auditor.store import Index

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.relevance import METHODS, NETWORKS, cases, judge

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
        if type(module).__name__ in ("LayerScale", "LayerScale2d"):
            module.gamma.data.fill_(0.5)
    nn.init.normal_(last_layer(model).weight, std=0.3)
    return model


def last_layer(model: Any) -> Any:
    head = model.get_classifier()
    return getattr(head, "fc", head)


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
    gradient, score, _ = linearise(lambda moving: score_of(model, moving, cell)[label], model, images)
    return gradient * images, score


def score_of(model: Any, images: Tensor, cell: tuple[int, int]) -> Tensor:
    """Scores (K,) of one cell by the model's own head on a bag that holds only that cell."""
    raw = model.forward_features(images)
    if raw.ndim == 3:
        across = images.shape[-1] // model.patch_embed.patch_size[0]
        token = model.num_prefix_tokens + cell[0] * across + cell[1]
        return last_layer(model)(model.fc_norm(raw[:, token]))[0]  # type: ignore[no-any-return]
    is_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    raw = raw[:, cell[0], cell[1]][:, None, None] if is_last else raw[..., cell[0], cell[1]][..., None, None]
    return model.forward_head(raw)[0]  # type: ignore[no-any-return]


SWIN = {"img_size": 64, "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
RESNETS: list[Any] = [("resnet10t", {"output_stride": 16}), ("resnet18", {}), ("resnet26d", {})]
OTHERS: list[Any] = [
    ("vit_tiny_patch16_224", {"img_size": 64}),
    ("vit_tiny_patch16_224", {"img_size": 64, "global_pool": "avg", "class_token": False}),
    ("deit3_small_patch16_224", {"img_size": 64, "depth": 2}),
    ("efficientnet_b0", {}),
    ("mobilenetv2_050", {}),
    ("seresnet18", {}),
    ("densenet121", {}),
    ("convnext_atto", {}),
    ("convnextv2_atto", {}),
    ("swin_tiny_patch4_window7_224", SWIN),
    ("test_maxvit", {"img_size": 64}),
]


@pytest.mark.parametrize(("name", "arguments"), RESNETS + OTHERS)
def test_relevance_is_conserved_without_biases(name: str, arguments: dict[str, Any]) -> None:
    model, images = without_biases(build(name, **arguments)).double(), draw(1, 3, 64, 64).double()
    with torch.no_grad():
        label = int(score_of(model, images, (1, 0)).abs().argmax())  # epsilon matters for scores near 0
    found, score = explain_model(model, images, (1, 0), label)
    assert float(found.sum() / score) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("name", "arguments"), RESNETS + OTHERS)
def test_biases_are_spread(name: str, arguments: dict[str, Any]) -> None:
    model, images = build(name, **arguments).double(), draw(1, 3, 64, 64).double()
    for norm in (module for module in model.modules() if isinstance(module, nn.LayerNorm)):
        norm.bias.data.normal_(0, 0.1)
    with torch.no_grad():
        label = int(score_of(model, images, (1, 0)).abs().argmax())
    found, score = explain_model(model, images, (1, 0), label)
    assert float(found.sum() / score) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("name", "arguments"), RESNETS + OTHERS)
def test_the_score_is_the_models_own(name: str, arguments: dict[str, Any]) -> None:
    model, images = build(name, **arguments), draw(1, 3, 64, 64)
    with torch.no_grad():
        expected = score_of(model, images, (1, 1))
    _, score = explain_model(model, images, (1, 1), 3)
    assert float(score) == pytest.approx(float(expected[3]), abs=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(("name", "arguments"), [RESNETS[1], OTHERS[0], OTHERS[3], OTHERS[9]])
def test_the_model_is_the_same_afterwards(name: str, arguments: dict[str, Any]) -> None:
    model, images = build(name, **arguments), draw(1, 3, 64, 64)
    before, state = model(images), {key: value.clone() for key, value in model.state_dict().items()}
    _, score = explain_model(model, images, (1, 0), 2)
    assert torch.equal(model(images), before)
    after = model.state_dict()
    assert state.keys() == after.keys()
    assert all(torch.equal(state[key], after[key]) for key in state)
    assert hooks_of(model) == 0
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any("forward" in vars(module) for module in model.modules())
    assert torch.isfinite(score)


def test_an_error_inside_leaves_no_rule() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    with contextlib.suppress(KeyError), constant_parameters(layer), Linearised():
        assert not layer.weight.requires_grad
        raise KeyError
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad  # as it was
    assert torch.ones(1, requires_grad=True).sigmoid().requires_grad


def hooks_of(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


# ------------------------------------------------------------------------------------- against plain algebra


def test_zplus_by_hand() -> None:
    """Three inputs, four hidden units, one score: z+ below (biases aside), shares of the score above."""
    torch.manual_seed(1)
    layer = nn.Conv2d(3, 4, 1)
    images, weight, bias = draw(1, 3, 2, 2, seed=2), draw(4, seed=3), torch.tensor(0.3)
    model = nn.Sequential(layer, nn.ReLU())
    gradient, score, _ = linearise(lambda moving: model(moving)[0, :, 1, 0] @ weight + bias, model, images)
    found = gradient * images

    x = images[0, :, 1, 0].double().numpy()
    w, b = layer.weight[:, :, 0, 0].detach().double().numpy(), layer.bias.detach().double().numpy()  # type: ignore[union-attr]
    v = weight.double().numpy()
    hidden = np.maximum(w @ x + b, 0)
    z = float(hidden @ v + 0.3)
    above = hidden * v * z / (hidden @ v)  # the bias goes where the sum comes from
    below = np.zeros(3)
    for unit in range(4):
        positive = [max(float(w[unit, i] * x[i]), 0.0) for i in range(3)]
        for i in range(3):
            below[i] += positive[i] / (sum(positive) + 1e-6) * above[unit]
    assert float(score) == pytest.approx(z, rel=1e-5)
    np.testing.assert_allclose(found[0, :, 1, 0].numpy(), below, rtol=1e-4, atol=1e-6)
    assert found[0, :, 0, :].abs().max() == 0  # other cells have no part in it


def favour_by_hand(x: np.ndarray, w: np.ndarray, values: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Relevance (I,) of inputs x (I,): each output's relevance `above` (J,) over the products of its sign.

    By squares where there are none.
    """
    below = np.zeros(len(x))
    for j, value in enumerate(values):
        products = [float(w[j, i] * x[i]) for i in range(len(x))]
        kept = [p if (p > 0) == (value > 0) else 0.0 for p in products]
        for i in range(len(x)):
            below[i] += (kept[i] / sum(kept) if sum(kept) else x[i] ** 2 / (x @ x)) * above[j]
    return below


def test_a_gated_convolution_by_hand() -> None:
    """conv, BatchNorm, SiLU, squeeze and excite, dense: on one pixel, in NumPy."""
    torch.manual_seed(3)
    conv, norm, gate, head = nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 1), nn.Linear(6, 1)
    norm.running_mean.normal_()  # type: ignore[union-attr]
    norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    model = nn.ModuleList([conv, norm, gate, head]).double().eval()
    images = draw(1, 3, 1, 1, seed=5).double()

    def run(moving: Tensor) -> Tensor:
        hidden = torch.nn.functional.silu(norm(conv(moving)), inplace=True)
        gated = hidden * gate(hidden.mean((2, 3), keepdim=True)).sigmoid()
        return head(gated[..., 0, 0])[0, 0]  # type: ignore[no-any-return]

    gradient, score, method = linearise(run, model, images)
    x, p = images[0, :, 0, 0].numpy(), {k: v.numpy() for k, v in model.state_dict().items()}
    scale = p["1.weight"] / np.sqrt(p["1.running_var"] + 1e-5)
    w = p["0.weight"][:, :, 0, 0] * scale[:, None]
    z = w @ x + (p["0.bias"] - p["1.running_mean"]) * scale + p["1.bias"]
    hidden = z / (1 + np.exp(-z))
    gates = 1 / (1 + np.exp(-(p["2.weight"][:, :, 0, 0] @ hidden + p["2.bias"])))
    gated = hidden * gates  # the gates are constants and take none
    shares = gated * p["3.weight"][0] + p["3.bias"][0] * gated**2 / (gated @ gated)
    assert float(score) == pytest.approx(shares.sum(), rel=1e-9)
    found = (gradient * images)[0, :, 0, 0].numpy()
    np.testing.assert_allclose(found, favour_by_hand(x, w, z, shares), rtol=1e-9)
    assert "gates, slopes; z+ with the sign of the output" in method


def test_cp_lrp_by_hand() -> None:
    """A block in NumPy, what CP-LRP freezes kept as found: linear, so a difference is a derivative."""
    model = build("vit_tiny_patch16_224", img_size=8, patch_size=4, embed_dim=8, depth=1, num_heads=2)
    model = model.double()
    images = draw(1, 3, 8, 8).double()
    found, score = explain_model(model, images, (1, 0), 2)
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    patches = images[0].numpy().reshape(3, 2, 4, 2, 4).transpose(1, 3, 0, 2, 4).reshape(4, -1)
    kernel = state["patch_embed.proj.weight"].reshape(8, -1)
    embedded = patches @ kernel.T + state["patch_embed.proj.bias"]
    frozen: dict[str, Any] = {}
    base = forward_by_hand(state, embedded, frozen)
    assert float(score) == pytest.approx(base[2], rel=1e-9)
    expected = np.zeros_like(patches)
    for token in range(4):
        slopes = np.zeros(8)
        for channel in range(8):
            moved = embedded.copy()
            moved[token, channel] += 1.0
            slopes[channel] = forward_by_hand(state, moved, frozen)[2] - base[2]
        expected[token] = favour_by_hand(patches[token], kernel, embedded[token], slopes * embedded[token])
    folded = expected.reshape(2, 2, 3, 4, 4).transpose(2, 0, 3, 1, 4).reshape(1, 3, 8, 8)
    np.testing.assert_allclose(found.numpy(), folded, atol=1e-9)


def forward_by_hand(state: dict[str, Any], embedded: np.ndarray, frozen: dict[str, Any]) -> np.ndarray:
    """Scores (K,) of token 3 (cell 1,0 behind the class token); what is frozen is set at the first call."""
    from scipy.special import erf

    def spread(place: str, constant: np.ndarray, values: np.ndarray, axis: int | None = -1) -> np.ndarray:
        base = frozen.setdefault(place, values)
        return constant * (values * base).sum(axis, keepdims=True) / (base * base).sum(axis, keepdims=True)

    def linear(name: str, values: np.ndarray) -> np.ndarray:
        return values @ state[f"{name}.weight"].T + spread(name, state[f"{name}.bias"], values)

    def norm(name: str, values: np.ndarray) -> np.ndarray:
        deviation = frozen.setdefault(f"{name}.deviation", np.sqrt(values.var(-1, keepdims=True) + 1e-6))
        scaled = (values - values.mean(-1, keepdims=True)) / deviation * state[f"{name}.weight"]
        return scaled + spread(name, state[f"{name}.bias"], values)  # type: ignore[no-any-return]

    tokens = np.concatenate([spread("class token", state["cls_token"][0], embedded, None), embedded])
    tokens = tokens + spread("positions", state["pos_embed"][0], tokens)
    normed = norm("blocks.0.norm1", tokens)
    q, k, v = linear("blocks.0.attn.qkv", normed).reshape(5, 3, 2, 4).transpose(1, 2, 0, 3)
    logits = np.exp(q @ k.transpose(0, 2, 1) / 2)  # the square root of a head's length of 4
    weights = frozen.setdefault("attention", logits / logits.sum(-1, keepdims=True))
    tokens = tokens + linear("blocks.0.attn.proj", (weights @ v).transpose(1, 0, 2).reshape(5, 8))
    hidden = linear("blocks.0.mlp.fc1", norm("blocks.0.norm2", tokens))
    slope = frozen.setdefault("slope", (1 + erf(hidden / np.sqrt(2))) / 2)
    tokens = norm("norm", tokens + linear("blocks.0.mlp.fc2", hidden * slope))
    return linear("head", tokens[3])


# ------------------------------------------------------------------------------------- against zennit


def agreement(
    model: Any, images: Tensor, cell: tuple[int, int], label: int, is_signed: bool | None = None
) -> tuple[float, float]:
    """Correlation of our map with zennit's, and the largest difference against zennit's largest value.

    Without the head's bias, which its epsilon rule leaves out and ours spreads.
    """
    last_layer(model).bias.data.zero_()
    rules = pytest.importorskip("tests.zennit_rules", reason="zennit, the oracle of relevance, is missing")
    weight, bias = last_layer(model).weight[label], last_layer(model).bias[label]
    expected = rules.explain_by_zennit(
        *(model.forward_features, model, images, cell, weight, bias),
        rules.zplus if is_signed is None else lambda: rules.SignedZPlus(is_signed),
    )
    ours, theirs = explain_model(model, images, cell, label)[0].sum((0, 1)), expected.sum((0, 1))
    correlation = float(torch.stack([ours.flatten(), theirs.flatten()]).corrcoef()[0, 1])
    return correlation, float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("cell", [(0, 0), (2, 1)])
@pytest.mark.parametrize(("name", "arguments"), [*RESNETS, ("resnet50", {})])
def test_resnets_get_what_zennit_gives(name: str, arguments: dict[str, Any], cell: tuple[int, int]) -> None:
    """z+ but for branches whose sum with the shortcut is positive though they are negative (1e-3)."""
    model, images = build(name, **arguments).double(), draw(1, 3, 96, 96).double()
    assert agreement(model, images, cell, 2)[0] >= 0.999
    correlation, difference = agreement(model, images, cell, 2, is_signed=True)
    assert correlation >= 0.99999
    assert difference < 5e-3


def test_plain_convolutions_get_what_zennit_gives() -> None:
    """Where ReLU follows every convolution the rules are z+ itself."""
    rules = pytest.importorskip("tests.zennit_rules", reason="zennit, the oracle of relevance, is missing")
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((3, 8), (8, 8), (8, 6)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    model, head = nn.Sequential(*layers, nn.MaxPool2d(2)).double().eval(), nn.Linear(6, 1).double()
    for module in model:
        if isinstance(module, nn.BatchNorm2d):
            module.bias.data.normal_(0, 0.3)
    images = draw(1, 3, 8, 8).double()
    weight, bias = head.weight[0].detach(), torch.zeros(1).double()[0]
    expected = rules.explain_by_zennit(model, model, images, (2, 1), weight, bias)
    gradient, _, _ = linearise(lambda moving: model(moving)[0, :, 2, 1] @ weight, model, images)
    np.testing.assert_allclose(
        (gradient * images).numpy(), expected.numpy(), atol=1e-4 * float(expected.abs().max())
    )


def test_a_real_network_gets_what_zennit_gives(real: Path) -> None:
    """MobileNetV2 on real photos: the same map where its linear bottlenecks' outputs count by their sign.

    Plain z+, spread as ours is where nothing is positive, sends what a negative output took to the inputs
    that worked against it, and correlates less.
    """
    backbone = load_backbone(
        *("timm/mobilenetv2_100",),
        **{"weights": real / "weights" / "mobilenetv2_100_tf2.safetensors", "device": "cpu"},
        **{"model_args": {"pad_type": "same"}, "mean": 0.5, "std": 0.5, "interpolation": "bilinear"},
    )
    model = backbone.anatomy.tower.module.double()
    photos = sorted(path.name for path in (real / "ilsvrc" / "images").iterdir())
    for name, cell in zip(photos[::87], [(3, 3), (1, 4), (6, 0)], strict=True):
        loaded = load(
            Dataset(real / "ilsvrc" / "images", "photos", (), ()), Sample(name), backbone.preprocess
        )
        images = normalise(torch.tensor(loaded.pixels)[None], backbone.preprocess).double()
        with torch.no_grad():
            label = int(score_of(model, images, cell).argmax())
        correlation, difference = agreement(model, images, cell, label, is_signed=True)
        assert correlation >= 0.99999
        assert difference < 1e-3
        assert agreement(model, images, cell, label, is_signed=False)[0] > 0.9


# ------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("efficientvit_b0", "Bmm of two features"),  # linear attention
        ("test_mambaout", "Mul of two features"),  # gated by features
        ("test_efficientnet_gn", "NativeGroupNorm"),
    ],
)
def test_operations_without_a_rule_are_refused(name: str, operation: str) -> None:
    with pytest.raises(BackboneError, match=f"no relevance rule for .*{operation}"):
        explain_model(build(name), draw(1, 3, 64, 64), (0, 0), 0)


class Doubled(torch.autograd.Function):
    """An operation that autograd knows and we do not."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        return values * 2

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        return gradient * 2


@pytest.mark.parametrize(
    ("run", "operation"),
    [
        (lambda x: Doubled.apply(x).sum(), "Doubled"),
        (lambda x: x.relu().pow(2).sum(), "Pow"),
        (lambda x: (1 / x).sum(), "Reciprocal"),
        (lambda x: (torch.ones(3) / x).sum(), "Div by a feature"),
        (lambda x: (x * x).sum(), "Mul of two features"),
        (lambda x: (x * x.detach()).sum() + x.cumsum(0)[2], "Cumsum"),
        (lambda x: nn.BatchNorm1d(1).train()(x[:, None]).square().sum(), "NativeBatchNorm"),
    ],
)
def test_unknown_operations_are_named(run: Callable[[Tensor], Tensor], operation: str) -> None:
    with pytest.raises(BackboneError, match=operation):
        linearise(run, nn.Identity(), draw(3))


def test_a_score_that_does_not_follow_from_the_image_is_refused() -> None:
    with pytest.raises(BackboneError, match="traced back"):
        linearise(lambda x: x.detach().sum(), nn.Identity(), draw(3))


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
    assert found["conservation_error"] < 0.001
    assert found["is_reliable"]
    maps = ask("cam", IMAGE, "--class", found["name"], "--out", "cam.png")["maps"]
    assert maps[0]["cells"][1][3] == pytest.approx(found["score"], rel=5e-3)
    assert ask("grid", IMAGE)["labels"][0][1][3] == found["label"]
    assert (demo / "relevance.png").is_file()


@pytest.mark.parametrize(
    ("backbone", "readout", "constants"),
    [
        ("test_efficientnet", "pointwise", "gates, slopes"),
        ("test_convnext", "pointwise", "deviations, slopes"),
        ("test_convnext", "exact", "deviations, slopes"),
        ("test_vit", "pointwise", "attention weights, deviations, slopes"),
    ],
)
def test_the_score_is_the_one_that_the_grid_shows(
    demo_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    audit: Callable[..., str],
    ask: Callable[..., Any],
    backbone: str,
    readout: str,
    constants: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    audit(
        *(
            "index",
            demo_folder / "scenes",
            "--backbone",
            f"timm/{backbone}",
            "--weights",
            "random:0",
            "--name",
            "one",
        ),
        *("--head", "own", "--readout", readout, "--limit", "4", "--size", "160"),
    )
    image = "images/000001.png"
    found = ask("relevance", image, "--cell", "1,2", "--out", "relevance.png")
    maps = ask("cam", image, "--class", found["name"], "--out", "cam.png")["maps"]
    assert maps[0]["cells"][1][2] == pytest.approx(found["score"], rel=5e-3)
    assert ask("grid", image)["labels"][0][1][2] == found["label"]
    assert found["method"].startswith("LRP as input times gradient")
    assert constants in found["method"]


def test_relevance_stays_in_what_the_cell_can_see(demo: Path) -> None:
    """The brute-force truth: a pixel far away that changes nothing has no relevance."""
    model, images = build("resnet10t"), draw(1, 3, 256, 256)
    found, _ = explain_model(model, images, (0, 0), 1)
    moved = images.clone()
    moved[..., 220:] += 1
    with torch.no_grad():
        change = model.forward_features(moved) - model.forward_features(images)
    assert change[0, :, 0, 0].abs().max() == 0
    assert found[..., 220:].abs().max() == 0
    assert found.abs().max() > 0


def test_the_map_of_the_demo_is_right(demo: Path) -> None:
    check_maps("symbols", images=3)


@pytest.mark.parametrize("network", ["mobilenetv2", "deit_tiny"])
def test_the_map_of_a_real_network_is_right(real: Path, network: str) -> None:
    check_maps(network, images=4)


def check_maps(network: str, images: int) -> None:
    """All of the score, more of it on the object than by chance, and pixels whose order matters."""
    backbone, dataset = NETWORKS[network]()
    trials = [
        {name: judge(case, draw_map(case)) for name, draw_map in METHODS.items()}
        for case in cases(backbone, dataset, images)
    ]
    assert len(trials) == images
    assert max(trial["the rules"].error for trial in trials) <= 0.01
    assert sum(trial["the rules"].inside - trial["the rules"].area for trial in trials) > 0
    gaps = {name: sum(trial[name].rising - trial[name].falling for trial in trials) for name in METHODS}
    assert gaps["the rules"] > max(gaps["gradient x input"], 0)


def test_a_map_that_lost_its_score_is_marked(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the record, the table and the picture: here by an operation whose rule loses a tenth each time."""
    with Index.open(demo / "indexes" / "scenes-symbols") as index:
        good = relevance(index, IMAGE, 1, 3)
        monkeypatch.setitem(
            _RULES, "relu", (lambda f, values, *_, **__: f(values) * 0.9 + f(values.detach()) * 0.1, None)
        )
        bad = relevance(index, IMAGE, 1, 3)
        (picture,) = picture_relevance(index, bad)
    assert good.is_reliable
    assert not bad.is_reliable
    assert not replace(good, score=0.0).is_reliable
    (table,), (good_table,) = view_relevance(bad).tables, view_relevance(good).tables
    assert "Unreliable: " in " ".join(table.notes)
    assert "Unreliable" not in " ".join(good_table.notes)
    red = (np.asarray(picture.image)[-132:] == Red).all(-1).sum()
    assert red > 100


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
    monkeypatch.setitem(_RULES, "relu", (lambda _function, values, *_args, **_kwargs: values, "nothing"))
    with (
        Index.open(demo / "indexes" / "scenes-symbols") as index,
        pytest.raises(BackboneError, match="no map is given"),
    ):
        relevance(index, IMAGE, 1, 3)
