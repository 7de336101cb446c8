"""What is laid over a photograph cell by cell: tints, rules, outlines, frames and letters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from auditor.draw.colours import Colour, Dark, White, colour_of
from auditor.draw.lettering import fit, letter, write_centred
from auditor.grids import Mask, cell_box, edges

NAMED = 84
"""A cell of at least so many pixels has room for a class's name; a smaller one holds its id."""

Labels = NDArray[np.int64]
Box = tuple[float, float, float, float]


def spread(values: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A value per cell (H, W, ...) as one per pixel (side, side, ...)."""
    rows, cols = (np.diff(edges(side, cells)) for cells in values.shape[:2])
    return values.repeat(rows, axis=0).repeat(cols, axis=1)


def colour_cells(labels: Labels, side: int, lightness: float = 0.55) -> Image.Image:
    """Every cell of labels (H, W) in its class's colour."""
    present, where = np.unique(labels, return_inverse=True)
    palette = np.array([colour_of(int(label), lightness) for label in present], dtype=np.uint8)
    return Image.fromarray(spread(palette[where.reshape(labels.shape)], side))


def opacity(probabilities: NDArray[np.floating], least: float = 0.12) -> NDArray[np.float64]:
    """How strongly a cell's class is drawn: fully when it is certain, hardly (`least`) when it is a guess."""
    return np.asarray(least + (1 - least) * np.sqrt(np.clip(probabilities, 0, 1)))


def lay_letters(panel: Image.Image, letters: Image.Image, probabilities: NDArray[np.floating]) -> None:
    """Paste the letters of all cells (RGBA, the panel's size), each cell's as strong as it is probable."""
    strength = opacity(probabilities, least=0.4)  # a guess can be read, and does not stand out
    shown = Image.fromarray(spread((255 * strength).round().astype(np.uint8), panel.width))
    panel.paste(letters.convert("RGB"), mask=ImageChops.multiply(letters.getchannel("A"), shown))


def short_percent(probability: float) -> str:
    """A probability in whole percent; what is less than one is no 0."""
    return "<1" if probability < 0.01 else f"{100 * probability:.0f}"


def rule(
    draw: ImageDraw.ImageDraw, grid: Sequence[int], side: int, colour: tuple[int, ...], width: int
) -> None:
    """The lines between cells."""
    for y in edges(side, grid[0])[1:-1].tolist():
        draw.line((0, y, side, y), colour, width)
    for x in edges(side, grid[1])[1:-1].tolist():
        draw.line((x, 0, x, side), colour, width)


def frame(draw: ImageDraw.ImageDraw, box: Box, colour: Colour, line: int, rim: Colour) -> None:
    """A frame inside a box, with a rim of a pixel on either side that sets it off from the photograph."""
    left, top, right, bottom = box
    draw.rectangle((left, top, right - 1, bottom - 1), outline=rim, width=line + 2)
    draw.rectangle((left + 1, top + 1, right - 2, bottom - 2), outline=colour, width=line)


def letter_cell(
    draw: ImageDraw.ImageDraw,
    box: Box,
    name: str | int,
    probability: float,
    colour: Colour,
    *,
    room: float = 0.92,
    sign: str = "%",
) -> None:
    """A class's name in up to three lines, or its id in one, and below it the probability."""
    left, top, right, bottom = box
    width = right - left
    if isinstance(name, str):
        # The first of several synonyms ("notebook, notebook computer") is the one people know.
        sizes = range(round(width * 0.18), round(width * 0.11), -1)
        lines, font = fit(name.split(",")[0], width * room, 3, sizes)
        small = round(width * 0.145)
    else:
        lines, font = fit(str(name), width * room, 1, range(round(width * 0.36), round(width * 0.2), -1))
        small = round(width * 0.26)
    stacked = [*((line, font) for line in lines), letter(f"{short_percent(probability)}{sign}", small)]
    write_centred(draw, ((left + right) / 2, (top + bottom) / 2), stacked, colour)


def outline(draw: ImageDraw.ImageDraw, cells: Mask, side: int, bright: Colour = White) -> None:
    """The border of some cells, such as the foreground's, bright on dark."""
    borders = _borders(cells, side)
    for colour, width in ((Dark, max(8, side // 90)), (bright, max(4, side // 200))):
        for x0, y0, x1, y1 in borders:
            half = width / 2
            draw.rectangle((x0 - half, y0 - half, x1 + half, y1 + half), colour)


def _borders(foreground: Mask, side: int) -> list[tuple[int, int, int, int]]:
    """The edges between a foreground cell and what is none, the picture's rim included."""
    grid = (foreground.shape[0], foreground.shape[1])
    around = np.pad(foreground, 1)
    borders = []
    for row, col in np.argwhere(foreground).tolist():
        x0, y0, x1, y1 = cell_box(row, col, grid, side)
        if not around[row, col + 1]:
            borders.append((x0, y0, x1, y0))
        if not around[row + 2, col + 1]:
            borders.append((x0, y1, x1, y1))
        if not around[row + 1, col]:
            borders.append((x0, y0, x0, y1))
        if not around[row + 1, col + 2]:
            borders.append((x1, y0, x1, y1))
    return borders
