"""Normalisation of the input and occlusion of its pixels, on tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from auditor.data.filling import FROM_PIXELS, fill_values
from auditor.records import Fill, Preprocess


def normalise(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """(pixel / 255 - mean) / std: uint8 (B, S, S, 3) to float32 (B, 3, S, S)."""
    scaled = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
    mean, std = _statistics(scaled, preprocess)
    return (scaled - mean) / std


def occlude(images: Tensor, masks: Tensor, fill: Fill, preprocess: Preprocess, seed: int = 0) -> Tensor:
    """Copies of normalised images (B, 3, S, S) whose pixels in masks (B, S, S) bool are replaced by the fill.

    The fill's values are those of `fill_values`, normalised; a picture shows the same (`occlude_crop`).
    """
    mean, std = _statistics(images, preprocess)
    pixels = None
    if fill in FROM_PIXELS:
        pixels = ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    values = torch.from_numpy(fill_values(fill, preprocess, seed, pixels)).to(images)
    return torch.where(masks.unsqueeze(1), (values - mean) / std, images)


def _statistics(like: Tensor, preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    mean, std = (like.new_tensor(values).view(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
    return mean, std
