"""zennit as an oracle for relevance: z+ in convolutions, each BatchNorm merged into the one before it.

zennit's own canonizers do nothing to timm's blocks, without a word, so those that it needs are here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import zennit.canonizers
import zennit.core
import zennit.layer
import zennit.rules
from torch import Tensor, nn

# What a residual block runs before its sum, and the activation after it.
_BODIES: dict[str, tuple[tuple[str, ...], str | None]] = {
    "BasicBlock": (("conv1", "bn1", "drop_block", "act1", "aa", "conv2", "bn2"), "act2"),
    "Bottleneck": (
        ("conv1", "bn1", "act1", "conv2", "bn2", "drop_block", "act2", "aa", "conv3", "bn3"),
        "act3",
    ),
    "InvertedResidual": (("conv_pw", "bn1", "conv_dw", "bn2", "aa", "se", "conv_pwl", "bn3"), None),
}

EPSILON = 1e-12


def zplus() -> zennit.core.BasicHook:
    """z+ without biases: they would swallow most of the relevance of a trained network."""
    return zennit.rules.ZPlus(EPSILON, zero_params="bias")


class SignedZPlus(zennit.core.BasicHook):  # type: ignore[misc]
    """z+ where an output is positive, its mirror image where it is negative: the gamma rule's limit.

    Where no product has the output's sign, the squares of all inputs in its receptive field share. Unless
    `is_signed`, every output counts as positive.
    """

    def __init__(self, is_signed: bool = True) -> None:
        clamp, stabilise = zennit.rules.ClampMod, zennit.rules.Stabilizer.ensure(EPSILON)
        above, below = {"min": 0.0, "zero_params": "bias"}, {"max": 0.0, "zero_params": "bias"}

        def share(gradient: Tensor, outputs: list[Tensor]) -> list[Tensor]:
            rising, falling = gradient / stabilise(sum(outputs[:2])), gradient / stabilise(sum(outputs[2:4]))
            rises = (outputs[4] > 0) | (not is_signed)
            rising, falling = rising * rises, falling * ~rises
            favoured = torch.where(rises, sum(outputs[:2]), sum(outputs[2:4]))
            spread = gradient / stabilise(outputs[5]) * (favoured.abs() <= 1e-9)
            return [rising, rising, falling, falling, torch.zeros_like(gradient), spread]

        super().__init__(
            input_modifiers=[
                *[lambda x: x.clamp(min=0), lambda x: x.clamp(max=0)] * 2,
                *(lambda x: x, lambda x: (x * x).sum(1, keepdim=True).expand_as(x).clone()),
            ],
            param_modifiers=[
                *(clamp(**above), clamp(**below), clamp(**below), clamp(**above)),
                zennit.rules.NoMod(),
                zennit.core.ParamMod(lambda weight, _name: torch.ones_like(weight), zero_params="bias"),
            ],
            output_modifiers=[lambda x: x] * 6,
            gradient_mapper=share,
            reducer=lambda inputs, gradients: (
                sum(x * g for x, g in zip(inputs[:4], gradients[:4], strict=True))
                + inputs[4] ** 2 * gradients[5].sum(1, keepdim=True)
            ),
        )


def explain_by_zennit(
    features: Callable[[Tensor], Tensor],
    model: nn.Module,
    images: Tensor,
    cell: tuple[int, int],
    weight: Tensor,
    bias: Tensor,
    convolution: Callable[[], zennit.core.BasicHook] = zplus,
) -> Tensor:
    """Relevance (1, 3, S, S) of the score weight (C,) . h + bias of one cell of features (1, C, H, W)."""
    head = nn.Conv2d(len(weight), 1, 1).to(weight)  # a module that a rule can be hooked to
    head.load_state_dict({"weight": weight.detach()[None, :, None, None], "bias": bias.detach()[None]})
    moving = images.detach().requires_grad_()
    with _ruled(nn.ModuleDict({"model": model, "head": head}), convolution):
        scores = head(features(moving))  # 1, 1, H, W
        start = torch.zeros_like(scores)
        start[0, 0, cell[0], cell[1]] = scores.detach()[0, 0, cell[0], cell[1]]
        (relevance,) = torch.autograd.grad(scores, moving, start)
    return relevance.detach()


@contextmanager
def _ruled(model: nn.Module, convolution: Callable[[], zennit.core.BasicHook]) -> Iterator[None]:
    def choose(_context: dict[str, Any], name: str, module: nn.Module) -> Any:
        if name == "head":
            return zennit.rules.Epsilon(EPSILON)
        if isinstance(module, nn.Conv2d):
            return convolution()
        if isinstance(module, nn.ReLU | nn.ReLU6 | nn.BatchNorm2d):
            return zennit.rules.Pass()
        return zennit.rules.Norm(EPSILON) if isinstance(module, nn.AvgPool2d | zennit.layer.Sum) else None

    composite = zennit.core.Composite(
        choose, [_MergeNorms(), zennit.canonizers.AttributeCanonizer(_sum_as_module)]
    )
    try:
        composite.register(model)
        yield
    finally:
        composite.remove()


class _MergeNorms(zennit.canonizers.MergeBatchNorm):  # type: ignore[misc]
    """Every BatchNorm into the convolution before it: timm's blocks list them in the order they run in."""

    def apply(self, root: nn.Module) -> list[Any]:
        merged, before = [], None
        for module in root.modules():
            if isinstance(module, nn.BatchNorm2d) and before is not None:
                merged.append(self.copy())
                merged[-1].register((before,), module)
                module.weight.data *= (1 + module.eps) ** 0.5  # zennit leaves eps: no identity without
            if isinstance(module, nn.Conv2d):
                before = module
            elif not any(module.children()):
                before = None
        return merged


def _sum_as_module(_name: str, block: Any) -> dict[str, Any] | None:
    """Where a block's branches meet, a module of its own, so that the sum has a rule."""
    body = _BODIES.get(type(block).__name__)
    if body is None or not getattr(block, "has_skip", True):
        return None
    return {"branches": zennit.layer.Sum(), "forward": lambda inputs: _run_block(block, *body, inputs)}


def _run_block(block: Any, body: tuple[str, ...], activation: str | None, inputs: Tensor) -> Tensor:
    values = inputs
    for name in body:
        values = getattr(block, name)(values)
    downsample = getattr(block, "downsample", None)
    shortcut = inputs if downsample is None else downsample(inputs)
    joined: Tensor = block.branches(torch.stack([values, shortcut], -1))
    return joined if activation is None else getattr(block, activation)(joined)
