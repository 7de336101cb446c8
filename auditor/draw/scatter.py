"""Points in two dimensions, coloured and numbered by group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from auditor.draw.colours import Colour, Paper, Quiet, colour_of
from auditor.draw.lettering import draw_disc

_SMOOTH = 2  # drawn this much larger and reduced: Pillow's discs are jagged
_DISC = 15  # radius of a number's disc
_PALE = 0.55  # how far the colour of an unnamed group is washed out


def draw_points(
    points: NDArray[np.float32], members: NDArray[np.int64], named: Sequence[int], width: int
) -> Image.Image:
    """Points (n, 2) in a square of `width` pixels, each in the colour of its group (n,), 0 being none.

    The groups in `named` lie on top in full colour, their numbers beside them; the others are pale.
    """
    side = width * _SMOOTH
    drawn = Image.new("RGB", (side, side), Paper)
    draw = ImageDraw.Draw(drawn)
    places = _fit(points, side)
    radius = _SMOOTH * float(np.clip(260 / np.sqrt(max(len(places), 1)), 1.4, 4.0))
    is_named = np.isin(members, named)
    for at in np.argsort(2 * is_named + (members > 0), kind="stable"):  # what matters lies on top
        draw.circle(tuple(places[at]), radius, _colour(int(members[at]), bool(is_named[at])))
    marks = [_beside(places[members == number]) for number in named]
    for number, (x, y) in zip(named, _spread(np.array(marks).reshape(-1, 2)), strict=True):
        draw_disc(draw, (x, y), _DISC * _SMOOTH, number)
    return drawn.resize((width, width), Image.Resampling.LANCZOS)


def _beside(places: NDArray[np.float64]) -> tuple[float, float]:
    """Where a group's number stands: over its topmost point, so that it hides none of a small one."""
    x, y = places[places[:, 1].argmin()]
    room = 1.5 * _DISC * _SMOOTH
    return float(x), float(max(y - room, room))


def _fit(points: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """Points in pixels, both axes at one scale; lone outliers are held at the rim."""
    low, high = np.percentile(points, (0.1, 99.9), axis=0)
    scale = side * 0.93 / max(float((high - low).max()), 1e-9)
    centred = (points - (low + high) / 2) * (scale, -scale) + side / 2
    return np.asarray(np.clip(centred, side * 0.01, side * 0.99))


def _colour(number: int, is_named: bool) -> Colour:
    if number == 0:
        return Quiet
    red, green, blue = colour_of(number)
    if is_named:
        return red, green, blue
    washed = [round(channel + (238 - channel) * _PALE) for channel in (red, green, blue)]
    return washed[0], washed[1], washed[2]


def _spread(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """The discs' places, pushed apart where they would cover one another."""
    placed, least = centres.copy(), 2.2 * _DISC * _SMOOTH
    for _ in range(60):
        for one in range(len(placed)):
            apart = placed[one] - placed
            far = np.linalg.norm(apart, axis=1)
            close = (far < least) & (np.arange(len(placed)) != one)
            if close.any():
                ways = np.where(
                    far[close, None] > 0, apart[close] / np.maximum(far[close, None], 1e-9), (0, 1)
                )
                placed[one] += ((least - far[close])[:, None] * ways).sum(axis=0) / 2
    return placed
