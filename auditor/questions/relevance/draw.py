"""Relevance: which pixels a cell's score came from (Figure 8)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from auditor.draw.colours import Colour, Dark, Faint, Paper, Red, Signed, White
from auditor.draw.heat import BAR_WIDTH, paint_signed, paste_bar
from auditor.draw.layers import frame
from auditor.draw.lettering import write
from auditor.explain.crops import crop
from auditor.questions.relevance.record import Box, Relevance
from auditor.questions.relevance.view import unreliable
from auditor.report.text import share
from auditor.report.views import Picture
from auditor.store import Index

_MARGIN = 28
_WIDE = 680  # pixels of either side, the photograph and the relevance
_FOOT = 132  # below them, what is said in words
_PALE = (190, 200, 215)  # the thin frame around the field


def picture_relevance(index: Index, relevance: Relevance) -> Iterator[Picture]:
    """The crop with its cell, beside the relevance of its pixels."""
    row, col, path = relevance.row, relevance.col, relevance.path
    caption = (
        f"{path}: the pixels that the score of cell {row},{col} for {relevance.name} came from (Figure 8)"
    )
    words = ("relevance", Path(path).stem, str(row), str(col), relevance.name)
    yield Picture(words, draw_relevance(crop(index, path), relevance), caption)


DRAWINGS = {Relevance: picture_relevance}


def draw_relevance(image: Image.Image, relevance: Relevance) -> Image.Image:
    """The crop with the cell in red, and the relevance of its pixels with the cell in white (Figure 8).

    The thin frame is the field: a box that holds 99 % of the absolute relevance.
    """
    width = 2 * (_WIDE + _MARGIN) + _MARGIN + BAR_WIDTH
    drawn = Image.new("RGB", (width, _MARGIN + _WIDE + _FOOT), Paper)
    limit = float(np.quantile(np.abs(relevance.pixels), 0.998)) or 1.0
    sides = ((_photo(image), Red), (paint_signed(relevance.pixels, limit, _WIDE), White))
    for index, (side, colour) in enumerate(sides):
        draw = ImageDraw.Draw(side)
        _frame(draw, relevance.field, relevance.pixels.shape[0], _PALE, 2)
        _frame(draw, relevance.box, relevance.pixels.shape[0], colour, 5)
        drawn.paste(side, (_MARGIN + index * (_WIDE + _MARGIN), _MARGIN))
    place = (2 * (_WIDE + _MARGIN) + _MARGIN, _MARGIN)
    paste_bar(drawn, place, _WIDE, Signed, (-limit, limit))
    _write_foot(ImageDraw.Draw(drawn), relevance, width)
    return drawn


def _photo(image: Image.Image) -> Image.Image:
    return image.convert("RGB").resize((_WIDE, _WIDE), Image.Resampling.BICUBIC)


def _frame(draw: ImageDraw.ImageDraw, box: Box, side: int, colour: Colour, line: int) -> None:
    left, top, right, bottom = (edge * _WIDE / side for edge in box)
    frame(draw, (left, top, right, bottom), colour, line, rim=Dark)


def _write_foot(draw: ImageDraw.ImageDraw, relevance: Relevance, width: int) -> None:
    top, room = _MARGIN + _WIDE, width - 2 * _MARGIN
    head = (
        f"{relevance.name}: {relevance.score:.3f} in cell {relevance.row},{relevance.col} of {relevance.path}"
    )
    write(draw, (_MARGIN, top + 30), head, 24, room)
    error = relevance.conservation_error
    lost = "" if error is None else f"; conservation error {share(error)} %"
    sums = f"sum of the relevance {relevance.total:.3f}{lost}"
    inside = (
        f"{share(relevance.inside)} % of the absolute relevance lies in the cell; the thin frame holds 99 %"
    )
    write(draw, (_MARGIN, top + 62), f"{inside}; {sums}", 17, room, Faint)
    last = (relevance.method, Faint) if relevance.is_reliable else (unreliable(relevance), Red)
    write(draw, (_MARGIN, top + 90), last[0], 17, room, last[1])
