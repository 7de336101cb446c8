"""Delta of every class under every fill as dots on a line, beside what a placebo does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from auditor.draw.grids import Faint, Paper
from auditor.draw.lettering import Colour, Dark, write
from auditor.records import FillRow, FillTable
from auditor.report.text import plural

_CLASSES = 16  # more make a picture that nobody reads; the table has them all
_NAMES, _AXIS, _MARKS, _MARGIN = 280, 760, 110, 28
_LINE, _BETWEEN, _HEAD = 22, 20, 96
_SMOOTH = 3  # circles are drawn this much larger and reduced
_RADIUS = 7
_RULE = (226, 229, 234)
_COLOURS: dict[str, Colour] = {
    "mean": (43, 108, 196),
    "black": (24, 26, 31),
    "grey": (136, 142, 152),
    "blur": (124, 74, 190),
    "noise": (221, 108, 32),
}


@dataclass(frozen=True, slots=True)
class _Scale:
    """Deltas, as shares, along the axis."""

    low: float
    high: float

    def x(self, delta: float) -> float:
        return _MARGIN + _NAMES + _AXIS * (delta - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        step = 0.25 if self.high - self.low > 1 else 0.1
        return [step * n for n in range(-4 * 5, 4 * 5 + 1) if self.low - 1e-9 <= step * n <= self.high + 1e-9]


def draw_fills(table: FillTable) -> Image.Image:
    """Delta of each class under every fill as a dot, that of its placebo as a ring on the same line."""
    labels = list(dict.fromkeys(row.label for row in table.rows))[:_CLASSES]
    rows = [row for row in table.rows if row.label in labels]
    block = len(table.fills) * _LINE + _BETWEEN
    width = _NAMES + _AXIS + _MARKS + 2 * _MARGIN
    height = _HEAD + len(labels) * block + 56
    scale = _scale(rows)
    drawn = Image.new("RGB", (width * _SMOOTH, height * _SMOOTH), Paper)
    lines = ImageDraw.Draw(drawn)
    places = [
        _HEAD + labels.index(row.label) * block + table.fills.index(row.fill) * _LINE + _LINE / 2
        for row in rows
    ]
    _rule(lines, scale, height)
    for row, y in zip(rows, places, strict=True):
        _draw_row(lines, row, scale, y)
    _draw_legend_dots(lines, table)
    drawn = drawn.resize((width, height), Image.Resampling.LANCZOS)
    _letter(ImageDraw.Draw(drawn), table, rows, places, scale)
    return drawn


def _deltas(row: FillRow) -> tuple[float | None, float | None]:
    """What stands on a row's line: over shared cells where there is a placebo to compare with."""
    return (row.placebo.delta, row.placebo.delta_placebo) if row.placebo else (row.delta, None)


def _scale(rows: Sequence[FillRow]) -> _Scale:
    """From the lowest to the highest Delta, in whole tens of points, zero always within."""
    found = [delta for row in rows for delta in _deltas(row) if delta is not None]
    low, high = min([*found, -0.1]), max([*found, 0.1])
    return _Scale(np.floor(low * 10 - 0.2) / 10, np.ceil(high * 10 + 0.2) / 10)


def _rule(lines: ImageDraw.ImageDraw, scale: _Scale, height: int) -> None:
    for tick in scale.ticks:
        x = scale.x(tick) * _SMOOTH
        colour, width = (Faint, 2 * _SMOOTH) if abs(tick) < 1e-9 else (_RULE, _SMOOTH)
        lines.line((x, (_HEAD - 8) * _SMOOTH, x, (height - 52) * _SMOOTH), colour, width)


def _signed(delta: float) -> str:
    return f"{100 * delta:+.0f}" if abs(delta) > 1e-9 else "0"


def _draw_row(lines: ImageDraw.ImageDraw, row: FillRow, scale: _Scale, y: float) -> None:
    colour, (delta, placebo) = _COLOURS[row.fill], _deltas(row)
    if delta is not None and placebo is not None:
        ends = (scale.x(delta) * _SMOOTH, y * _SMOOTH, scale.x(placebo) * _SMOOTH, y * _SMOOTH)
        lines.line(ends, colour, _SMOOTH)
    if placebo is not None:
        _dot(lines, scale.x(placebo), y, colour, is_ring=True)
    if delta is not None:
        _dot(lines, scale.x(delta), y, colour, is_ring=False)


def _dot(lines: ImageDraw.ImageDraw, x: float, y: float, colour: Colour, *, is_ring: bool) -> None:
    radius = _RADIUS + 2 if is_ring else _RADIUS - 1  # a dot stays visible inside its own ring
    box = tuple(_SMOOTH * edge for edge in (x - radius, y - radius, x + radius, y + radius))
    lines.ellipse(box, Paper if is_ring else colour, colour, 2 * _SMOOTH)


def _draw_legend_dots(lines: ImageDraw.ImageDraw, table: FillTable) -> None:
    for number, fill in enumerate(table.fills):
        _dot(lines, _MARGIN + _NAMES + 110 * number, 30, _COLOURS[fill], is_ring=False)
    if any(row.placebo for row in table.rows):
        _dot(lines, _MARGIN + _NAMES, 60, Faint, is_ring=False)
        _dot(lines, _MARGIN + _NAMES + 220, 60, Faint, is_ring=True)


def _letter(
    draw: ImageDraw.ImageDraw,
    table: FillTable,
    rows: Sequence[FillRow],
    places: Sequence[float],
    scale: _Scale,
) -> None:
    left = _MARGIN + _NAMES
    write(draw, (_MARGIN, 30), "Delta, in points", 24, _NAMES)
    for number, fill in enumerate(table.fills):
        write(draw, (left + 110 * number + 16, 30), fill, 18, 90)
    if any(row.placebo for row in table.rows):
        write(draw, (left + 16, 60), "object occluded", 18, 200)
        write(draw, (left + 236, 60), "placebo occluded: same shape, on background", 18, 500)
    first = {row.label: (row, y) for row, y in reversed(list(zip(rows, places, strict=True)))}
    for row, y in first.values():
        middle = y + (len(table.fills) - 1) * _LINE / 2
        write(draw, (_MARGIN, middle - 10), row.name, 20, _NAMES - 24)
        write(draw, (_MARGIN, middle + 12), plural(row.images, "image"), 15, _NAMES - 24, Faint)
    for row, y in zip(rows, places, strict=True):
        mark = (row.placebo.mark if row.placebo else None) or ""
        write(draw, (left + _AXIS + 24, y), mark, 16, _MARKS, Dark if mark == "mask" else Faint)
    bottom = places[-1] + _LINE / 2 + _BETWEEN + 16 if places else _HEAD
    left_out = len({row.label for row in table.rows}) - len(first)
    if left_out:
        more = f"and {plural(left_out, 'class', 'classes')} more in the table"
        write(draw, (_MARGIN, bottom), more, 16, _NAMES, Faint)
    for tick in scale.ticks:
        write(draw, (scale.x(tick), bottom), _signed(tick), 16, 60, Faint, "mm")
