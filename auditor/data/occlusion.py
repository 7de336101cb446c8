"""Normalisation of the input and occlusion of its pixels, on tensors."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from auditor.records import Fill, Preprocess

_BLUR = 16  # the blur's standard deviation is the image's side over this: objects dissolve, colours stay


def normalise(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """(pixel / 255 - mean) / std: uint8 (B, S, S, 3) to float32 (B, 3, S, S)."""
    scaled = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
    mean, std = _statistics(scaled, preprocess)
    return (scaled - mean) / std


def occlude(images: Tensor, masks: Tensor, fill: Fill, preprocess: Preprocess, seed: int = 0) -> Tensor:
    """Copies of normalised images (B, 3, S, S) whose pixels in masks (B, S, S) bool are replaced by the fill.

    `mean` is 0 after normalisation, `black` 0 and `grey` 0.5 before it, `blur` the image strongly blurred,
    `noise` uniform in pixel space, drawn from the seed and the image's own pixels: the batch does not matter.
    """
    return torch.where(masks.unsqueeze(1), _FILLS[fill](images, preprocess, seed), images)


def _statistics(like: Tensor, preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    mean, std = (like.new_tensor(values).view(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
    return mean, std


def _fill_mean(images: Tensor, preprocess: Preprocess, seed: int) -> Tensor:
    return images.new_zeros(())


def _fill_black(images: Tensor, preprocess: Preprocess, seed: int) -> Tensor:
    mean, std = _statistics(images, preprocess)
    return -mean / std


def _fill_grey(images: Tensor, preprocess: Preprocess, seed: int) -> Tensor:
    mean, std = _statistics(images, preprocess)
    return (0.5 - mean) / std


def _fill_blur(images: Tensor, preprocess: Preprocess, seed: int) -> Tensor:
    # Two passes of one dimension each: the same blur for a thirtieth of the work.
    sigma = images.shape[-1] / _BLUR
    length = 2 * round(3 * sigma) + 1
    rows = gaussian_blur(images, [length, 1], [sigma, sigma])
    blurred: Tensor = gaussian_blur(rows, [1, length], [sigma, sigma])
    return blurred


def _fill_noise(images: Tensor, preprocess: Preprocess, seed: int) -> Tensor:
    mean, std = _statistics(images, preprocess)
    pixels = ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).cpu()
    noise = torch.stack([_draw_noise(image, seed) for image in pixels]).to(images)
    return (noise - mean) / std


def _draw_noise(pixels: Tensor, seed: int) -> Tensor:
    own = zlib.crc32(pixels.contiguous().numpy().tobytes(), seed)
    return torch.rand(pixels.shape, generator=torch.Generator().manual_seed(own))


_FILLS: dict[str, Callable[[Tensor, Preprocess, int], Tensor]] = {
    "mean": _fill_mean,
    "black": _fill_black,
    "grey": _fill_grey,
    "blur": _fill_blur,
    "noise": _fill_noise,
}
