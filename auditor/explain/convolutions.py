"""LRP through convolutional networks with zennit's rules, and the canonizer that timm's blocks need.

zennit's own ResNet canonizer knows torchvision's classes only and does nothing to timm's, without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from auditor.errors import BackboneError

# What a residual block runs before its sum, and the activation after it.
_BODIES: dict[str, tuple[tuple[str, ...], str]] = {
    "BasicBlock": (("conv1", "bn1", "drop_block", "act1", "aa", "conv2", "bn2"), "act2"),
    "Bottleneck": (
        ("conv1", "bn1", "act1", "conv2", "bn2", "drop_block", "act2", "aa", "conv3", "bn3"),
        "act3",
    ),
}


_BLOCKS = {"ResNet", "BasicBlock", "Bottleneck"}
# What else may be in them; head and pooling never run: one cell is explained.
_LAYERS = {
    *("Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "AvgPool2d", "AvgPool2dSame", "Sequential", "Identity"),
    *("Linear", "Dropout", "SelectAdaptivePool2d", "FastAdaptiveAvgPool", "AdaptiveAvgPool2d", "Flatten"),
}


def is_plain_resnet(model: nn.Module) -> bool:
    """Whether every module is one that the rules here were made for."""
    return all(map(_is_known, model.modules()))


def _is_known(module: nn.Module) -> bool:
    kind = type(module)
    if kind.__name__ in _BLOCKS:
        return kind.__module__ == "timm.models.resnet"
    return kind.__name__ in _LAYERS and kind.__module__.startswith(("torch.nn.", "timm.layers."))


def explain_convolutions(
    features: Callable[[Tensor], Tensor],
    model: nn.Module,
    images: Tensor,
    cell: tuple[int, int],
    weight: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """Relevance (1, 3, S, S) of the score weight (C,) . h + bias of one cell, and the score.

    `features` gives (1, C, H, W). LRP-z+ without biases in convolutions, epsilon in the head, shares of the
    sum where branches meet, winner takes all in max pooling.
    """
    head = _as_convolution(weight, bias)
    moving = images.detach().requires_grad_()
    with torch.enable_grad(), ruled(nn.ModuleDict({"model": model, "head": head})):
        scores = head(features(moving))  # 1, 1, H, W
        start = torch.zeros_like(scores)
        start[0, 0, cell[0], cell[1]] = scores.detach()[0, 0, cell[0], cell[1]]
        (relevance,) = torch.autograd.grad(scores, moving, start)
    return relevance.detach(), start.sum()


def _as_convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """The head as a module that a rule can be hooked to: an einsum would be passed by."""
    head = nn.Conv2d(len(weight), 1, 1).to(weight)
    head.weight.data, head.bias.data = weight.detach()[None, :, None, None], bias.detach()[None]  # type: ignore[union-attr]
    return head.eval()


@contextmanager
def ruled(model: nn.Module) -> Iterator[None]:
    """Inside the block gradients through the model are relevances; its head is the module named `head`."""
    zennit = _import_zennit()
    composite = zennit.core.Composite(_rule_map(zennit), [_merge_norms(zennit), _sum_as_module(zennit)])
    try:
        composite.register(model)
        yield
    finally:
        composite.remove()


def _import_zennit() -> Any:
    try:
        import zennit.canonizers
        import zennit.core
        import zennit.layer
        import zennit.rules
    except ImportError as problem:
        raise BackboneError(
            "relevance through convolutions needs zennit, an extra under the LGPL; "
            "install it with: pip install 'auditor[relevance]'"
        ) from problem
    return zennit


def _rule_map(zennit: Any) -> Callable[[dict[str, Any], str, nn.Module], Any]:
    rules = zennit.rules
    by_kind = (
        # Biases take no part in z+: they would swallow most of the relevance of a trained network.
        (nn.Conv2d, rules.ZPlus(zero_params="bias")),
        ((nn.ReLU, nn.BatchNorm2d), rules.Pass()),  # norms are merged into their convolutions
        ((nn.AvgPool2d, zennit.layer.Sum), rules.Norm()),
    )

    def choose(_context: dict[str, Any], name: str, module: nn.Module) -> Any:
        if name == "head":
            return rules.Epsilon()
        return next((rule for kinds, rule in by_kind if isinstance(module, kinds)), None)

    return choose


def _merge_norms(zennit: Any) -> Any:
    """Every BatchNorm into the convolution before it: timm's blocks list them in the order they run in."""

    class MergeNorms(zennit.canonizers.MergeBatchNorm):  # type: ignore[misc]
        def apply(self, root: nn.Module) -> list[Any]:
            merged, before = [], None
            for module in root.modules():
                if isinstance(module, nn.BatchNorm2d) and before is not None:
                    merged.append(self.copy())
                    merged[-1].register((before,), module)
                    module.weight.data *= (1 + module.eps) ** 0.5  # zennit leaves eps: no identity without
                if not any(module.children()):
                    before = module if isinstance(module, nn.Conv2d) else None
            return merged

    return MergeNorms()


def _sum_as_module(zennit: Any) -> Any:
    """Where a block's branches meet, a module of its own, so that the sum has a rule."""

    def canonise(_name: str, block: Any) -> dict[str, Any] | None:
        body = _BODIES.get(type(block).__name__)
        if body is None:
            return None
        return {"branches": zennit.layer.Sum(), "forward": lambda inputs: _run_block(block, *body, inputs)}

    return zennit.canonizers.AttributeCanonizer(canonise)


def _run_block(block: Any, body: tuple[str, ...], activation: str, inputs: Tensor) -> Tensor:
    values = inputs
    for name in body:
        values = getattr(block, name)(values)
    shortcut = inputs if block.downsample is None else block.downsample(inputs)
    joined: Tensor = getattr(block, activation)(block.branches(torch.stack([values, shortcut], -1)))
    return joined
