"""Dense readouts of a head: what each cell scores, and the splits of z over the cells that add up to z.

A head is only ever called through its tower. f(h), the head applied to one cell, is the tower's head on a bag
that holds the single cell h: no knowledge is needed of what the head is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from auditor.models.hooks import replaced_output
from auditor.models.layout import Layout
from auditor.models.quiet import quietly
from auditor.models.towers import Tower

HeadFunction = Callable[[Tensor], Tensor]

_CELLS_AT_ONCE = 1024
_PROBE = (
    1024.0  # a power of two: keeps W free of cancellation against a big b (BatchNorm heads: 1e-4 without)
)


def relative_error(measured: Tensor, wanted: Tensor) -> float:
    """Max |measured - wanted| / standard deviation of wanted over classes, so no constant shift can hide it.

    Both (..., K); the error has no unit: 1 is one standard deviation of the class scores.
    """
    spread = wanted.std(dim=-1, keepdim=True) if wanted.shape[-1] > 1 else wanted.abs()
    return float(((measured - wanted).abs() / spread.clamp_min(1e-12)).max())


def single_cell_head(tower: Tower, layout: Layout, repeated: bool = False) -> HeadFunction:
    """f: cells (M, C) to (M, K), the tower's head on bags of one cell.

    The cell also takes the place of the prefix tokens: a [CLS] head reads those, a mean ignores them.
    With `repeated` the bag holds the cell in every place of the grid, for heads that refuse a 1 x 1 grid.
    """
    height, width = layout.grid if repeated else (1, 1)

    def apply(cells: Tensor) -> Tensor:
        prefix = cells[:, None].expand(-1, layout.prefix, -1) if layout.prefix else None
        bags = cells[:, None, None].expand(-1, height, width, -1)
        output: Tensor = tower.head(layout.join(bags, prefix))
        return output

    return _in_chunks(apply, max(1, _CELLS_AT_ONCE // (height * width)))


def _in_chunks(function: HeadFunction, rows: int) -> HeadFunction:
    return lambda cells: torch.cat([function(part) for part in torch.split(cells, rows)])


def probe_affine(
    function: HeadFunction, dim: int, like: Tensor, norm: nn.Module | None = None
) -> tuple[Tensor, Tensor]:
    """W (K, C) and b (K,) of an affine f: b = f(0), W = (f(s I) - b) / s; `norm` is left out."""
    unit = torch.eye(dim, dtype=like.dtype, device=like.device)
    with nullcontext() if norm is None else replaced_output(norm, _identity):
        offset = function(torch.zeros_like(unit[:1]))
        weight = (function(unit * _PROBE) - offset) / _PROBE
    return weight.T.contiguous(), offset[0]


def _identity(value: Tensor) -> Tensor:
    return value


def norm_kind(module: nn.Module) -> str | None:
    """layer, rms or variance: how a norm over the channels of one cell scales it; None for anything else."""
    name = type(module).__name__
    if isinstance(module, nn.GroupNorm):
        return "layer" if module.num_groups == 1 else None
    if isinstance(module, nn.LayerNorm) or name.startswith("LayerNorm"):
        return "layer"
    if name.startswith("SimpleNorm"):
        return "variance"
    return "rms" if "rmsnorm" in name.lower() else None


def freeze_norm(norm: nn.Module, features: Tensor, pooled: Tensor) -> Tensor:
    """norm(h) of cells (B, H, W, C) at the scale of the pooled vector (B, C); the mean is norm(pooled)."""
    kind, eps = norm_kind(norm), float(getattr(norm, "eps", 1e-6))
    if kind == "layer":
        features = features - features.mean(-1, keepdim=True)
    centred = kind != "rms"
    power = pooled.var(-1, unbiased=kind == "variance") if centred else pooled.pow(2).mean(-1)
    scaled = features / (power + eps).sqrt()[:, None, None, None]
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    scaled = scaled if weight is None else scaled * weight
    return scaled if bias is None else scaled + bias


def split_taylor(function: HeadFunction, cells: Tensor, center: Tensor) -> Tensor:
    """f(c) + J(h - c) for cells (B, N, C) around center (B, C): (B, N, K).

    Where the center is the mean of the cells the deviations sum to 0, so the mean over N is f(c) itself.
    """
    points = center[:, None].expand_as(cells).flatten(0, 1)
    steps = cells.flatten(0, 1) - points
    parts = []
    with quietly():  # torch's first jvp scripts its decompositions, which torch deprecates
        for start in range(0, len(points), _CELLS_AT_ONCE):
            rows = slice(start, start + _CELLS_AT_ONCE)
            value, change, *_ = torch.func.jvp(function, (points[rows].contiguous(),), (steps[rows],))
            parts.append(value + change)
    return torch.cat(parts).reshape(*cells.shape[:2], -1)
