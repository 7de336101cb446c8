"""What stands where pixels are occluded: one implementation for the network and for pictures; no torch.

A fill is a value between 0 and 1 for each pixel and channel, before normalisation. Blur and noise are
computed in whole numbers up to the last division: an image is filled the same on every machine, in any batch.
"""

from __future__ import annotations

import zlib
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.grids import Mask
from auditor.records import Fill, Preprocess

Pixels = NDArray[np.uint8]
Values = NDArray[np.float32]

FROM_PIXELS: frozenset[Fill] = frozenset(("blur", "noise"))
"""The fills that depend on the image; the others are one colour."""

_BLUR = 16  # the blur's standard deviation is the image's side over this: objects dissolve, colours stay
_REACH = 3  # standard deviations after which the blur's window ends
_UNIT = 2**20  # what the blur's integer weights add up to: 8 + 2 x 20 bits are exact in float64's 53


def fill_values(fill: Fill, preprocess: Preprocess, seed: int, pixels: Pixels | None = None) -> Values:
    """The fill of images `pixels` (B, 3, S, S) in 0 .. 1: (B, 3, S, S), or (3, 1, 1) where it is one colour.

    `mean` is the mean of the normalisation, `black` 0, `grey` 0.5; `blur` a Gaussian of the image with a
    standard deviation of S / 16, cut at three of them and reflected at the edges; `noise` is uniform, drawn
    from the seed and the image's own pixels. `pixels` may be left out unless the fill is in FROM_PIXELS.
    """
    if fill in FROM_PIXELS:
        assert pixels is not None
        return _blur(pixels) if fill == "blur" else np.stack([_draw_noise(image, seed) for image in pixels])
    colours = {"mean": preprocess.mean, "black": (0, 0, 0), "grey": (0.5, 0.5, 0.5)}
    return _channels(colours[fill])


def occlude_crop(
    image: Image.Image, mask: Mask, fill: Fill, preprocess: Preprocess, seed: int
) -> Image.Image:
    """A crop whose pixels in the mask (S, S) are those that the network was given, rounded to 8 bits.

    `image` must be the network's input before normalisation, as `load_input` reads it.
    """
    pixels = np.asarray(image).transpose(2, 0, 1)[None]
    mean, std = _channels(preprocess.mean), _channels(preprocess.std)
    given = (fill_values(fill, preprocess, seed, pixels) - mean) / std
    shown = ((given * std + mean) * 255).round().clip(0, 255).astype(np.uint8)
    occluded = np.where(mask, shown, pixels)[0]
    return Image.fromarray(np.ascontiguousarray(occluded.transpose(1, 2, 0)))


def _channels(values: tuple[float, float, float]) -> Values:
    return np.array(values, np.float32).reshape(3, 1, 1)


def _draw_noise(pixels: Pixels, seed: int) -> Values:
    """Noise in steps of 2^-24 for one image (3, S, S), from the generator that torch.rand has as well."""
    generator = np.random.RandomState(zlib.crc32(pixels.tobytes(), seed))
    bits = generator.randint(0, 1 << 32, pixels.shape, np.uint32)
    return (bits & 0xFFFFFF).astype(np.float32) / np.float32(1 << 24)


def _blur(pixels: Pixels) -> Values:
    weights = _blur_weights(pixels.shape[-1])
    total = weights @ pixels.astype(np.float64) @ weights.T
    return (total / (255 * _UNIT**2)).astype(np.float32)


@cache
def _blur_weights(side: int) -> NDArray[np.float64]:
    """(S, S): how much each pixel of a line (column) weighs in each blurred one (row), in parts of _UNIT."""
    sigma = side / _BLUR
    reach = round(_REACH * sigma)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    window = np.rint(bell / bell.sum() * _UNIT)
    window[reach] += _UNIT - window.sum()  # what rounding lost: a flat image keeps its colour exactly
    sources = np.pad(np.arange(side), reach, mode="reflect")
    weights = np.zeros((side, side))
    for row in range(side):
        np.add.at(weights[row], sources[row : row + 2 * reach + 1], window)
    return weights
