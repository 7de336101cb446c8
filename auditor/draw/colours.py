"""The colours of every drawing: of paper and letters, of classes by number, of values from dark to bright."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

Paper = (255, 255, 255)
White = (255, 255, 255)
Dark = (17, 20, 26)
Faint = (96, 103, 115)
Bright = (255, 226, 112)
Red = (230, 25, 40)  # a target, a cell that was asked about
Quiet = (208, 212, 219)  # what belongs to no group, an image that is not at hand

# Dark to bright as the eye sees it (matplotlib's inferno, thinned), and two such ways from black for signs.
Heat: tuple[Colour, ...] = (
    *((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99)),
    *((212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164)),
)
Signed: tuple[Colour, ...] = (
    *((190, 240, 255), (60, 160, 255), (20, 60, 170), (8, 10, 24)),
    *((150, 30, 20), (250, 120, 20), (255, 245, 190)),
)


def colour_of(number: int, lightness: float = 0.55) -> Colour:
    """A colour that a class keeps in every drawing; neighbours in number are far apart in hue."""
    hue = (0.58 + number * 0.618034) % 1.0  # steps of the golden ratio fill the circle evenly
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.72)
    return round(255 * red), round(255 * green), round(255 * blue)


def shade(values: NDArray[np.floating], colours: Sequence[Colour]) -> NDArray[np.float64]:
    """Colours (..., 3) of values in [0, 1], straight between the anchors."""
    places = np.linspace(0, 1, len(colours))
    bands = [np.interp(values, places, [colour[band] for colour in colours]) for band in range(3)]
    return np.stack(bands, axis=-1)
