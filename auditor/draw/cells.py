"""Cells in their images: framed, enlarged, and in rows of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from auditor.draw.colours import Bright, Dark, Faint, Paper, Quiet, White
from auditor.draw.lettering import draw_disc, write, write_fitted, write_path
from auditor.grids import cell_box, parse_cell

Grid = tuple[int, int]
"""Rows and columns of cells."""
Box = tuple[int, int, int, int]
Images = Mapping[str, Image.Image]
"""Crops by the paths of their images."""

ZOOM = 68
"""Pixels of a cell alone, enlarged."""

_MARGIN = 28
_SIDE = 150  # pixels of an image in a row
_TEXT = 260  # pixels of the words in front of a row
_GAP = 14  # between two images of a row
_HEIGHT = _SIDE + 60  # of a row: an image and two lines of words


@dataclass(frozen=True, slots=True)
class Row:
    """A row of cells (`path:row,col`, each with a line of its own) and what stands in front of it.

    `boxes` are larger frames for some of them: top, left, bottom and right in cells, ends excluded.
    """

    words: tuple[str, ...]
    cells: tuple[tuple[str, str], ...]
    number: int | None = None
    boxes: Mapping[str, Box] = field(default_factory=dict)


def box_cell(image: Image.Image, row: int, col: int, grid: Grid, side: int) -> Image.Image:
    """The crop with one of its cells framed."""
    return _box_cells(image, (row, col, row + 1, col + 1), grid, side)


def _box_cells(image: Image.Image, box: Box, grid: Grid, side: int) -> Image.Image:
    drawn = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    draw_box(ImageDraw.Draw(drawn), _pixels(box, grid, side), max(2, side // 130))
    return drawn


def _pixels(box: Box, grid: Grid, side: int) -> Box:
    """Left, top, right and bottom in pixels of cells from top and left to bottom and right."""
    top, left, bottom, right = box
    return (*cell_box(top, left, grid, side)[:2], *cell_box(bottom - 1, right - 1, grid, side)[2:])


def draw_box(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], line: int) -> None:
    """A bright frame with dark rims, so that it shows on light and on dark."""
    for colour, margin, width in ((Dark, line, 3 * line), (Bright, 0, line)):
        x0, y0, x1, y1 = box
        draw.rectangle(
            (x0 - margin, y0 - margin, x1 - 1 + margin, y1 - 1 + margin), outline=colour, width=width
        )


def zoom_cell(image: Image.Image, row: int, col: int, grid: Grid) -> Image.Image:
    """The cell alone, enlarged."""
    return _zoom_cells(image, (row, col, row + 1, col + 1), grid)


def _zoom_cells(image: Image.Image, box: Box, grid: Grid) -> Image.Image:
    """These cells alone, as large as they fit into a square."""
    pixels = _pixels(box, grid, image.width)
    width, height = pixels[2] - pixels[0], pixels[3] - pixels[1]
    scale = ZOOM / max(width, height)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return image.convert("RGB").resize(size, Image.Resampling.BICUBIC, pixels)


def first_name(name: str) -> str:
    """The first of several synonyms ("notebook, notebook computer"), which is the one people know."""
    return name.split(",")[0]


# ------------------------------------------------------------------------------------- rows of cards


def draw_rows(rows: Sequence[Row], images: Images, grid: Grid) -> Image.Image:
    """Rows of cells, each in its image with the cell enlarged in a corner."""
    longest = max([1, *(len(row.cells) for row in rows)])
    size = (2 * _MARGIN + _TEXT + longest * (_SIDE + _GAP), 2 * _MARGIN + len(rows) * _HEIGHT)
    drawn = Image.new("RGB", size, Paper)
    for position, row in enumerate(rows):
        _draw_row(drawn, row, _MARGIN + position * _HEIGHT, images, grid)
    return drawn


def _draw_row(drawn: Image.Image, row: Row, top: int, images: Images, grid: Grid) -> None:
    draw = ImageDraw.Draw(drawn)
    left = _MARGIN
    if row.number is not None:
        draw_disc(draw, (left + 18, top + 20), 18, row.number)
        left += 48
    for line, words in enumerate(row.words):
        colour, size = (Dark, 19) if line == 0 else (Faint, 16)
        write_fitted(draw, (left, top + 20 + 26 * line), words, size, _MARGIN + _TEXT - left - 10, colour)
    for position, (cell, caption) in enumerate(row.cells):
        place = _MARGIN + _TEXT + position * (_SIDE + _GAP)
        drawn.paste(show_cell(cell, images, grid, _SIDE, row.boxes.get(cell)), (place, top))
        path, _, where = cell.rpartition(":")
        write_fitted(draw, (place, top + _SIDE + 13), caption or f"cell {where}", 15, _SIDE)
        name = path.rpartition("/")[2]
        below = f"{name}:{where}" if caption else name
        write_path(draw, (place, top + _SIDE + 32), below, 13, _SIDE)


def show_cell(cell: str, images: Images, grid: Grid, side: int, box: Box | None = None) -> Image.Image:
    """The cell's image with the cell, or the box, framed and enlarged in the corner that is farther away."""
    path, row, col = parse_cell(cell)
    if path not in images:
        empty = Image.new("RGB", (side, side), Quiet)
        write(ImageDraw.Draw(empty), (side / 2, side / 2), "not at hand", 15, side, Faint, "mm")
        return empty
    box = box or (row, col, row + 1, col + 1)
    picture = _box_cells(images[path], box, grid, side)
    zoomed = _zoom_cells(images[path], box, grid)
    zoomed = zoomed.resize((zoomed.width * side * 2 // (5 * ZOOM), zoomed.height * side * 2 // (5 * ZOOM)))
    framed = Image.new("RGB", (zoomed.width + 4, zoomed.height + 4), White)
    framed.paste(zoomed, (2, 2))
    x = side - framed.width if 2 * col < grid[1] else 0
    y = side - framed.height if 2 * row < grid[0] else 0
    picture.paste(framed, (x, y))
    return picture
