"""Which cells of two images correspond."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path

from PIL import Image, ImageDraw

from auditor.draw.cells import Grid
from auditor.draw.colours import Colour, Dark, Faint, Paper, colour_of
from auditor.draw.lettering import draw_disc, write, write_path
from auditor.explain.crops import crop
from auditor.grids import cell_box
from auditor.questions.match.record import Match
from auditor.report.text import significant
from auditor.report.views import Picture
from auditor.store import Index

_MARGIN = 28
_IMAGE = 620  # pixels of each image
_BETWEEN = 150  # pixels between them, where the lines cross
_LEGEND_ACROSS = 4  # pairs in a row of the legend
_SMOOTH = 2  # Pillow's lines are jagged: they are drawn this much larger and reduced
_RIM = 8  # pixels around the links: what is smoothed at their border must not miss its neighbours
_DISC_LIGHTNESS = 0.42  # darker than the lines, so that white numbers read
_PALE = 0.72  # and of the discs of pairs that are hardly alike
_UNLIKE = 0.5  # the cosine up to which a line is faint: cells of unlike photos reach 0.2 to 0.4
_SCALE = (_UNLIKE, 0.75, 1.0)  # cosines whose lines the legend shows


def picture_match(index: Index, match: Match) -> Iterator[Picture]:
    """Both images side by side."""
    drawn = draw_match(crop(index, match.a), crop(index, match.b), match, index.grid)
    words = ("match", Path(match.a).stem, Path(match.b).stem)
    yield Picture(words, drawn, f"Corresponding cells of {match.a} and {match.b} (Figure 9)")


DRAWINGS = {Match: picture_match}


@dataclass(frozen=True, slots=True)
class _Link:
    """A pair as drawn: its number, its two ends in pixels, its strength from 0 to 1."""

    number: int
    a: tuple[float, float]
    b: tuple[float, float]
    strength: float


def draw_match(a: Image.Image, b: Image.Image, match: Match, grid: Grid) -> Image.Image:
    """Two crops side by side, the most similar cells joined, lines as strong as their cosine (Figure 9)."""
    legend = _draw_match_legend(match, 2 * _IMAGE + _BETWEEN)
    top = _MARGIN + 40
    size = (2 * _IMAGE + _BETWEEN + 2 * _MARGIN, top + _IMAGE + _MARGIN + legend.height + _MARGIN)
    drawn = Image.new("RGB", size, Paper)
    draw = ImageDraw.Draw(drawn)
    sides = (("A", a, match.a, _MARGIN), ("B", b, match.b, _MARGIN + _IMAGE + _BETWEEN))
    for side, image, path, left in sides:
        write(draw, (left, _MARGIN + 14), side, 24, 28)
        write_path(draw, (left + 30, _MARGIN + 14), path, 20, _IMAGE - 30)
        drawn.paste(image.convert("RGB").resize((_IMAGE, _IMAGE), Image.Resampling.BICUBIC), (left, top))
    drawn.paste(legend, (_MARGIN, top + _IMAGE + _MARGIN))
    links = _place_links(match, grid, (_MARGIN, top), (_MARGIN + _IMAGE + _BETWEEN, top))
    if links:
        _lay_links(drawn, links, _radius(grid))
    return drawn


def _radius(grid: Grid) -> float:
    """Of the numbers' discs: four of them fit in a cell of a coarse grid."""
    return max(10.0, min(17.0, 0.24 * _IMAGE / max(grid)))


def _place_links(match: Match, grid: Grid, a: tuple[int, int], b: tuple[int, int]) -> list[_Link]:
    """Ends at the cells' centres, beside one another where several pairs share a cell."""
    crowds = Counter(pair.a for pair in match.pairs), Counter(pair.b for pair in match.pairs)
    placed: tuple[Counter[Grid], Counter[Grid]] = Counter(), Counter()
    links = []
    for number, pair in enumerate(match.pairs, start=1):
        ends = []
        for cell, corner, crowd, before in zip((pair.a, pair.b), (a, b), crowds, placed, strict=True):
            ends.append(_place_end(cell, grid, corner, (before[cell], crowd[cell])))
            before[cell] += 1
        links.append(_Link(number, ends[0], ends[1], _strength(pair.cosine)))
    return links


def _place_end(
    cell: Grid, grid: Grid, corner: tuple[int, int], order: tuple[int, int]
) -> tuple[float, float]:
    x0, y0, x1, y1 = cell_box(*cell, grid, _IMAGE)
    place, crowd = order
    across = 1 if crowd == 1 else 2 if crowd <= 4 else 3
    row, col = divmod(place, across)
    down = -(-crowd // across)
    x = x0 + (x1 - x0) * (col + 1) / (across + 1) if across > 1 else (x0 + x1) / 2
    y = y0 + (y1 - y0) * (row + 1) / (down + 1)
    return corner[0] + x, corner[1] + y


def _strength(cosine: float) -> float:
    """From 0, where cells are hardly alike, to 1 at a cosine of 1: the same in every picture."""
    return max(0.0, (cosine - _UNLIKE) / (1 - _UNLIKE))


def _lay_links(drawn: Image.Image, links: list[_Link], radius: float) -> None:
    """Over the two images, on a layer no larger than the links take: to smooth it takes longest of all."""
    xs, ys = zip(*(end for link in links for end in (link.a, link.b)), strict=True)
    left, top = (floor(min(ends) - radius) - _RIM for ends in (xs, ys))
    right, bottom = (ceil(max(ends) + radius) + _RIM for ends in (xs, ys))
    overlay = Image.new("RGBA", ((right - left) * _SMOOTH, (bottom - top) * _SMOOTH))
    _draw_links(ImageDraw.Draw(overlay), links, (left, top), radius)
    smooth = overlay.resize((right - left, bottom - top), Image.Resampling.LANCZOS)
    drawn.paste(smooth, (left, top), smooth)


def _draw_links(
    draw: ImageDraw.ImageDraw, links: list[_Link], corner: tuple[int, int], radius: float
) -> None:
    """Weak lines first, so that strong ones lie on top; numbers over all lines."""

    def place(end: tuple[float, float]) -> tuple[float, float]:
        return (end[0] - corner[0]) * _SMOOTH, (end[1] - corner[1]) * _SMOOTH

    for link in reversed(links):
        _draw_line(draw, [place(link.a), place(link.b)], colour_of(link.number), link.strength)
    for link in reversed(links):
        lightness = _DISC_LIGHTNESS if link.strength else _PALE
        for end in (link.a, link.b):
            draw_disc(draw, place(end), radius * _SMOOTH, link.number, lightness)


def _draw_line(
    draw: ImageDraw.ImageDraw, ends: Sequence[tuple[float, float]], colour: Colour, strength: float
) -> None:
    """Faint and thin at strength 0; from there with a dark rim, wider and less transparent."""
    alpha, width = round(70 + 180 * strength), (1.2 + 5 * strength) * _SMOOTH
    if strength:
        draw.line(ends, (*Dark, alpha // 2), round(width + 3 * _SMOOTH))
    draw.line(ends, (*colour, alpha), round(width))


def _draw_match_legend(match: Match, width: int) -> Image.Image:
    """What the lines mean, then every pair with its cells, cosine and share, down then across."""
    down = -(-len(match.pairs) // _LEGEND_ACROSS)
    size = (width * _SMOOTH, (40 + 32 * down) * _SMOOTH)
    legend = Image.new("RGB", size, Paper)
    draw = ImageDraw.Draw(legend)
    head = f"cosine of the two images {match.cosine:.3f}; pair: cell in A to cell in B, cosine, share of it"
    write(draw, (0, 14 * _SMOOTH), head, 19 * _SMOOTH, legend.width * 0.62, Faint)
    for index, pair in enumerate(match.pairs):
        col, row = divmod(index, down)
        left, middle = col * legend.width / _LEGEND_ACROSS, (56 + 32 * row) * _SMOOTH
        lightness = _DISC_LIGHTNESS if _strength(pair.cosine) else _PALE
        draw_disc(draw, (left + 14 * _SMOOTH, middle), 13 * _SMOOTH, index + 1, lightness)
        ends = f"{pair.a[0]},{pair.a[1]} to {pair.b[0]},{pair.b[1]}"
        text = f"{ends}   {pair.cosine:.3f}   {significant(pair.share)}"
        room = legend.width / _LEGEND_ACROSS - 40 * _SMOOTH
        write(draw, (left + 36 * _SMOOTH, middle), text, 18 * _SMOOTH, room)
    scale = _draw_scale()
    legend.paste(scale, (legend.width - scale.width, 0), scale)
    return legend.resize((width, size[1] // _SMOOTH), Image.Resampling.LANCZOS)


def _draw_scale() -> Image.Image:
    """A layer for the legend's top right: a line of each of some cosines."""
    scale = Image.new("RGBA", (138 * _SMOOTH * len(_SCALE), 28 * _SMOOTH))
    draw = ImageDraw.Draw(scale)
    middle, left = 14 * _SMOOTH, 0
    for cosine in _SCALE:
        ends = [(left, middle), (left + 60 * _SMOOTH, middle)]
        _draw_line(draw, ends, colour_of(5), _strength(cosine))
        text = f"{cosine:.2g} or less" if cosine == _UNLIKE else f"{cosine:.2g}"
        write(draw, (left + 68 * _SMOOTH, middle), text, 17 * _SMOOTH, 90 * _SMOOTH, Faint)
        left += 160 * _SMOOTH if cosine == _UNLIKE else 120 * _SMOOTH
    return scale
