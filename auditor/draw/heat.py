"""Heat maps of a crop: where a class scores (Figure 7), where a cell's score came from (Figure 8)."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from auditor.draw.grids import Faint, Paper
from auditor.draw.lettering import Colour, Dark, White, write
from auditor.records import Box, ClassMap, ClassMaps, Relevance
from auditor.report.text import share

Red = (230, 25, 40)

_MARGIN = 28
_SIDE = 480  # pixels of one class's map
_ACROSS = 4
_HEAD = 74  # above a map: the class and its score
_BAR = 22
_TICKS = 96  # room for the numbers beside a bar
_WIDE = 680  # pixels of either side of a relevance picture
_FOOT = 132
_PALE = (190, 200, 215)

# Dark to bright as the eye sees it (matplotlib's inferno, thinned), and two such ways from black for signs.
_HEAT: tuple[Colour, ...] = (
    *((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99)),
    *((212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164)),
)
_SIGNED: tuple[Colour, ...] = (
    *((190, 240, 255), (60, 160, 255), (20, 60, 170), (8, 10, 24)),
    *((150, 30, 20), (250, 120, 20), (255, 245, 190)),
)


def draw_class_maps(image: Image.Image, found: ClassMaps) -> Image.Image:
    """The crop once for every class; every map has a scale of its own, shown by its bar."""
    across = min(_ACROSS, len(found.maps))
    down = -(-len(found.maps) // across)
    panel = _SIDE + 10 + _BAR + _TICKS
    size = (across * (panel + _MARGIN) + _MARGIN, down * (_HEAD + _SIDE + _MARGIN) + 46)
    drawn = Image.new("RGB", size, Paper)
    draw = ImageDraw.Draw(drawn)
    for index, each in enumerate(found.maps):
        left = _MARGIN + index % across * (panel + _MARGIN)
        top = index // across * (_HEAD + _SIDE + _MARGIN)
        limits = float(each.cells.min()), float(each.cells.max())
        _write_head(draw, each, (left, top))
        drawn.paste(_heat(image, each.cells, limits), (left, top + _HEAD))
        _draw_bar(drawn, (left + _SIDE + 10, top + _HEAD), _SIDE, _HEAT, limits)
    write(draw, (_MARGIN, drawn.height - 36), _explain(found), 17, drawn.width - 2 * _MARGIN, Faint)
    return drawn


def _write_head(draw: ImageDraw.ImageDraw, each: ClassMap, corner: tuple[int, int]) -> None:
    left, top = corner
    write(draw, (left, top + 26), each.name, 24, _SIDE)
    write(draw, (left, top + 54), f"score of the image {each.score:.2f}", 17, _SIDE, Faint)


def _explain(found: ClassMaps) -> str:
    adds_up = "their mean is the score" if found.is_exact else "they do not add up to the score"
    return f"{found.path}: scores of the cells, {found.readout} readout; {adds_up} of the image"


def _heat(image: Image.Image, cells: NDArray[np.float64], limits: tuple[float, float]) -> Image.Image:
    """Cells (H, W) as a smooth light on the grey, darkened crop."""
    low, high = limits
    scaled = ((cells - low) / (high - low or 1.0)).astype(np.float32)
    values = np.asarray(Image.fromarray(scaled).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
    grey = image.convert("L").convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    blended = 0.42 * np.asarray(grey) + 0.58 * _shade(values, _HEAT)
    return Image.fromarray(blended.round().astype(np.uint8))


def _shade(values: NDArray[np.floating], colours: Sequence[Colour]) -> NDArray[np.float64]:
    """Colours (..., 3) of values in [0, 1], straight between the anchors."""
    places = np.linspace(0, 1, len(colours))
    bands = [np.interp(values, places, [colour[band] for colour in colours]) for band in range(3)]
    return np.stack(bands, axis=-1)


def _draw_bar(
    drawn: Image.Image,
    corner: tuple[int, int],
    height: int,
    colours: Sequence[Colour],
    limits: tuple[float, float],
) -> None:
    left, top = corner
    column = _shade(np.linspace(1, 0, height)[:, None].repeat(_BAR, axis=1), colours)
    drawn.paste(Image.fromarray(column.round().astype(np.uint8)), corner)
    draw = ImageDraw.Draw(drawn)
    span = limits[1] - limits[0] or 1.0
    for value in np.linspace(*limits, 5).tolist():
        y = top + (height - 1) * (1 - (value - limits[0]) / span)
        draw.line((left + _BAR, y, left + _BAR + 6, y), Dark, 2)
        write(
            draw,
            (left + _BAR + 12, min(max(y, top + 9), top + height - 9)),
            _tick(value, span),
            17,
            _TICKS,
        )


def _tick(value: float, span: float) -> str:
    """A value with as many digits as tell the ticks of a bar apart."""
    digits = max(0, 2 - floor(log10(span)))
    if abs(value) < span / 1000:
        return "0"
    return f"{value:.{digits}f}" if digits < 5 else f"{value:.0e}"


# ------------------------------------------------------------------------------------- relevance


def draw_relevance(image: Image.Image, found: Relevance) -> Image.Image:
    """The crop with the cell in red, and the relevance of its pixels with the cell in white (Figure 8).

    The thin frame is the field: a box that holds 99 % of the absolute relevance.
    """
    width = 2 * (_WIDE + _MARGIN) + _MARGIN + _BAR + _TICKS
    drawn = Image.new("RGB", (width, _MARGIN + _WIDE + _FOOT), Paper)
    limit = float(np.quantile(np.abs(found.pixels), 0.998)) or 1.0
    sides = ((_photo(image), Red), (_signed(found.pixels, limit), White))
    for index, (side, colour) in enumerate(sides):
        draw = ImageDraw.Draw(side)
        _frame(draw, found.field, found.pixels.shape[0], _PALE, 2)
        _frame(draw, found.box, found.pixels.shape[0], colour, 5)
        drawn.paste(side, (_MARGIN + index * (_WIDE + _MARGIN), _MARGIN))
    place = (2 * (_WIDE + _MARGIN) + _MARGIN, _MARGIN)
    _draw_bar(drawn, place, _WIDE, _SIGNED, (-limit, limit))
    _write_foot(ImageDraw.Draw(drawn), found, width)
    return drawn


def _photo(image: Image.Image) -> Image.Image:
    return image.convert("RGB").resize((_WIDE, _WIDE), Image.Resampling.BICUBIC)


def _signed(pixels: NDArray[np.float64], limit: float) -> Image.Image:
    """Relevance from -limit (blue) over 0 (black) to limit (red to white), every pixel a square."""
    colours = _shade((np.clip(pixels / limit, -1, 1) + 1) / 2, _SIGNED)
    small = Image.fromarray(colours.round().astype(np.uint8))
    return small.resize((_WIDE, _WIDE), Image.Resampling.NEAREST)


def _frame(draw: ImageDraw.ImageDraw, box: Box, side: int, colour: Colour, line: int) -> None:
    left, top, right, bottom = (edge * _WIDE / side for edge in box)
    draw.rectangle((left, top, right - 1, bottom - 1), outline=Dark, width=line + 2)
    draw.rectangle((left + 1, top + 1, right - 2, bottom - 2), outline=colour, width=line)


def _write_foot(draw: ImageDraw.ImageDraw, found: Relevance, width: int) -> None:
    top, room = _MARGIN + _WIDE, width - 2 * _MARGIN
    head = f"{found.name}: {found.score:.3f} in cell {found.row},{found.col} of {found.path}"
    write(draw, (_MARGIN, top + 30), head, 24, room)
    error = found.conservation_error
    lost = "" if error is None else f"; conservation error {share(error)} %"
    sums = f"sum of the relevance {found.total:.3f}{lost} (what biases absorb)"
    inside = f"{share(found.inside)} % of the absolute relevance lies in the cell; the thin frame holds 99 %"
    write(draw, (_MARGIN, top + 62), f"{inside}; {sums}", 17, room, Faint)
    write(draw, (_MARGIN, top + 90), found.method, 17, room, Faint)
