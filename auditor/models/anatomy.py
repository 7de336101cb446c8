"""What a model is made of behind its features, found by measuring it: numerically first, by structure second.

Runs once per model, in float32. Of a few images only the layout is taken; how the head aggregates is measured
on drawn grids whose cells differ more than those of any image, so that a mean, a nearly uniform attention and
a convolution before the pool cannot be taken for one another. 2e-3 separates exact (at most 8e-6 on 163 timm
models) from inexact (at least 7e-2), and an exact readout counts only when it was seen to add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.errors import BackboneError
from auditor.models.attention import can_split, find_attention_pool, repeated_cell_head, split_attention
from auditor.models.hooks import recorded, replaced_output
from auditor.models.layout import Layout, UnreadableError, find_layout
from auditor.models.readout import (
    HeadFunction,
    freeze_norm,
    norm_kind,
    probe_affine,
    relative_error,
    single_cell_head,
    split_taylor,
)
from auditor.models.towers import IntermediatesTower, PoolInputTower, Tower, find_global_pool
from auditor.records import Verdict

_TOLERANCE = 2e-3
_NO_WORK = (nn.Identity, nn.Dropout, nn.Flatten)


@dataclass(frozen=True, slots=True)
class Anatomy:
    """How a model's output follows from its grid.

    `function` is f, the head on single cells (M, C) to (M, K); `affine` its W and b where it is affine;
    `norm` the LayerNorm or RMSNorm without which it would be; `pool` its attention pool.
    """

    tower: Tower
    layout: Layout
    aggregation: str  # gap | token | attention | mixed | none
    head: str  # linear | norm_linear | mlp | attention | none
    verdict: Verdict
    readout: str | None = None  # linear | norm_linear | taylor | attention
    function: HeadFunction | None = None
    affine: tuple[Tensor, Tensor] | None = None
    norm: nn.Module | None = None
    pool: nn.Module | None = None
    note: str = ""

    def split(self, raw: Tensor, features: Tensor, pooled: Tensor) -> Tensor:
        """Scores (B, H, W, K) whose mean over the grid is the output; only where `readout` names a split."""
        function = self.function
        if self.readout == "attention":
            return split_attention(self.tower, self.pool, raw, features)
        if self.readout == "taylor" and function is not None:
            return split_taylor(function, features.flatten(1, 2), pooled).reshape(*features.shape[:3], -1)
        if self.readout == "norm_linear" and self.norm is not None:
            features = freeze_norm(self.norm, features, pooled)
        if self.affine is None:
            return features
        return F.linear(features, *self.affine)


@torch.no_grad()
def dissect(tower: Tower, images: Tensor) -> Anatomy:
    """The anatomy of a model, from a few images (B, 3, S, S); BackboneError where it has no grid at all."""
    try:
        return _dissect_head(tower, images)
    except UnreadableError as problem:
        return _features_only(tower, images, str(problem))


def _features_only(tower: Tower, images: Tensor, why: str) -> Anatomy:
    try:
        maps = IntermediatesTower(tower)
        layout = find_layout(maps.features(images), maps.hints, _size(images))
    except (
        UnreadableError,
        RuntimeError,
        TypeError,
        ValueError,
        NotImplementedError,
        AttributeError,
    ) as problem:
        raise BackboneError(f"this model gives no grid of features: {why}; {problem}") from problem
    return Anatomy(maps, layout, "none", "none", "features-only", note=why)


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]


def _dissect_head(tower: Tower, images: Tensor) -> Anatomy:
    view = _look(tower, images)
    anatomy = _classify(view)
    if anatomy.aggregation == "mixed" and (pool := find_global_pool(tower, view.raw)) is not None:
        inner = _classify(_look(PoolInputTower(tower, pool, view.raw), images))
        if inner.aggregation == "gap":
            return replace(inner, note="the grid is the input of the global pool")
    return anatomy


@dataclass(frozen=True, slots=True)
class _View:
    """A model's features and output for drawn grids, and its head, ready to be asked about others."""

    tower: Tower
    layout: Layout
    raw: Tensor
    features: Tensor
    prefix: Tensor | None
    output: Tensor

    @property
    def pooled(self) -> Tensor:
        return self.features.mean((1, 2))

    def change(self, features: Tensor) -> float:
        """How far the output moves when the grid is replaced and the prefix tokens stay."""
        moved = self.tower.head(self.layout.join(features, self.prefix))
        return relative_error(moved, self.output)


def _look(tower: Tower, images: Tensor) -> _View:
    try:
        raw, output = tower.run(images)
        whole = tower.module(images[:1])
    except (NotImplementedError, AttributeError) as problem:
        raise UnreadableError(f"it has no head of timm's kind: {problem}") from problem
    layout = find_layout(raw, tower.hints, _size(images))
    if not isinstance(output, Tensor) or output.ndim != 2 or not isinstance(whole, Tensor):
        raise UnreadableError("its head does not give one vector per image")
    if relative_error(output[:1], whole) > _TOLERANCE:
        raise UnreadableError("its head on its features is not its output")
    if layout.grid[0] * layout.grid[1] <= 2 and layout.format == "NLC":
        raise UnreadableError("its features keep class tokens only")
    features, prefix = layout.split(raw)
    drawn = _draw(features, seed=0)
    raw = layout.join(drawn, prefix)
    return _View(tower, layout, raw, drawn, prefix, tower.head(raw))


def _draw(features: Tensor, seed: int) -> Tensor:
    """A random grid of the same shape and power whose cells' norms vary about thirtyfold.

    Not a rescaled copy: a LayerNorm behind the pool would not see the difference.
    """
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randn(features.shape, generator=generator)
    norms = torch.randn(features.shape[:3], generator=generator)[..., None].exp()
    return (cells * norms).to(features) * features.square().mean().sqrt()


def _classify(view: _View) -> Anatomy:
    pool = find_attention_pool(view.tower, view.raw)
    function, note = _head_function(view, pool)
    aggregation = _aggregation(view, pool, function)
    anatomy = Anatomy(view.tower, view.layout, aggregation, "mlp", "pointwise-only", function=function)
    anatomy = replace(anatomy, note=note)
    if aggregation == "attention":
        anatomy = replace(anatomy, head="attention", pool=pool)
    else:
        anatomy = _classify_function(anatomy, view, function)
    return _first_that_adds_up(anatomy, view)


def _head_function(view: _View, pool: nn.Module | None) -> tuple[HeadFunction, str]:
    """f by the cheapest bag that the head accepts, and a note where it is not the usual one."""
    if pool is not None and type(pool).__name__ == "AttentionPool2d" and can_split(pool):
        return repeated_cell_head(view.tower, pool, view.raw[:1], view.layout.grid), ""
    function = single_cell_head(view.tower, view.layout)
    try:
        function(view.pooled)
    except (RuntimeError, ValueError, AssertionError):
        function = single_cell_head(view.tower, view.layout, repeated=True)
        return function, "its head is read from grids of one repeated cell"
    return function, ""


def _aggregation(view: _View, pool: nn.Module | None, function: HeadFunction) -> str:
    if view.prefix is not None and view.change(_draw(view.features, seed=1)) < _TOLERANCE:
        return "token"
    if pool is not None:  # by structure: attention that is nearly uniform looks like a mean (seen: 3e-3)
        return "attention"
    mean = view.pooled[:, None, None].expand_as(view.features)
    if view.change(mean) > _TOLERANCE or relative_error(function(view.pooled), view.output) > _TOLERANCE:
        return "mixed"
    return "gap"


def _classify_function(anatomy: Anatomy, view: _View, function: HeadFunction) -> Anatomy:
    """The kind of f: nothing, affine, affine but for one norm in front, or anything else."""
    cells = view.features.flatten(0, 2)[:64]
    if view.output.shape[-1] == view.layout.dim and torch.equal(function(cells), cells):
        return replace(anatomy, head="none")
    if _is_affine(function, cells):
        return replace(anatomy, head="linear", affine=probe_affine(function, view.layout.dim, cells))
    norm = _leading_norm(anatomy.tower, function, view.pooled)
    if norm is not None and _is_affine(function, cells, norm):
        affine = probe_affine(function, view.layout.dim, cells, norm)
        return replace(anatomy, head="norm_linear", affine=affine, norm=norm)
    return anatomy


def _is_affine(function: HeadFunction, cells: Tensor, norm: nn.Module | None = None) -> bool:
    """Whether f((a + b) / 2) = (f(a) + f(b)) / 2, with the norm left out where one is given."""
    others = cells.flip(0, 1) * 1.5
    with nullcontext() if norm is None else replaced_output(norm, lambda value: value):
        middle, ends = function((cells + others) / 2), function(cells) + function(others)
    return relative_error(2 * middle, ends) < _TOLERANCE


def _leading_norm(tower: Tower, function: HeadFunction, pooled: Tensor) -> nn.Module | None:
    """The norm that f applies first, if it applies no other."""
    leaves = [module for module in tower.module.modules() if not any(module.children())]
    with recorded(leaves) as seen:
        function(pooled)
    working = [module for module, _ in seen if not isinstance(module, _NO_WORK) and not _is_pool(module)]
    norms = [module for module in working if norm_kind(module)]
    return norms[0] if len(norms) == 1 and working[0] is norms[0] else None


def _is_pool(module: nn.Module) -> bool:
    return "pool" in type(module).__name__.lower()


def _first_that_adds_up(anatomy: Anatomy, view: _View) -> Anatomy:
    """The anatomy with the first readout whose mean is the output; pointwise-only if none is."""
    for readout, verdict in _candidates(anatomy):
        candidate = replace(anatomy, readout=readout, verdict=verdict)
        scores = candidate.split(view.raw, view.features, view.pooled)
        if relative_error(scores.mean((1, 2)), view.output) < _TOLERANCE:
            return candidate
    return anatomy


def _candidates(anatomy: Anatomy) -> Sequence[tuple[str, Verdict]]:
    if anatomy.aggregation == "attention":
        return [("attention", "exact-attn")] if can_split(anatomy.pool) else []
    if anatomy.aggregation != "gap":
        return []
    if anatomy.head in ("linear", "none"):
        return [("linear", "exact")]
    taylor: tuple[str, Verdict] = ("taylor", "exact-affine")
    return [("norm_linear", "exact-affine"), taylor] if anatomy.head == "norm_linear" else [taylor]
