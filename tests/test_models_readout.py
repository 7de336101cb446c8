"""Readouts against closed forms and brute force, and hooks that are gone afterwards."""

import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers.attention_pool2d import AttentionPool2d
from torch import Tensor, nn

from auditor.errors import BackboneError
from auditor.models.attention import repeated_cell_2d
from auditor.models.backbone import Grid
from auditor.models.hooks import recorded, replaced_input, replaced_output
from auditor.models.layout import Hints, Layout, UnreadableError, find_layout
from auditor.models.readout import freeze_norm, relative_error, split_taylor
from auditor.models.weights import load_backbone

torch.set_num_threads(1)  # small work: on a busy machine threads cost more than they give


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize(
    ("shape", "hints", "size", "expected"),
    [
        ((2, 512, 7, 7), Hints(channels=512), (224, 224), ("NCHW", 0, (7, 7), 512)),
        ((2, 7, 7, 512), Hints(channels=512), (224, 224), ("NHWC", 0, (7, 7), 512)),
        ((2, 7, 7, 7), Hints(channels=7, format="NHWC"), (224, 224), ("NHWC", 0, (7, 7), 7)),
        ((2, 197, 768), Hints(channels=768, prefix=1), (224, 224), ("NLC", 1, (14, 14), 768)),
        ((2, 201, 768), Hints(channels=768, prefix=5), (224, 224), ("NLC", 5, (14, 14), 768)),
        ((2, 99, 64), Hints(channels=64, prefix=1, reduction=16), (224, 112), ("NLC", 1, (14, 7), 64)),
        ((2, 50, 64), Hints(channels=64), (224, 224), ("NLC", 1, (7, 7), 64)),
        ((2, 98, 64), Hints(channels=64, prefix=0), (448, 224), ("NLC", 0, (14, 7), 64)),
    ],
)
def test_layout(shape: tuple[int, ...], hints: Hints, size: tuple[int, int], expected: tuple) -> None:  # type: ignore[type-arg]
    raw = draw(*shape)
    layout = find_layout(raw, hints, size)
    assert (layout.format, layout.prefix, layout.grid, layout.dim) == expected
    features, prefix = layout.split(raw)
    assert features.shape == (2, *expected[2], expected[3])
    assert torch.equal(layout.join(features, prefix), raw)


@pytest.mark.parametrize("raw", [[draw(1, 2)], draw(2, 512), draw(2, 17, 3)])
def test_what_is_no_grid(raw: object) -> None:
    with pytest.raises(UnreadableError):
        find_layout(raw, Hints(channels=3, prefix=0), (224, 224))


# ------------------------------------------------------------------------------------------------- splits


def test_relative_error_by_hand() -> None:
    wanted = torch.tensor([[1.0, 2.0, 3.0]])  # standard deviation 1
    assert relative_error(wanted + torch.tensor([0.0, 0.5, -0.25]), wanted) == pytest.approx(0.5)


@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.RMSNorm(8, eps=1e-6), nn.GroupNorm(1, 8)])
def test_frozen_norm_averages_to_the_norm_of_the_mean(norm: nn.Module) -> None:
    nn.init.normal_(norm.weight)
    features = 5 * draw(2, 3, 4, 8) + 1
    pooled = features.mean((1, 2))
    with torch.no_grad():
        torch.testing.assert_close(freeze_norm(norm, features, pooled).mean((1, 2)), norm(pooled))
        alone = pooled[:, None, None]  # for the pooled vector itself nothing is frozen
        torch.testing.assert_close(freeze_norm(norm, alone, pooled)[:, 0, 0], norm(pooled))


def test_taylor_of_a_square_by_hand() -> None:
    """f(h) = h^2 around c: c^2 + 2 c (h - c)."""
    cells, center = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[2.0]])
    assert split_taylor(lambda h: h**2, cells, center).flatten().tolist() == [0.0, 8.0]


@pytest.mark.parametrize("library", ["open_clip", "timm"])
def test_repeated_cell_equals_a_grid_of_it(library: str) -> None:
    pool: nn.Module
    if library == "timm":
        pool = AttentionPool2d(32, feat_size=4, out_features=6, head_dim=8)
        nn.init.normal_(pool.pos_embed)
    else:
        pool = open_clip.modified_resnet.AttentionPool2d(4, 32, 4, 6)
    cells = draw(5, 32)
    with torch.no_grad():
        grids = cells[:, :, None, None].expand(-1, -1, 4, 4)
        torch.testing.assert_close(repeated_cell_2d(pool, cells, (4, 4)), pool(grids))


# ------------------------------------------------------------------------------------------------- a backbone


def slow_head(name: str, cell: Tensor) -> Tensor:
    """The head of three families by their own modules, on one cell."""
    model = MODELS[name]
    if name == "resnet18":
        return model.fc(cell)
    if name == "convnext_atto":
        head = model.head
        normalised = F.layer_norm(cell, cell.shape, head.norm.weight, head.norm.bias, head.norm.eps)
        return head.fc(normalised)
    return model.head(cell)


MODELS: dict[str, nn.Module] = {}


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "vit_tiny_patch16_224"])
def test_pointwise_is_the_head_on_every_cell(name: str) -> None:
    backbone = load_backbone(f"timm/{name}", weights="random:4", device="cpu")
    MODELS[name] = backbone.anatomy.tower.module
    grid = backbone.grid_of(draw(2, 3, 224, 224))
    scores = backbone.pointwise(grid.features)
    with torch.no_grad():
        for image, row, col in [(0, 0, 0), (1, 2, 5), (0, 6, 6)]:
            wanted = slow_head(name, grid.features[image, row, col])
            torch.testing.assert_close(scores[image, row, col], wanted, rtol=1e-4, atol=1e-5)


def test_class_token_model_has_no_exact_readout() -> None:
    backbone = load_backbone("timm/test_vit.r160_in1k", weights="random", size=160, device="cpu")
    grid = backbone.grid_of(draw(2, 3, 160, 160))
    assert grid.prefix is not None
    assert grid.prefix.shape == (2, 1, 64)
    with pytest.raises(BackboneError, match="reads a class token"):
        backbone.exact(grid)


def test_features_only_model() -> None:
    backbone = load_backbone("timm/pit_ti_224", weights="random", device="cpu")
    grid = backbone.grid_of(draw(1, 3, 224, 224))
    assert grid.features.shape == (1, 7, 7, 256)
    assert grid.logits is None
    for readout in (lambda: backbone.exact(grid), lambda: backbone.pointwise(grid.features)):
        with pytest.raises(BackboneError, match="use a probe"):
            readout()


@torch.no_grad()
def test_exact_from_stored_features_needs_no_model_run() -> None:
    """Features and prefix come back from disk; the split is the same as from the forward pass."""
    backbone = load_backbone("timm/convnext_atto", weights="random", device="cpu")
    grid = backbone.grid_of(draw(2, 3, 224, 224))
    stored = Grid(grid.features.half().float(), grid.pooled, None, grid.logits)
    assert relative_error(backbone.exact(stored).mean((1, 2)), backbone.exact(grid).mean((1, 2))) < 1e-2


# ------------------------------------------------------------------------------------------------- hooks


def count_hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize(
    "name", ["resnet18", "convnext_atto", "efficientvit_b0", "vit_pe_core_tiny_patch16_384"]
)
def test_no_hook_is_left(name: str) -> None:
    """After loading, extraction and both readouts."""
    before = count_hooks(timm.create_model(name))
    backbone = load_backbone(f"timm/{name}", weights="random", device="cpu")
    side = backbone.preprocess.crop
    grid = backbone.grid_of(draw(1, 3, side, side))
    backbone.pointwise(grid.features[:, :2, :2])
    backbone.exact(grid)
    assert count_hooks(backbone.anatomy.tower.module) == before


def test_hooks_are_removed_when_the_block_fails() -> None:
    layer = nn.Linear(2, 2)
    for change in (replaced_output(layer, lambda x: x), replaced_input(layer, draw(1, 2)), recorded([layer])):
        with pytest.raises(ZeroDivisionError), change:
            _ = 1 / 0
    assert count_hooks(layer) == 0


def test_layout_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Layout("NCHW", 0, (1, 1), 1).dim = 2  # type: ignore[misc]
