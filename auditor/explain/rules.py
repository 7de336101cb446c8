"""Which layers relevance can be sent through, and CP-LRP for vision transformers.

A model is only answered for when every one of its modules is on a list: an unknown layer would not raise, it
would give a wrong map. CP-LRP (Ali et al., 2022) makes a transformer linear in its tokens: attention weights
(queries and keys), LayerNorm's deviation and the activation's slope are taken as constants, and relevance is
input times gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.errors import BackboneError
from auditor.models.hooks import replaced_output

Family = Literal["convolutional", "transformer"]

_SHARED = {"Conv2d", "Linear", "Identity", "Dropout", "Sequential"}
_CONVOLUTIONAL = {
    *(_SHARED | {"ResNet", "BasicBlock", "Bottleneck"}),
    *("BatchNorm2d", "ReLU", "MaxPool2d", "AvgPool2d", "AvgPool2dSame"),
    *("SelectAdaptivePool2d", "FastAdaptiveAvgPool", "AdaptiveAvgPool2d", "Flatten"),  # never run: one cell
}
_TRANSFORMER = {
    *(_SHARED | {"VisionTransformer", "PatchEmbed", "Block", "Attention", "Mlp", "LayerScale"}),
    *("LayerNorm", "GELU", "QuickGELU"),
}
_HOMES = {  # where timm keeps the classes whose names other models use as well
    **dict.fromkeys(("ResNet", "BasicBlock", "Bottleneck"), ("timm.models.resnet",)),
    **dict.fromkeys(("VisionTransformer", "Block"), ("timm.models.vision_transformer",)),
    "LayerScale": ("timm.models.vision_transformer", "timm.layers.layer_scale"),
    "Attention": ("timm.models.vision_transformer", "timm.layers.attention"),
}


def family_of(model: nn.Module) -> Family:
    """How relevance goes through this model; BackboneError where one of its layers has no rule."""
    unknown = _unknown(model, _CONVOLUTIONAL)
    if not unknown:
        return "convolutional"
    unknown_to_transformers = _unknown(model, _TRANSFORMER)
    if not unknown_to_transformers:
        return "transformer"
    named = min(unknown, unknown_to_transformers, key=len)
    raise BackboneError(
        f"there is no relevance rule for {', '.join(sorted(named)[:3])} of this backbone; "
        "audit relevance knows timm's ResNets and plain vision transformers"
    )


def _unknown(model: nn.Module, known: set[str]) -> set[str]:
    return {type(module).__name__ for module in model.modules() if not _is_known(module, known)}


def _is_known(module: nn.Module, known: set[str]) -> bool:
    kind = type(module)
    home = kind.__module__
    is_at_home = home in _HOMES.get(kind.__name__, (home,)) and home.startswith(("torch.nn.", "timm."))
    return kind.__name__ in known and is_at_home and not _does_more(module)


def _does_more(module: nn.Module) -> bool:
    """Parts that a listed class has only on request, and that its rule does not know."""
    return any(getattr(module, name, None) is not None for name in ("gate", "attn_pool"))


def explain_tokens(
    run: Callable[[Tensor], Tensor], model: nn.Module, images: Tensor
) -> tuple[Tensor, Tensor]:
    """Relevance (1, 3, S, S) of the one score that `run` gives for images (1, 3, S, S), and the score."""
    moving = images.detach().requires_grad_()
    with linearised(model), torch.enable_grad():
        score = run(moving)
        (gradient,) = torch.autograd.grad(score, moving)
    return gradient * moving.detach(), score.detach()


@contextmanager
def linearised(model: nn.Module) -> Iterator[None]:
    """Attention weights, LayerNorm's deviation and activations' slopes are constants inside the block."""
    with ExitStack() as stack:
        for module in model.modules():
            rule = _TOKEN_RULES.get(type(module).__name__)
            if rule is not None:
                stack.enter_context(rule(module))
        yield


def _freeze_attention(attention: Any) -> Any:
    """Queries and keys are detached; only the values carry relevance."""
    qkv = attention.qkv

    def split(tokens: Tensor) -> Tensor:
        joined = F.linear(tokens, qkv.weight, qkv.bias)
        at = 2 * joined.shape[-1] // 3
        return torch.cat([joined[..., :at].detach(), joined[..., at:]], -1)

    return replaced_output(qkv, split)


def _freeze_norm(norm: Any) -> Any:
    """The deviation is detached, the mean is not: it is linear."""

    def scale(tokens: Tensor) -> Tensor:
        deviation = (tokens.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt().detach()
        scaled: Tensor = (tokens - tokens.mean(-1, keepdim=True)) / deviation
        scaled = scaled if norm.weight is None else scaled * norm.weight
        return scaled if norm.bias is None else scaled + norm.bias

    return replaced_output(norm, scale)


def _freeze_slope(activation: Any) -> Any:
    """f(x) = x * (f(x) / x) with the ratio detached: what comes out goes back in whole."""

    def scale(values: Tensor) -> Tensor:
        tiny = torch.where(values.abs() < 1e-9, 1e-9, values)
        slope: Tensor = (activation.forward(tiny) / tiny).detach()
        return values * slope

    return replaced_output(activation, scale)


_TOKEN_RULES: dict[str, Callable[[Any], Any]] = {
    "Attention": _freeze_attention,
    "LayerNorm": _freeze_norm,
    **dict.fromkeys(("GELU", "QuickGELU"), _freeze_slope),
}
