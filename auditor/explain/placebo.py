"""Placebo masks: the foreground's own shape laid over background, to see what any mask does (A.6)."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from auditor.grids import Mask


def place_elsewhere(mask: Mask, name: str, seed: int = 0) -> Mask | None:
    """The mask's shape (S, S) moved, whole, to where none of it lies on the mask; None where it fits nowhere.

    One of all such places, each as likely, drawn by the seed and the image's name, so that neither the order
    nor the choice of images matters. The shape is turned by 90, 180 or 270 degrees only where it fits no
    other way.
    """
    if not mask.any():
        return None
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    shape = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    chance = np.random.default_rng(zlib.crc32(name.encode("utf-8", "surrogateescape"), seed))
    for turns in range(4):
        turned = np.rot90(shape, turns)
        places = free_places(mask, turned)
        if len(places):
            return _lay(turned, places[chance.integers(len(places))], mask.shape)
    return None


def free_places(mask: Mask, shape: Mask) -> NDArray[np.int64]:
    """The corners (n, 2), row and column, at which the shape (h, w) lies inside and on no pixel of the mask.

    Overlaps of all places at once, as a correlation by Fourier transform: milliseconds instead of seconds.
    """
    height, width = (side - part + 1 for side, part in zip(mask.shape, shape.shape, strict=True))
    if height < 1 or width < 1:
        return np.zeros((0, 2), np.int64)
    transformed = np.fft.rfft2(mask.astype(np.float64))
    kernel = np.fft.rfft2(shape.astype(np.float64), s=mask.shape)
    overlap = np.fft.irfft2(transformed * kernel.conj(), s=mask.shape)[:height, :width]
    return np.asarray(np.argwhere(overlap < 0.5), dtype=np.int64)  # whole numbers, up to rounding


def _lay(shape: Mask, corner: NDArray[np.int64], size: tuple[int, ...]) -> Mask:
    laid = np.zeros(size, np.bool_)
    laid[corner[0] : corner[0] + shape.shape[0], corner[1] : corner[1] + shape.shape[1]] = shape
    return laid
