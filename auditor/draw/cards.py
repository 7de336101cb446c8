"""What was looked for, and beside it a card for each image that answers, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from auditor.draw.cells import ZOOM, Grid, Images, box_cell, draw_box, first_name, zoom_cell
from auditor.draw.colours import Bright, Faint, Paper
from auditor.draw.layers import outline
from auditor.draw.lettering import write, write_fitted, write_path

_MARGIN = 28
_GAP = 16  # between two cards
_QUERY = 520  # pixels of the query's image
_FOOT = 92  # below it: the box enlarged, and its name
_ACROSS = 5  # cards in a row
_THUMB = 208  # pixels of the image on a card
_CARD = (_THUMB, _THUMB + ZOOM + 12)
_NO_IMAGE = (228, 230, 234)


@dataclass(frozen=True, slots=True)
class Card:
    """An answer: its image, the cells framed in it, the first one enlarged, its score, class and name."""

    path: str
    cells: tuple[tuple[int, int], ...]
    score: float
    label: str
    name: str


@dataclass(frozen=True, slots=True)
class Query:
    """What was looked for: a box (left, top, right, bottom) of a crop, in words, and the crop's path."""

    crop: Image.Image
    box: tuple[int, int, int, int]
    words: str
    path: str


def draw_sheet(query: Query, cards: Sequence[Card], images: Images, grid: Grid) -> Image.Image:
    """The query on the left and the cards beside it; one whose image is not at hand has an empty frame."""
    down = -(-len(cards) // _ACROSS)
    left = _QUERY + 2 * _MARGIN
    width = left + min(_ACROSS, len(cards)) * (_CARD[0] + _GAP) - _GAP + _MARGIN
    height = 2 * _MARGIN + max(_QUERY + _FOOT, down * (_CARD[1] + _GAP) - _GAP)
    drawn = Image.new("RGB", (width, height), Paper)
    drawn.paste(_draw_query(query), (_MARGIN, _MARGIN))
    for index, card in enumerate(cards):
        row, col = divmod(index, _ACROSS)
        place = (left + col * (_CARD[0] + _GAP), _MARGIN + row * (_CARD[1] + _GAP))
        drawn.paste(_draw_card(images.get(card.path), card, index + 1, grid), place)
    return drawn


def _draw_query(query: Query) -> Image.Image:
    card = Image.new("RGB", (_QUERY, _QUERY + _FOOT), Paper)
    image, (x0, y0, x1, y1) = query.crop.convert("RGB"), query.box
    shown = image.resize((_QUERY, _QUERY), Image.Resampling.BICUBIC)
    left, top, right, bottom = (edge * _QUERY // image.width for edge in query.box)
    draw_box(ImageDraw.Draw(shown), (left, top, right, bottom), _QUERY // 130)
    card.paste(shown, (0, 0))
    scale = ZOOM / max(x1 - x0, y1 - y0)
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    card.paste(image.resize(size, Image.Resampling.BICUBIC, query.box), (0, _QUERY + 12))
    draw = ImageDraw.Draw(card)
    write(draw, (ZOOM + 12, _QUERY + 32), query.words, 22, _QUERY - ZOOM - 12)
    write_path(draw, (ZOOM + 12, _QUERY + 60), query.path, 18, _QUERY - ZOOM - 12)
    return card


def _draw_card(image: Image.Image | None, answer: Card, rank: int, grid: Grid) -> Image.Image:
    card = Image.new("RGB", _CARD, Paper)
    draw = ImageDraw.Draw(card)
    if image is None:
        draw.rectangle((0, 0, _THUMB, _THUMB), _NO_IMAGE)
        write(draw, (_THUMB / 2, _THUMB / 2), "image not at hand", 17, _THUMB, Faint, "mm")
    else:
        card.paste(_frame(image, answer.cells, grid), (0, 0))
        card.paste(zoom_cell(image, *answer.cells[0], grid), (0, _THUMB + 8))
    left, room = ZOOM + 10, _THUMB - ZOOM - 10
    write(draw, (left, _THUMB + 18), f"{rank}   {answer.score:.3f}", 18, room)
    write_fitted(draw, (left, _THUMB + 42), first_name(answer.label), 16, room)
    write_path(draw, (left, _THUMB + 64), answer.name, 13, room)
    return card


def _frame(image: Image.Image, cells: Sequence[tuple[int, int]], grid: Grid) -> Image.Image:
    """The cells framed: one by a box, several by their common border."""
    if len(set(cells)) == 1:
        return box_cell(image, *cells[0], grid, _THUMB)
    shown = image.convert("RGB").resize((_THUMB, _THUMB), Image.Resampling.BICUBIC)
    marked = np.zeros(grid, np.bool_)
    marked[tuple(np.transpose(cells))] = True
    outline(ImageDraw.Draw(shown), marked, _THUMB, Bright)
    return shown
