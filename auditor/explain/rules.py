"""LRP as input times gradient: rules under which a network of known operations is linear in its image.

Attention weights, deviations, gates and slopes become constants (CP-LRP; Ali et al., 2022). In convolutions
relevance goes to the inputs that pull an output the way it went (the generalised gamma rule of Andeol et al.,
2021, in the limit of a large gamma; z+ where outputs are positive): by plain gradients, what MobileNetV2's
maps called relevant mattered no more than the rest. Rules hold for operations, whatever module runs them, and
`linearity` refuses what none of them has made linear. Scores stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from auditor.explain.linearity import check_linear

Rule = Callable[..., Tensor]

_TINY = 1e-9


def linearise(
    run: Callable[[Tensor], Tensor], model: nn.Module, inputs: Tensor
) -> tuple[Tensor, Tensor, str]:
    """Gradient of the one score that `run` gives for `inputs`, the score, and which rules were used.

    Relevance is gradient times inputs. BackboneError where no rule makes what the model computes linear.
    """
    moving = inputs.detach().requires_grad_()
    with constant_parameters(model), torch.enable_grad():
        with Linearised() as rules:
            score = run(moving)
        check_linear(score)
        (gradient,) = torch.autograd.grad(score, moving)
    return gradient, score.detach(), rules.method


@contextmanager
def constant_parameters(model: nn.Module) -> Iterator[None]:
    """Inside the block only the image moves, so that a product of two moving tensors is one of features."""
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in moving:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)


class Linearised(TorchFunctionMode):
    """Inside the block torch's operations follow the rules of this module."""

    def __init__(self) -> None:
        super().__init__()
        self._used: set[str] = set()
        self._convolved: tuple[Tensor, Convolution] | None = None

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """The operation, by its rule if it has one."""
        name, kwargs = getattr(function, "__name__", "").rstrip("_"), kwargs or {}
        if name == "conv2d":
            return self._convolve(Convolution(function, *args, **kwargs))
        if name == "batch_norm":
            return self._normalise(function, *args, **kwargs)
        if name not in _RULES:
            return function(*args, **kwargs)
        rule, constant = _RULES[name]
        self._used.add(constant)
        return rule(function, *args, **kwargs)

    @property
    def method(self) -> str:
        """Which rules were used."""
        constants = ", ".join(sorted(self._used)) or "nothing"
        convolutions = "" if self._convolved is None else "; z+ with the sign of the output in convolutions"
        return f"LRP as input times gradient; constant: {constants}{convolutions}"

    def _convolve(self, convolution: Convolution) -> Tensor:
        result = convolution.favour(convolution.value)
        self._convolved = result, convolution
        return result

    def _normalise(
        self,
        function: Any,
        images: Tensor,
        mean: Tensor | None,
        variance: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """BatchNorm: part of the convolution right before it, else a scale and a shift."""
        if training or mean is None or variance is None:  # not linear: left to be refused
            batch: Tensor = function(images, mean, variance, weight, bias, training, momentum, eps)
            return batch
        scale = (variance + eps).rsqrt() * (1 if weight is None else weight)
        shift = (0 if bias is None else bias) - mean * scale
        value = images * _per_channel(scale, images) + _per_channel(shift, images)
        if self._convolved is None or images is not self._convolved[0]:
            return value
        return self._convolved[1].favour(value, scale)


class Convolution:
    """One call of conv2d."""

    def __init__(
        self,
        function: Rule,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        *rest: Any,
        **more: Any,
    ) -> None:
        self.value = function(images, weight, bias, *rest, **more)
        self._run: Rule = lambda inputs, weights: function(inputs, weights, None, *rest, **more)
        self._images, self._weight = images, weight

    def favour(self, value: Tensor, scale: Tensor | None = None) -> Tensor:
        """`value`, whose relevance goes to the products of inputs and weights that have its sign.

        `scale` (C,) is that of a BatchNorm after it. Biases have no part: they would swallow most.
        """
        weight = self._weight if scale is None else self._weight * scale[:, None, None, None]
        positive = (self._images > 0).to(self._images)
        above = self._images * positive
        rising = self._run(above, weight.clamp(min=0)) + self._run(self._images - above, weight.clamp(max=0))
        falling = self._run(self._images, weight) - rising
        return _send(torch.where(value.detach() > 0, 1.0, 0.0), rising, falling, value.detach())


def _send(rises: Tensor, rising: Tensor, falling: Tensor, value: Tensor) -> Tensor:
    """`value` as a constant multiple of one of the two; where that is 0 biases made it: a constant."""
    favoured = rises * rising + (1 - rises) * falling
    has_cause = favoured.detach().abs() > _TINY
    ratio = torch.where(has_cause, value / torch.where(has_cause, favoured.detach(), 1.0), 0.0)
    sent = favoured * ratio
    return sent + (value - sent).detach()


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 2))


def _hold(function: Rule, *args: Any, **kwargs: Any) -> Tensor:
    """f(x) is a constant."""
    return function(*args, **kwargs).detach()


def _hold_slope(function: Rule, values: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """f(x) = x * (f(x) / x) with the ratio constant: what comes out goes back in whole."""
    nonzero = torch.where(values.abs() < _TINY, _TINY, values).detach()
    return values * (function(nonzero.clone(), *args, **kwargs) / nonzero)  # a copy: it may work in place


def _hold_deviation(
    _function: Rule,
    values: Tensor,
    shape: tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """LayerNorm with a constant deviation; the mean is linear."""
    axes = tuple(range(-len(shape), 0))
    deviation = (values.var(axes, unbiased=False, keepdim=True) + eps).sqrt().detach()
    scaled = (values - values.mean(axes, keepdim=True)) / deviation
    scaled = scaled if weight is None else scaled * weight
    return scaled if bias is None else scaled + bias


def _hold_attention(function: Rule, queries: Tensor, keys: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Only the values move."""
    return function(queries.detach(), keys.detach(), *args, **kwargs)


_RULES: dict[str, tuple[Rule, str]] = {
    **dict.fromkeys(
        ("gelu", "silu", "tanh", "mish", "elu", "hardswish", "relu6", "hardtanh"), (_hold_slope, "slopes")
    ),
    **dict.fromkeys(("sigmoid", "hardsigmoid"), (_hold, "gates")),
    "softmax": (_hold, "attention weights"),
    **dict.fromkeys(
        ("scaled_dot_product_attention", "multi_head_attention_forward"),
        (_hold_attention, "attention weights"),
    ),
    "layer_norm": (_hold_deviation, "deviations"),
    **dict.fromkeys(("norm", "rsqrt"), (_hold, "lengths")),
    **dict.fromkeys(("normalize", "rms_norm"), (_hold_slope, "lengths")),
}
