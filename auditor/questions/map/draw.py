"""The map of an index, and its clusters by their exemplars (Figure 10)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw

from auditor.draw.cells import Grid, Images, Row, draw_rows, first_name, show_cell
from auditor.draw.colours import Faint, Paper
from auditor.draw.lettering import draw_disc, write_fitted
from auditor.draw.scatter import draw_points
from auditor.explain.crops import crops
from auditor.grids import parse_cell
from auditor.questions.map.record import CellMap, Cluster
from auditor.report.text import percent, plural, share, times
from auditor.report.views import Picture
from auditor.store import Index

NAMED = 12
"""Clusters that the map names and shows: the most suspicious ones."""
SHOWN = 3  # exemplars of each beside the map

_MARGIN = 28
_MAP = 1180  # pixels of the map's side
_GAP = 14  # between a panel and the next
_PANEL = 118  # pixels of an exemplar beside the map


def picture_map(index: Index, cell_map: CellMap) -> Iterator[Picture]:
    """The map with exemplars of the first clusters, then more exemplars of each of them."""
    images = _exemplars(index, cell_map.clusters[:NAMED], SHOWN)
    caption = "The cells on the map, and its most suspicious clusters (Figure 10)"
    yield Picture(("map",), draw_map(cell_map, images, index.grid), caption)
    named = cell_map.clusters[:NAMED]
    if named:

        def drawn() -> Image.Image:
            return draw_clusters(named, _exemplars(index, named, None), index.grid)

        caption = "Exemplars of each of these clusters, its medoid first"
        yield Picture(("map", "clusters"), drawn, caption, only_with="clusters")


DRAWINGS = {CellMap: picture_map}


def _exemplars(index: Index, clusters: Sequence[Cluster], most: int | None) -> dict[str, Image.Image]:
    cells = [cell for cluster in clusters for cell in cluster.exemplars[:most]]
    return crops(index, [parse_cell(cell)[0] for cell in cells])


def draw_map(cell_map: CellMap, images: Images, grid: Grid) -> Image.Image:
    """The sampled cells, the most suspicious clusters in colour, numbered and with exemplars (Figure 10)."""
    named = cell_map.clusters[:NAMED]
    numbers = [cluster.number for cluster in named]
    panels = [_draw_panel(cluster, images, grid) for cluster in named]
    down = -(-len(panels) // 2)
    width, height = panels[0].size if panels else (0, 0)
    size = (_MAP + 3 * _MARGIN + 2 * (width + _MARGIN), 2 * _MARGIN + max(_MAP, down * (height + _GAP)))
    drawn = Image.new("RGB", size, Paper)
    drawn.paste(draw_points(cell_map.points, cell_map.members, numbers, _MAP), (_MARGIN, _MARGIN))
    for position, panel in enumerate(panels):
        col, row = divmod(position, down)
        place = (_MAP + 2 * _MARGIN + col * (width + _MARGIN), _MARGIN + row * (height + _GAP))
        drawn.paste(panel, place)
    return drawn


def draw_clusters(clusters: Sequence[Cluster], images: Images, grid: Grid) -> Image.Image:
    """A row of exemplars for every cluster, the medoid first, most suspicious clusters on top."""
    rows = []
    for cluster in clusters:
        owner, size, predicted = _facts(cluster)
        words = (owner, *size.split("; "), predicted)
        rows.append(Row(words, tuple((cell, "") for cell in cluster.exemplars), cluster.number))
    return draw_rows(rows, images, grid)


def _draw_panel(cluster: Cluster, images: Images, grid: Grid) -> Image.Image:
    """A named cluster beside the map: its number, what is suspicious, its first exemplars."""
    panel = Image.new("RGB", (SHOWN * (_PANEL + 8) + 40, _PANEL + 58), Paper)
    draw = ImageDraw.Draw(panel)
    draw_disc(draw, (17, 20), 17, cluster.number)
    first, second = _facts(cluster)[:2]
    write_fitted(draw, (44, 11), first, 18, panel.width - 44)
    write_fitted(draw, (44, 35), second, 16, panel.width - 44, Faint)
    for position, cell in enumerate(cluster.exemplars[:SHOWN]):
        panel.paste(show_cell(cell, images, grid, _PANEL), (44 + position * (_PANEL + 8), 54))
    return panel


def _facts(cluster: Cluster) -> tuple[str, str, str]:
    """Whose class it is, how large and where, what its cells are predicted as."""
    label, predicted = cluster.label, cluster.predicted[:1]
    size = f"{plural(cluster.cells, 'cell')}, {plural(cluster.images, 'image')}"
    owner = (
        f"{share(label.of_found)} % {first_name(label.name)}, {times(label.lift)}"
        if label
        else "no class of its own"
    )
    place = f"place {times(cluster.position)}, peak {cluster.peak[0]},{cluster.peak[1]}"
    shown = (
        f"predicted {first_name(predicted[0].name)} {percent(predicted[0].cells)} %"
        if predicted
        else "no prediction"
    )
    return owner, f"{size}; {place}", shown
