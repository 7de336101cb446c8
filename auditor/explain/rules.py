"""LRP as input times gradient: rules under which a network of known operations is linear in its image.

Attention weights, deviations, gates and slopes become constants (CP-LRP; Ali et al., 2022). In convolutions
relevance goes to the inputs that pull an output the way it went (the generalised gamma rule of Andeol et al.,
2021, in the limit of a large gamma; z+ where outputs are positive): by plain gradients, what MobileNetV2's
maps called relevant mattered no more than the rest. What comes from no input (biases, positions, class
tokens, outputs of convolutions that no input pulled that way) is spread over the inputs at its place by their
squares, so that relevance keeps its sum; benchmarks/RESULTS.md compares. Rules hold for operations, whatever
module runs them, and `linearity` refuses what none of them has made linear. Scores stay what they are.
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
        self._used |= {constant} if constant else set()
        return rule(function, *args, **kwargs)

    @property
    def method(self) -> str:
        """Which rules were used."""
        constants = ", ".join(sorted(self._used)) or "nothing"
        convolutions = "" if self._convolved is None else "; z+ with the sign of the output in convolutions"
        return f"LRP as input times gradient; constant: {constants}{convolutions}; biases spread over inputs"

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
        scaled, shift = images * _per_channel(scale, images), _per_channel(shift, images)
        if self._convolved is None or images is not self._convolved[0]:
            return scaled + _spread(shift, images, 1)
        return self._convolved[1].favour(scaled + shift, scale)


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

        `scale` (C,) is that of a BatchNorm after it. Biases have no part: they would swallow most. Where no
        product has that sign, biases made the value, and all that is in the receptive field has a part.
        """
        weight = self._weight if scale is None else self._weight * scale[:, None, None, None]
        positive = (self._images > 0).to(self._images)
        above = self._images * positive
        rising = self._run(above, weight.clamp(min=0)) + self._run(self._images - above, weight.clamp(max=0))
        falling = self._run(self._images, weight) - rising
        rises = (value.detach() > 0).to(value)
        favoured = rises * rising + (1 - rises) * falling
        has_cause = (favoured.detach().abs() > _TINY).to(value)
        if not has_cause.all():
            favoured = has_cause * favoured + (1 - has_cause) * self._power()
        return _send(favoured, value.detach())

    def _power(self) -> Tensor:
        """The sum of squares in every output's receptive field, over all channels, as `_power` below."""
        power = _power(self._images, 1).expand_as(self._images)
        return self._run(power, torch.ones_like(self._weight))


def _send(cause: Tensor, value: Tensor) -> Tensor:
    """`value` as a constant multiple of its cause; where that is 0 a constant."""
    has_cause = cause.detach().abs() > _TINY
    sent = cause * torch.where(has_cause, value / torch.where(has_cause, cause.detach(), 1.0), 0.0)
    return sent + (value - sent).detach()


def _power(values: Tensor, axes: int | tuple[int, ...]) -> Tensor:
    """Sum of squares, linear in the values: each has its square as relevance."""
    return (values * values.detach()).sum(axes, keepdim=True)


def _spread(constant: Any, values: Tensor, axes: int | tuple[int, ...] = -1) -> Tensor:
    """A constant whose relevance goes to the values along the axes, by their squares; lost if all are 0."""
    return _scale(constant, _power(values, axes))


def _scale(constant: Any, power: Tensor) -> Tensor:
    """The constant times power / power."""
    nothing = (power.detach() <= _TINY**2).to(power)
    scaled: Tensor = constant * ((power + nothing) / (power.detach() + nothing))
    return scaled


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
    return scaled if bias is None else scaled + _spread(bias, values, axes)


def _spread_bias(function: Rule, values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A dense layer."""
    products = function(values, weight)
    return products if bias is None else products + _spread(bias, values)


def _spread_summand(function: Rule, one: Any, other: Any, **kwargs: Any) -> Tensor:
    """A sum of what moves and a constant, such as positions."""
    if kwargs or function.__name__ != "add" or _moves(one) == _moves(other):  # add_ changes its operand
        return function(one, other, **kwargs)
    moving, constant = (one, other) if _moves(one) else (other, one)
    return function(moving, _spread(constant, moving))


def _spread_tokens(function: Rule, parts: Any, *args: Any, **kwargs: Any) -> Tensor:
    """Constants joined to what moves, such as class tokens: over all of it."""
    moving = [part for part in parts if _moves(part)]
    if moving:
        power = torch.stack([_power(part.flatten(), 0) for part in moving]).sum()
        parts = [part if _moves(part) else _scale(part, power) for part in parts]
    return function(parts, *args, **kwargs)


def _moves(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _hold_attention(function: Rule, queries: Tensor, keys: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Only the values move."""
    return function(queries.detach(), keys.detach(), *args, **kwargs)


_RULES: dict[str, tuple[Rule, str | None]] = {
    "linear": (_spread_bias, None),
    "add": (_spread_summand, None),
    **dict.fromkeys(("cat", "concat"), (_spread_tokens, None)),
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
