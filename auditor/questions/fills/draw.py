"""Delta of every class under every fill as dots on a line, beside what a placebo does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from PIL import Image

from auditor.draw.charts import as_written, new_figure, paint, picture, place_axes, points
from auditor.draw.colours import Colour, Dark, Faint, Paper
from auditor.questions.fills.record import FillRow, FillTable
from auditor.report.text import plural
from auditor.report.views import Picture
from auditor.store import Index

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CLASSES = 16  # more make a picture that nobody reads; the table has them all
_MARGIN = 28
_LEFT = 308  # of the axis, in pixels: before it stand the classes' names
_AXIS = 760
_MARKS = 110  # behind it, whose doing Delta is
_TOP = 88  # above it, the legend
_FOOT = 60  # below it, its numbers and unit
_LINE = 22  # from one fill to the next; an empty line parts the classes
_DOT, _RING = 12, 18  # pixels across: a dot stays visible inside its own ring
_RULE: Colour = (226, 229, 234)
_COLOURS: dict[str, Colour] = {
    "mean": (43, 108, 196),
    "black": (24, 26, 31),
    "grey": (136, 142, 152),
    "blur": (124, 74, 190),
    "noise": (221, 108, 32),
}


def picture_fills(index: Index, table: FillTable) -> Iterator[Picture]:
    """The chart of a table: of one class, or of all."""
    names = {row.name for row in table.rows}
    word = names.pop() if len(names) == 1 else "all"
    caption = "Delta under every fill, and that of the placebo under the same (A.6)"
    yield Picture(("fills", word), draw_fills(table), caption)


DRAWINGS = {FillTable: picture_fills}


def draw_fills(table: FillTable) -> Image.Image:
    """Delta of each class under every fill as a dot, that of its placebo as a ring on the same line."""
    labels = table.judged
    rows = [row for row in table.rows if row.label in labels[:_CLASSES]]
    block = len(table.fills) + 1
    lines = max(block * len(labels[:_CLASSES]), 1)
    figure = new_figure(_LEFT + _AXIS + _MARKS + _MARGIN, _TOP + lines * _LINE + _FOOT)
    axes = place_axes(figure, (_LEFT, _TOP, _LEFT + _AXIS, _TOP + lines * _LINE))
    _rule(axes, rows, lines)
    for row in rows:
        line = labels.index(row.label) * block + table.fills.index(row.fill)
        _draw_row(axes, row, line)
        if row.fill == table.fills[0]:
            _write_class(axes, row, line + (block - 2) / 2)
    _draw_legends(figure, table)
    if left := len(table.labels) - min(len(labels), _CLASSES):
        more = f"and {plural(left, 'class', 'classes')} more in the table"
        _write(axes, (_MARGIN - _LEFT, lines + 0.5), more, 14, Faint)
    return picture(figure)


def _deltas(row: FillRow) -> tuple[float | None, float | None]:
    """What stands on a row's line: over shared cells where there is a placebo to compare with."""
    return (row.placebo.delta, row.placebo.delta_placebo) if row.placebo else (row.delta, None)


def _limits(rows: Sequence[FillRow]) -> tuple[float, float]:
    """From the lowest to the highest Delta, in whole tens of points, zero always within."""
    deltas = [delta for row in rows for delta in _deltas(row) if delta is not None]
    low, high = min([*deltas, -0.1]), max([*deltas, 0.1])
    return 10 * floor(low * 10 - 0.2), 10 * ceil(high * 10 + 0.2)


def _rule(axes: Axes, rows: Sequence[FillRow], lines: int) -> None:
    """The axis of Delta, in points; downwards the lines are counted from 0."""
    low, high = _limits(rows)
    axes.set(xlim=(low, high), ylim=(lines - 0.5, -0.5), yticks=[])
    axes.set_xticks(
        [tick for tick in range(-200, 201, 25 if high - low > 100 else 10) if low <= tick <= high]
    )
    axes.xaxis.set_major_formatter(lambda delta, _: f"{delta:+.0f}" if delta else "0")
    axes.tick_params(length=0, labelsize=points(16), labelcolor=paint(Faint))
    axes.set_xlabel("Delta, in points", fontsize=points(17), color=paint(Dark))
    axes.grid(axis="x", color=paint(_RULE), linewidth=points(1), clip_on=False)
    axes.axvline(0, color=paint(Faint), linewidth=points(2), zorder=1)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _draw_row(axes: Axes, row: FillRow, line: int) -> None:
    colour, (delta, placebo) = _COLOURS[row.fill], _deltas(row)
    deltas = [100 * end for end in (placebo, delta) if end is not None]
    axes.plot(deltas, [line] * len(deltas), color=paint(colour), linewidth=points(1.3))
    if placebo is not None:
        axes.plot(100 * placebo, line, **_marker(colour, is_ring=True))
    if delta is not None:
        axes.plot(100 * delta, line, **_marker(colour, is_ring=False))
    mark = (row.placebo.mark if row.placebo else None) or ""
    _write(axes, (_AXIS + 24, line), mark, 16, Dark if mark == "mask" else Faint)


def _marker(colour: Colour, *, is_ring: bool) -> dict[str, Any]:
    return {
        "marker": "o",
        "linestyle": "none",
        "markersize": points(_RING if is_ring else _DOT),
        "markerfacecolor": paint(Paper if is_ring else colour),
        "markeredgecolor": paint(colour),
        "markeredgewidth": points(2),
        "clip_on": False,
    }


def _write_class(axes: Axes, row: FillRow, line: float) -> None:
    width = _LEFT - _MARGIN - 24
    _write(axes, (_MARGIN - _LEFT, line - 0.45), as_written(row.name, 18, width), 18, Dark)
    _write(axes, (_MARGIN - _LEFT, line + 0.5), plural(row.images, "image"), 14, Faint)


def _write(axes: Axes, place: tuple[float, float], text: str, size: int, colour: Colour) -> None:
    """Text beside the axes: so many pixels from their left, on that line."""
    pixels, line = place
    beside = axes.get_yaxis_transform()
    axes.text(
        pixels / _AXIS,
        line,
        text,
        size=points(size),
        color=paint(colour),
        va="center_baseline",
        transform=beside,
    )


def _draw_legends(figure: Figure, table: FillTable) -> None:
    """What the colours are, and below it what dot and ring are."""
    has_placebo = any(row.placebo for row in table.rows)
    fills = [(fill, _COLOURS[fill], False) for fill in table.fills]
    _draw_legend(figure, 30 if has_placebo else 60, fills)
    if has_placebo:
        placebo = "placebo occluded: same shape, on background"
        _draw_legend(figure, 60, [("object occluded", Faint, False), (placebo, Faint, True)])


def _draw_legend(figure: Figure, y: int, entries: Sequence[tuple[str, Colour, bool]]) -> None:
    """Names in a row, `y` pixels from the top, each behind its dot or ring."""
    from matplotlib.lines import Line2D

    width, height = figure.bbox.size
    markers = [Line2D([], [], **_marker(colour, is_ring=is_ring)) for _, colour, is_ring in entries]
    figure.legend(
        markers,
        [name for name, _, _ in entries],
        ncols=len(entries),
        fontsize=points(17),
        loc="center left",
        bbox_to_anchor=((_LEFT - 6) / width, 1 - y / height),
        borderpad=0,
        borderaxespad=0,
        handlelength=0.7,
        handletextpad=0.6,
        columnspacing=1.8,
        frameon=False,
    )
