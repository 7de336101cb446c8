"""How a model lays out its last features, and the way from there to a grid (B, H, W, C) and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Format = Literal["NCHW", "NHWC", "NLC"]


class UnreadableError(Exception):
    """The model's features cannot be read as one grid; internal, never leaves the room."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What a model declares of its own features; None where it declares nothing."""

    channels: int | None = None
    format: Format | None = None
    prefix: int | None = None
    reduction: int | None = None
    token_grid: Callable[[tuple[int, int]], tuple[int, int]] | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Order of the axes, number of prefix tokens, grid (H, W) and length of a feature."""

    format: Format
    prefix: int
    grid: tuple[int, int]
    dim: int

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor | None]:
        """Grid (B, H, W, C) and prefix tokens (B, P, C) of a model's features."""
        if self.format == "NCHW":
            return raw.permute(0, 2, 3, 1), None
        if self.format == "NHWC":
            return raw, None
        grid = raw[:, self.prefix :].reshape(len(raw), *self.grid, self.dim)
        return grid, raw[:, : self.prefix] if self.prefix else None

    def join(self, features: Tensor, prefix: Tensor | None) -> Tensor:
        """The inverse of split, for a grid of any height and width."""
        if self.format == "NCHW":
            return features.permute(0, 3, 1, 2).contiguous()
        if self.format == "NHWC":
            return features.contiguous()
        cells = features.flatten(1, 2)
        return cells if prefix is None else torch.cat([prefix, cells], 1)


def read_hints(model: Any) -> Hints:
    """What a timm model (or a trunk inside open_clip) says of its features."""
    output_format = getattr(model, "output_fmt", None)
    output_format = getattr(output_format, "value", output_format)
    info = getattr(model, "feature_info", None)
    last = info[-1] if isinstance(info, list | tuple) and info else None
    reduction = last.get("reduction") if isinstance(last, dict) else None
    return Hints(
        channels=getattr(model, "num_features", None),
        format=output_format if output_format in ("NCHW", "NHWC") else None,
        prefix=getattr(model, "num_prefix_tokens", None),
        reduction=reduction if isinstance(reduction, int) and reduction > 0 else None,
        token_grid=getattr(getattr(model, "patch_embed", None), "dynamic_feat_size", None),
    )


def find_layout(raw: Any, hints: Hints, size: tuple[int, int]) -> Layout:
    """The layout of a model's features for images of `size` pixels; UnreadableError for no grid."""
    if not isinstance(raw, Tensor):
        raise UnreadableError(f"its features are a {type(raw).__name__}, not one tensor")
    if raw.ndim == 4:
        return _image_layout(raw, hints)
    if raw.ndim == 3:
        return _token_layout(raw, hints, size)
    raise UnreadableError(f"its features have {raw.ndim} axes: they are pooled already")


def _image_layout(raw: Tensor, hints: Hints) -> Layout:
    first, last = raw.shape[1] == hints.channels, raw.shape[-1] == hints.channels
    if hints.format is not None:
        is_first = hints.format == "NCHW"
    elif first != last:
        is_first = first
    else:  # both or neither match: the two equal sides are the image
        is_first = raw.shape[2] == raw.shape[3] or raw.shape[1] > raw.shape[-1]
    if is_first:
        return Layout("NCHW", 0, (raw.shape[2], raw.shape[3]), raw.shape[1])
    return Layout("NHWC", 0, (raw.shape[1], raw.shape[2]), raw.shape[3])


def _token_layout(raw: Tensor, hints: Hints, size: tuple[int, int]) -> Layout:
    _, count, dim = raw.shape
    if hints.channels == count and hints.channels != dim:
        raise UnreadableError(f"its features {tuple(raw.shape)} have the channels before the tokens")
    prefix = _count_prefix(count, size, hints.reduction) if hints.prefix is None else int(hints.prefix)
    return Layout("NLC", prefix, _token_grid(count - prefix, hints, size), dim)


def _count_prefix(count: int, size: tuple[int, int], reduction: int | None) -> int:
    """Prefix tokens of a model that declares none: what exceeds the grid, or one too many for a square."""
    if reduction:
        extra = count - math.prod(math.ceil(side / reduction) for side in size)
        return extra if extra in (1, 2) else 0
    return int(not _is_square(count) and _is_square(count - 1))


def _is_square(count: int) -> bool:
    return math.isqrt(count) ** 2 == count


def _token_grid(count: int, hints: Hints, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of `count` cells: the model's own answer, its stride, or the image's aspect ratio."""
    candidates = []
    if hints.token_grid is not None:
        candidates.append(hints.token_grid(size))
    if hints.reduction:
        for rounded in (math.ceil, math.floor):
            candidates.append((rounded(size[0] / hints.reduction), rounded(size[1] / hints.reduction)))
    for height, width in candidates:
        if height * width == count:
            return int(height), int(width)
    height = round(math.sqrt(count * size[0] / size[1]))
    if height and count % height == 0:
        return height, count // height
    raise UnreadableError(f"its {count} tokens do not fill a grid of a {size[0]} x {size[1]} image")
