"""What changes or watches a model while a block runs; every hook is gone when the block is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def replaced_output(module: nn.Module, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The module gives function(its input) instead of its own output."""
    handle = module.register_forward_hook(lambda _module, inputs, _output: function(inputs[0]))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def replaced_input(module: nn.Module, value: Tensor) -> Iterator[None]:
    """The module sees `value` whatever it is given."""
    handle = module.register_forward_pre_hook(lambda _module, _inputs: (value,))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def recorded(modules: Iterable[nn.Module]) -> Iterator[list[tuple[nn.Module, Tensor]]]:
    """The modules that run inside the block, in order, each with its first input."""
    seen: list[tuple[nn.Module, Tensor]] = []

    def record(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            seen.append((module, inputs[0]))

    handles = [module.register_forward_pre_hook(record) for module in modules]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
