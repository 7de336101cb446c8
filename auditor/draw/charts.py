"""Figures of matplotlib, drawn without a window: sizes are pixels, and a name stands as it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from auditor.draw.colours import Colour
from auditor.draw.lettering import letter_wide, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart by colour-blind readers too
_STYLES = ("-", "--", "-.", ":")  # and in grey
_DPI = 110
_POINTS_PER_INCH = 72  # matplotlib measures letters and lines in points

Box = tuple[float, float, float, float]


def new_figure(width: int, height: int, *, is_laid_out: bool = False) -> Figure:
    """An empty figure of so many pixels; laid out, matplotlib finds room for axes, names and legends."""
    from matplotlib.figure import Figure

    size = (width / _DPI, height / _DPI)
    return Figure(figsize=size, dpi=_DPI, layout="constrained" if is_laid_out else None)


def place_axes(figure: Figure, box: Box) -> Axes:
    """Axes whose rim stands at these pixels from the figure's top left: left, top, right, bottom."""
    width, height = (edge * _DPI for edge in figure.get_size_inches())
    left, top, right, bottom = box
    return figure.add_axes(
        (left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height)
    )


def points(pixels: float) -> float:
    """A height of letters or a width of lines in matplotlib's unit."""
    return pixels * _POINTS_PER_INCH / _DPI


def paint(colour: Colour) -> tuple[float, float, float]:
    """A colour of 8 bits as matplotlib takes it."""
    return colour[0] / 255, colour[1] / 255, colour[2] / 255


def as_written(text: str, size: int = 20, width: float = float("inf")) -> str:
    """A name that matplotlib draws as it stands: no formula, no missing letter, cut to `width` pixels."""
    shown, font = letter_wide(text, size)
    return shorten(shown, font, width).replace("$", r"\$")


def draw_curve(axes: Axes, x: Sequence[float], y: Sequence[float], number: int, name: str) -> None:
    """The number-th curve, in a colour and a dash of its own; not a number leaves a gap."""
    style, colour = _STYLES[number % len(_STYLES)], _COLOURS[number % len(_COLOURS)]
    axes.plot(x, y, style, color=colour, label=name, linewidth=1.8)


def frame_curves(axes: Axes, across: str, up: str) -> None:
    """What the axes measure, from 0, with a faint grid."""
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.25)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)


def picture(figure: Figure) -> Image.Image:
    """The figure's pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return Image.fromarray(pixels).convert("RGB")
