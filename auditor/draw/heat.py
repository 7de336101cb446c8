"""Values as colours: a light over a crop, a map of signed values, and the bar that says what they mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.draw.charts import new_figure, picture, place_axes, points
from auditor.draw.colours import Colour, Heat, Signed, shade

_BAR = 22
_TICKS = 96  # room for the numbers beside a bar
BAR_WIDTH = _BAR + _TICKS
_OVERHANG = 10  # above and below a bar, for the halves of the numbers at its ends
_PHOTO = 0.42  # how much of the photograph shines through the heat

Limits = tuple[float, float]


def limits_of(cells: NDArray[np.float64]) -> Limits:
    """What the darkest and the brightest colour stand for; cells that are all alike have the darkest."""
    low, high = float(cells.min()), float(cells.max())
    return low, high if high > low else low + 1.0


def light_cells(image: Image.Image, cells: NDArray[np.float64], side: int) -> Image.Image:
    """Cells (H, W) as a smooth light on the grey, darkened crop."""
    low, high = limits_of(cells)
    scaled = ((cells - low) / (high - low)).astype(np.float32)
    values = np.asarray(Image.fromarray(scaled).resize((side, side), Image.Resampling.BILINEAR))
    grey = image.convert("L").convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    blended = _PHOTO * np.asarray(grey) + (1 - _PHOTO) * shade(values, Heat)
    return Image.fromarray(blended.round().astype(np.uint8))


def paint_signed(pixels: NDArray[np.float64], limit: float, side: int) -> Image.Image:
    """Values (S, S) from -limit (blue) over 0 (black) to limit (red to white), every one a square."""
    colours = shade((np.clip(pixels / limit, -1, 1) + 1) / 2, Signed)
    small = Image.fromarray(colours.round().astype(np.uint8))
    return small.resize((side, side), Image.Resampling.NEAREST)


def paste_bar(
    drawn: Image.Image, corner: tuple[int, int], height: int, colours: Sequence[Colour], limits: Limits
) -> None:
    """A colour bar with its numbers; the corner is the top left of the bar itself."""
    bar = _draw_bar(height, colours, limits)
    drawn.paste(bar, (corner[0], corner[1] - _OVERHANG))


def _draw_bar(height: int, colours: Sequence[Colour], limits: Limits) -> Image.Image:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    figure = new_figure(BAR_WIDTH, height + 2 * _OVERHANG)
    axes = place_axes(figure, (0, _OVERHANG, _BAR, _OVERHANG + height))
    colour_map = ListedColormap(shade(np.linspace(0, 1, 256), colours) / 255)
    scale = ScalarMappable(Normalize(*limits), colour_map)
    bar = figure.colorbar(scale, cax=axes, format=lambda value, _: f"{value:.10g}")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=points(16), length=points(6), width=points(1.5))
    return picture(figure)
