"""Cells drawn in their images: what is similar to one cell, and which cells of two images correspond."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, ImageDraw

from auditor.draw.grids import Faint, Paper, colour_of
from auditor.draw.lettering import Bright, Dark, White, letter, shorten_path, write
from auditor.grids import cell_box
from auditor.records import Hit, Match, Pair, Similar
from auditor.report.text import share

Grid = tuple[int, int]

_MARGIN = 28
_QUERY = 520  # pixels of the query's image
_THUMB = 208
_ZOOM = 68  # the cell itself, enlarged under its thumbnail
_CARD = (_THUMB, _THUMB + _ZOOM + 12)
_ACROSS = 5
_PAPER_GREY = (228, 230, 234)

_IMAGE = 620  # pixels of each image of a match
_BETWEEN = 150
_LEGEND_ACROSS = 4
_SMOOTH = 2  # Pillow's lines are jagged: they are drawn this much larger and reduced


# ------------------------------------------------------------------------------------- similar cells


def draw_similar(
    query: Image.Image, similar: Similar, images: Mapping[str, Image.Image], grid: Grid
) -> Image.Image:
    """The query's crop with its cell boxed, and the hits' crops with theirs, best first.

    `images` are the crops by path; a hit whose image is not among them gets an empty frame.
    """
    down = -(-len(similar.hits) // _ACROSS)
    left = _QUERY + 2 * _MARGIN
    width = left + min(_ACROSS, len(similar.hits)) * (_CARD[0] + 16) - 16 + _MARGIN
    height = 2 * _MARGIN + max(_QUERY + 92, down * (_CARD[1] + 16) - 16)
    drawn = Image.new("RGB", (width, height), Paper)
    drawn.paste(_draw_query(query, similar, grid), (_MARGIN, _MARGIN))
    for index, hit in enumerate(similar.hits):
        row, col = divmod(index, _ACROSS)
        place = (left + col * (_CARD[0] + 16), _MARGIN + row * (_CARD[1] + 16))
        drawn.paste(_draw_card(images.get(hit.path), hit, index + 1, grid), place)
    return drawn


def _draw_query(query: Image.Image, similar: Similar, grid: Grid) -> Image.Image:
    card = Image.new("RGB", (_QUERY, _QUERY + 92), Paper)
    card.paste(box_cell(query, similar.row, similar.col, grid, _QUERY), (0, 0))
    card.paste(zoom_cell(query, similar.row, similar.col, grid), (0, _QUERY + 12))
    draw = ImageDraw.Draw(card)
    left = _ZOOM + 12
    write(draw, (left, _QUERY + 32), f"cell {similar.row},{similar.col}", 22, _QUERY - left)
    _write_path(draw, (left, _QUERY + 60), similar.path, 18, _QUERY - left)
    return card


def _draw_card(image: Image.Image | None, hit: Hit, rank: int, grid: Grid) -> Image.Image:
    card = Image.new("RGB", _CARD, Paper)
    draw = ImageDraw.Draw(card)
    if image is None:
        draw.rectangle((0, 0, _THUMB, _THUMB), _PAPER_GREY)
        write(draw, (_THUMB / 2, _THUMB / 2), "image not at hand", 17, _THUMB, Faint, "mm")
    else:
        card.paste(box_cell(image, hit.row, hit.col, grid, _THUMB), (0, 0))
        card.paste(zoom_cell(image, hit.row, hit.col, grid), (0, _THUMB + 8))
    left, room = _ZOOM + 10, _THUMB - _ZOOM - 10
    write(draw, (left, _THUMB + 18), f"{rank}   {hit.cosine:.3f}", 18, room)
    write(draw, (left, _THUMB + 42), hit.predicted or hit.label or "", 16, room)
    _write_path(draw, (left, _THUMB + 64), f"{hit.path}:{hit.row},{hit.col}", 13, room)
    return card


def box_cell(image: Image.Image, row: int, col: int, grid: Grid, side: int) -> Image.Image:
    """The crop with one of its cells framed."""
    drawn = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    _box(ImageDraw.Draw(drawn), cell_box(row, col, grid, side), max(2, side // 130))
    return drawn


def _box(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], line: int) -> None:
    """A bright frame with dark rims, so that it shows on light and on dark."""
    for colour, margin, width in ((Dark, line, 3 * line), (Bright, 0, line)):
        x0, y0, x1, y1 = box
        draw.rectangle(
            (x0 - margin, y0 - margin, x1 - 1 + margin, y1 - 1 + margin), outline=colour, width=width
        )


def zoom_cell(image: Image.Image, row: int, col: int, grid: Grid) -> Image.Image:
    """The cell alone, enlarged."""
    cell = cell_box(row, col, grid, image.width)
    return image.convert("RGB").resize((_ZOOM, _ZOOM), Image.Resampling.BICUBIC, cell)


def _write_path(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], path: str, size: int, width: float
) -> None:
    shown, font = letter(path, size)
    draw.text(place, shorten_path(shown, font, width), Faint, font, "lm")


# ------------------------------------------------------------------------------------- corresponding cells


@dataclass(frozen=True, slots=True)
class _Link:
    """A pair as drawn: its number, its two ends in pixels, its strength from 0 to 1."""

    number: int
    a: tuple[float, float]
    b: tuple[float, float]
    strength: float


def draw_match(a: Image.Image, b: Image.Image, match: Match, grid: Grid) -> Image.Image:
    """Two crops side by side, the most similar cells joined; a stronger line, a higher cosine (Figure 9)."""
    legend = _draw_match_legend(match, 2 * _IMAGE + _BETWEEN)
    top = _MARGIN + 40
    size = (2 * _IMAGE + _BETWEEN + 2 * _MARGIN, top + _IMAGE + _MARGIN + legend.height + _MARGIN)
    drawn = Image.new("RGB", size, Paper)
    draw = ImageDraw.Draw(drawn)
    sides = (("A", a, match.a, _MARGIN), ("B", b, match.b, _MARGIN + _IMAGE + _BETWEEN))
    for side, image, path, left in sides:
        write(draw, (left, _MARGIN + 14), side, 24, 28)
        _write_path(draw, (left + 30, _MARGIN + 14), path, 20, _IMAGE - 30)
        drawn.paste(image.convert("RGB").resize((_IMAGE, _IMAGE), Image.Resampling.BICUBIC), (left, top))
    drawn.paste(legend, (_MARGIN, top + _IMAGE + _MARGIN))
    links = _place_links(match, grid, (_MARGIN, top), (_MARGIN + _IMAGE + _BETWEEN, top))
    overlay = _draw_links(links, drawn.size, _radius(grid))
    return Image.alpha_composite(drawn.convert("RGBA"), overlay).convert("RGB")


def _radius(grid: Grid) -> float:
    """Of the numbers' discs: four of them fit in a cell of a coarse grid."""
    return max(10.0, min(17.0, 0.24 * _IMAGE / max(grid)))


def _place_links(match: Match, grid: Grid, a: tuple[int, int], b: tuple[int, int]) -> list[_Link]:
    """Ends at the cells' centres, beside one another where several pairs share a cell."""
    crowds = Counter(pair.a for pair in match.pairs), Counter(pair.b for pair in match.pairs)
    seen: tuple[Counter[Grid], Counter[Grid]] = Counter(), Counter()
    cosines = [pair.cosine for pair in match.pairs]
    links = []
    for number, pair in enumerate(match.pairs, start=1):
        ends = []
        for cell, corner, crowd, before in zip((pair.a, pair.b), (a, b), crowds, seen, strict=True):
            ends.append(_place_end(cell, grid, corner, (before[cell], crowd[cell])))
            before[cell] += 1
        links.append(_Link(number, ends[0], ends[1], _strength(pair, cosines)))
    return links


def _place_end(
    cell: Grid, grid: Grid, corner: tuple[int, int], order: tuple[int, int]
) -> tuple[float, float]:
    x0, y0, x1, y1 = cell_box(*cell, grid, _IMAGE)
    at, crowd = order
    across = 1 if crowd == 1 else 2 if crowd <= 4 else 3
    row, col = divmod(at, across)
    down = -(-crowd // across)
    x = x0 + (x1 - x0) * (col + 1) / (across + 1) if across > 1 else (x0 + x1) / 2
    y = y0 + (y1 - y0) * (row + 1) / (down + 1)
    return corner[0] + x, corner[1] + y


def _strength(pair: Pair, cosines: list[float]) -> float:
    low, high = min(cosines), max(cosines)
    return 1.0 if high == low else (pair.cosine - low) / (high - low)


def _draw_links(links: list[_Link], size: tuple[int, int], radius: float) -> Image.Image:
    """Weak lines first, so that strong ones lie on top; numbers over all lines."""
    overlay = Image.new("RGBA", (size[0] * _SMOOTH, size[1] * _SMOOTH))
    draw = ImageDraw.Draw(overlay)
    for link in reversed(links):
        alpha, width = round(130 + 120 * link.strength), (2 + 4 * link.strength) * _SMOOTH
        ends = [(x * _SMOOTH, y * _SMOOTH) for x, y in (link.a, link.b)]
        draw.line(ends, (*Dark, alpha // 2), round(width + 3 * _SMOOTH))
        draw.line(ends, (*colour_of(link.number), alpha), round(width))
    for link in reversed(links):
        for x, y in (link.a, link.b):
            _draw_disc(draw, (x * _SMOOTH, y * _SMOOTH), radius * _SMOOTH, link.number)
    return overlay.resize(size, Image.Resampling.LANCZOS)


def _draw_disc(draw: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, number: int) -> None:
    draw.circle(at, radius, (*colour_of(number, 0.42), 255), (*White, 255), round(radius / 7))
    shown, font = letter(str(number), round(radius * 1.15))
    draw.text(at, shown, (*White, 255), font, "mm")


def _draw_match_legend(match: Match, width: int) -> Image.Image:
    """Every pair with its cells, cosine and share, down then across."""
    down = -(-len(match.pairs) // _LEGEND_ACROSS)
    size = (width, 40 + 32 * down)
    legend = Image.new("RGB", (size[0] * _SMOOTH, size[1] * _SMOOTH), Paper)
    draw = ImageDraw.Draw(legend)
    said = f"cosine of the two images {match.cosine:.3f}; pair: cell in A to cell in B, cosine, share of it"
    write(draw, (0, 14 * _SMOOTH), said, 19 * _SMOOTH, legend.width, Faint)
    for index, pair in enumerate(match.pairs):
        col, row = divmod(index, down)
        left, middle = col * legend.width / _LEGEND_ACROSS, (56 + 32 * row) * _SMOOTH
        _draw_disc(draw, (left + 14 * _SMOOTH, middle), 13 * _SMOOTH, index + 1)
        part = share(pair.share / match.cosine) if match.cosine else "-"
        text = f"{pair.a[0]},{pair.a[1]} to {pair.b[0]},{pair.b[1]}   {pair.cosine:.3f}   {part}%"
        room = legend.width / _LEGEND_ACROSS - 40 * _SMOOTH
        write(draw, (left + 36 * _SMOOTH, middle), text, 18 * _SMOOTH, room)
    return legend.resize(size, Image.Resampling.LANCZOS)
