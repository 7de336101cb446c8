"""The cells most similar to one cell, each in its image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image, ImageDraw

from auditor.draw.cells import CARD, ZOOM, Grid, box_cell, draw_card, zoom_cell
from auditor.draw.colours import Paper
from auditor.draw.lettering import write, write_path
from auditor.explain.crops import crop, crops
from auditor.questions.similar.record import Similar
from auditor.report.views import Picture
from auditor.store import Index

_MARGIN = 28
_GAP = 16  # between two cards
_QUERY = 520  # pixels of the query's image
_FOOT = 92  # below it: the cell enlarged, and its name
_ACROSS = 5  # hits in a row


def picture_similar(index: Index, similar: Similar) -> Iterator[Picture]:
    """The query's image and those of the hits, best first."""
    images = crops(index, [hit.path for hit in similar.hits])
    drawn = draw_similar(crop(index, similar.path), similar, images, index.grid)
    cell = f"{similar.path}:{similar.row},{similar.col}"
    words = ("similar", Path(similar.path).stem, str(similar.row), str(similar.col))
    where = "" if similar.same else " in other images"
    yield Picture(words, drawn, f"The cells most similar to {cell}{where}")


DRAWINGS = {Similar: picture_similar}


def draw_similar(
    query: Image.Image, similar: Similar, images: Mapping[str, Image.Image], grid: Grid
) -> Image.Image:
    """The query's crop with its cell boxed, and the hits' crops with theirs, best first.

    `images` are the crops by path; a hit whose image is not among them gets an empty frame.
    """
    down = -(-len(similar.hits) // _ACROSS)
    left = _QUERY + 2 * _MARGIN
    width = left + min(_ACROSS, len(similar.hits)) * (CARD[0] + _GAP) - _GAP + _MARGIN
    height = 2 * _MARGIN + max(_QUERY + _FOOT, down * (CARD[1] + _GAP) - _GAP)
    drawn = Image.new("RGB", (width, height), Paper)
    drawn.paste(_draw_query(query, similar, grid), (_MARGIN, _MARGIN))
    for index, hit in enumerate(similar.hits):
        row, col = divmod(index, _ACROSS)
        place = (left + col * (CARD[0] + _GAP), _MARGIN + row * (CARD[1] + _GAP))
        drawn.paste(draw_card(images.get(hit.path), hit, index + 1, grid), place)
    return drawn


def _draw_query(query: Image.Image, similar: Similar, grid: Grid) -> Image.Image:
    card = Image.new("RGB", (_QUERY, _QUERY + _FOOT), Paper)
    card.paste(box_cell(query, similar.row, similar.col, grid, _QUERY), (0, 0))
    card.paste(zoom_cell(query, similar.row, similar.col, grid), (0, _QUERY + 12))
    draw = ImageDraw.Draw(card)
    left = ZOOM + 12
    write(draw, (left, _QUERY + 32), f"cell {similar.row},{similar.col}", 22, _QUERY - left)
    write_path(draw, (left, _QUERY + 60), similar.path, 18, _QUERY - left)
    return card
