"""The map of an index as a picture, and cells in rows of cards: clusters' exemplars, a concept's findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from auditor.draw.cells import box_cell, zoom_cell
from auditor.draw.grids import Faint, Paper, colour_of
from auditor.draw.lettering import Colour, Dark, White, letter, write
from auditor.grids import parse_cell
from auditor.records import CellMap, Cluster, Concept
from auditor.report.search_tables import times
from auditor.report.text import percent, plural, share

Grid = tuple[int, int]
Images = Mapping[str, Image.Image]

NAMED = 12
"""Clusters that the map names and shows: the most suspicious ones."""
SHOWN = 3  # exemplars of each beside the map

_MARGIN = 28
_MAP = 1180  # pixels of the map's side
_SMOOTH = 2  # drawn this much larger and reduced: Pillow's discs are jagged
_DISC = 15
_THUMB = 150
_TEXT = 260  # pixels of the words in front of a row
_GAP = 14
_HEIGHT = _THUMB + 60
_QUIET = (208, 212, 219)
_PALE = 0.55  # how far the colour of an unnamed cluster is washed out
_PANEL = 118  # of an exemplar beside the map


@dataclass(frozen=True, slots=True)
class Row:
    """A row of cells (`path:row,col`, each with a line of its own) and what stands in front of it."""

    words: tuple[str, ...]
    cells: tuple[tuple[str, str], ...]
    number: int | None = None


# ------------------------------------------------------------------------------------- the map


def draw_map(found: CellMap, images: Images, grid: Grid) -> Image.Image:
    """The sampled cells, the most suspicious clusters in colour, numbered and with exemplars (Figure 10)."""
    named = found.clusters[:NAMED]
    panels = [_draw_panel(cluster, images, grid) for cluster in named]
    down = -(-len(panels) // 2)
    width, height = panels[0].size if panels else (0, 0)
    size = (_MAP + 3 * _MARGIN + 2 * (width + _MARGIN), 2 * _MARGIN + max(_MAP, down * (height + _GAP)))
    drawn = Image.new("RGB", size, Paper)
    drawn.paste(_draw_points(found, named), (_MARGIN, _MARGIN))
    for position, panel in enumerate(panels):
        col, row = divmod(position, down)
        place = (_MAP + 2 * _MARGIN + col * (width + _MARGIN), _MARGIN + row * (height + _GAP))
        drawn.paste(panel, place)
    return drawn


def _draw_points(found: CellMap, named: Sequence[Cluster]) -> Image.Image:
    side = _MAP * _SMOOTH
    drawn = Image.new("RGB", (side, side), Paper)
    draw = ImageDraw.Draw(drawn)
    places = _fit(found.points, side)
    numbers = {cluster.number for cluster in named}
    radius = _SMOOTH * float(np.clip(260 / np.sqrt(max(len(places), 1)), 1.4, 4.0))
    is_named = np.isin(found.members, list(numbers))
    for at in np.argsort(2 * is_named + (found.members > 0), kind="stable"):  # what matters lies on top
        draw.circle(tuple(places[at]), radius, _colour(int(found.members[at]), bool(is_named[at])))
    marks = [_beside(places[found.members == cluster.number]) for cluster in named]
    for cluster, (x, y) in zip(named, _spread(np.array(marks).reshape(-1, 2)), strict=True):
        _draw_disc(draw, (x, y), _DISC * _SMOOTH, cluster.number)
    return drawn.resize((_MAP, _MAP), Image.Resampling.LANCZOS)


def _beside(places: NDArray[np.float64]) -> tuple[float, float]:
    """Where a cluster's number stands: over its topmost point, so that it hides none of a small one."""
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
        return _QUIET
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


def _draw_disc(draw: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, number: int) -> None:
    draw.circle(at, radius, colour_of(number, 0.4), White, max(2, round(radius / 7)))
    shown, font = letter(str(number), round(radius * (1.15 if number < 100 else 0.9)))
    draw.text(at, shown, White, font, "mm")


def _draw_panel(cluster: Cluster, images: Images, grid: Grid) -> Image.Image:
    """A named cluster beside the map: its number, what is suspicious, its first exemplars."""
    panel = Image.new("RGB", (SHOWN * (_PANEL + 8) + 40, _PANEL + 58), Paper)
    draw = ImageDraw.Draw(panel)
    _draw_disc(draw, (17, 20), 17, cluster.number)
    first, second = _facts(cluster)[:2]
    write(draw, (44, 11), first, 18, panel.width - 44)
    write(draw, (44, 35), second, 16, panel.width - 44, Faint)
    for position, cell in enumerate(cluster.exemplars[:SHOWN]):
        panel.paste(_picture(cell, images, grid, _PANEL), (44 + position * (_PANEL + 8), 54))
    return panel


def _facts(cluster: Cluster) -> tuple[str, ...]:
    label, seen = cluster.label, cluster.predicted[:1]
    size = f"{plural(cluster.cells, 'cell')}, {plural(cluster.images, 'image')}"
    owner = f"{share(label.of_found)} % {label.name}, {times(label.lift)}" if label else "no class of its own"
    place = f"place {times(cluster.position)}, peak {cluster.peak[0]},{cluster.peak[1]}"
    said = f"predicted {seen[0].name} {percent(seen[0].cells)} %" if seen else "no prediction"
    return owner, f"{size}; {place}", said


# ------------------------------------------------------------------------------------- rows of cards


def draw_clusters(found: CellMap, images: Images, grid: Grid) -> Image.Image:
    """A row of exemplars for every cluster, the medoid first, most suspicious clusters on top."""
    rows = []
    for cluster in found.clusters:
        owner, size, said = _facts(cluster)
        words = (owner, *size.split("; "), said)
        rows.append(Row(words, tuple((cell, "") for cell in cluster.exemplars), cluster.number))
    return draw_rows(rows, images, grid)


def draw_concept(found: Concept, images: Images, grid: Grid) -> Image.Image:
    """The reference cells that have a place in the index, then the cells found, best first."""
    across = 8
    references = tuple((name, "") for name in found.references if _is_cell(name))[:across]
    hits = [(f"{hit.path}:{hit.row},{hit.col}", f"{hit.cosine:.3f}  {hit.label or ''}") for hit in found.hits]
    said = f"found in {percent(found.images)} % of the images"
    words = (found.name, plural(len(found.references), "reference"), said)
    rows = [Row(words, references)]
    for start in range(0, len(hits), across):
        rows.append(
            Row((f"{start + 1} to {min(start + across, len(hits))}",), tuple(hits[start : start + across]))
        )
    return draw_rows(rows, images, grid)


def draw_rows(rows: Sequence[Row], images: Images, grid: Grid) -> Image.Image:
    """Rows of cells, each in its image with the cell enlarged in a corner."""
    longest = max([1, *(len(row.cells) for row in rows)])
    size = (2 * _MARGIN + _TEXT + longest * (_THUMB + _GAP), 2 * _MARGIN + len(rows) * _HEIGHT)
    drawn = Image.new("RGB", size, Paper)
    for position, row in enumerate(rows):
        _draw_row(drawn, row, _MARGIN + position * _HEIGHT, images, grid)
    return drawn


def _draw_row(drawn: Image.Image, row: Row, top: int, images: Images, grid: Grid) -> None:
    draw = ImageDraw.Draw(drawn)
    left = _MARGIN
    if row.number is not None:
        _draw_disc(draw, (left + 18, top + 20), 18, row.number)
        left += 48
    for line, words in enumerate(row.words):
        colour, size = (Dark, 19) if line == 0 else (Faint, 16)
        write(draw, (left, top + 20 + 26 * line), words, size, _MARGIN + _TEXT - left - 10, colour)
    for position, (cell, said) in enumerate(row.cells):
        place = _MARGIN + _TEXT + position * (_THUMB + _GAP)
        drawn.paste(_picture(cell, images, grid, _THUMB), (place, top))
        path, _, where = cell.rpartition(":")
        write(draw, (place, top + _THUMB + 13), said or f"cell {where}", 15, _THUMB)
        name = path.rpartition("/")[2]
        write(draw, (place, top + _THUMB + 32), f"{name}:{where}" if said else name, 13, _THUMB, Faint)


def _picture(cell: str, images: Images, grid: Grid, side: int) -> Image.Image:
    """The cell's image with the cell framed, and the cell enlarged in the corner that is farther from it."""
    path, row, col = parse_cell(cell)
    if path not in images:
        empty = Image.new("RGB", (side, side), _QUIET)
        write(ImageDraw.Draw(empty), (side / 2, side / 2), "not at hand", 15, side, Faint, "mm")
        return empty
    picture = box_cell(images[path], row, col, grid, side)
    zoomed = zoom_cell(images[path], row, col, grid).resize((side * 2 // 5, side * 2 // 5))
    framed = Image.new("RGB", (zoomed.width + 4, zoomed.height + 4), White)
    framed.paste(zoomed, (2, 2))
    x = side - framed.width if 2 * col < grid[1] else 0
    y = side - framed.height if 2 * row < grid[0] else 0
    picture.paste(framed, (x, y))
    return picture


def _is_cell(name: str) -> bool:
    where = name.rpartition(":")[2]
    return where.replace(",", "").isdecimal()
