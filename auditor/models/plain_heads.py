"""Linear heads that others wrote: `weight` (K, C) and perhaps `bias` (K,), in a file of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from auditor.errors import BackboneError
from auditor.models.checkpoints import read_checkpoint

_USUAL = {"", "fc", "head", "classifier", "last_linear", "linear", "head.fc"}
"""What models call their classifier; "" where the file holds nothing else."""


def read_plain_head(path: Path, dim: int) -> tuple[Tensor, Tensor]:
    """Weight (K, C) and bias (K,) in float32 of the one linear layer in a file that reads `dim` numbers.

    The layer may have any name, such as fc.weight and fc.bias; among several the usual names count.
    BackboneError with the shapes found where none fits or it is not clear which is meant.
    """
    tensors = read_checkpoint(path)
    fitting = [name for name in sorted(tensors) if _fits(name, tensors, dim)]
    usual = [name for name in fitting if _layer(name) in _USUAL]
    chosen = fitting if len(fitting) == 1 else usual
    if len(chosen) != 1:
        raise BackboneError(_why_not(path, tensors, fitting, dim))
    weight = tensors[chosen[0]].float()
    bias = tensors.get(_bias_of(chosen[0]))
    bias = torch.zeros(len(weight)) if bias is None else bias.float()
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise BackboneError(f"the head in {path} is damaged: some of its numbers are not finite")
    return weight.contiguous(), bias.contiguous()


def _fits(name: str, tensors: Mapping[str, Tensor], dim: int) -> bool:
    weight, bias = tensors[name], tensors.get(_bias_of(name))
    is_weight = name == "weight" or name.endswith(".weight")
    shapes_fit = weight.ndim == 2 and weight.shape[1] == dim and len(weight) > 1
    return is_weight and shapes_fit and (bias is None or bias.shape == weight.shape[:1])


def _layer(name: str) -> str:
    return name.removesuffix("weight").removesuffix(".")


def _bias_of(name: str) -> str:
    return name.removesuffix("weight") + "bias"


def _why_not(path: Path, tensors: Mapping[str, Tensor], fitting: list[str], dim: int) -> str:
    named = fitting or [name for name, value in tensors.items() if value.ndim in (1, 2)] or list(tensors)
    shown = ", ".join(f"{name} {tuple(tensors[name].shape)}" for name in named[:6])
    more = f" and {len(named) - 6} more" if len(named) > 6 else ""
    reason = "several layers that would fit" if fitting else "no linear head of this backbone"
    return (
        f"{path} holds {reason}: {shown}{more}; expected one weight (K, {dim}) with, if any, a bias (K,), "
        "called weight and bias, or fc.weight and fc.bias"
    )
