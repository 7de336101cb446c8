"""Text on pictures: fonts that come with the packages, wrapping, and a halo that reads on any photograph."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import cast

from PIL import ImageDraw, ImageFont

from auditor.draw.colours import Colour, Dark, Faint, White, colour_of
from auditor.report.text import visible

Font = ImageFont.FreeTypeFont

_READABLE = 12
"""Pixels of the smallest letters of a file's name."""


@cache
def plain_font(size: int) -> Font:
    """Pillow's own font: good letters, but little beyond ASCII."""
    return cast(Font, ImageFont.load_default(size))


@cache
def _wide_font(size: int) -> Font | None:
    """DejaVu Sans as matplotlib ships it (Latin, Greek, Cyrillic), found without importing matplotlib."""
    spec = find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(path, size) if path.is_file() else None


def _has_glyph(char: str, is_wide: bool) -> bool:
    shape = _glyph(char, is_wide)
    return shape is not None and shape != _glyph("\uffff", is_wide)


@cache
def _glyph(char: str, is_wide: bool) -> bytes | None:
    """A letter's pixels, or those of the box that stands for one that is missing; None without the font."""
    font = _wide_font(20) if is_wide else plain_font(20)
    return None if font is None else bytes(font.getmask(char))


def letter(text: str, size: int) -> tuple[str, Font]:
    """The text as it can be drawn and the font to draw it in; letters that neither font has become a `?`."""
    text = unicodedata.normalize("NFC", visible(text))
    if all(char == " " or _has_glyph(char, is_wide=False) for char in text):
        return text, plain_font(size)
    wide = _wide_font(size)
    if wide is None:
        folded = unicodedata.normalize("NFKD", text).encode("ascii", "replace").decode()
        return folded, plain_font(size)
    return _replace_strange(text), wide


def letter_wide(text: str, size: int) -> tuple[str, Font]:
    """The same for who draws with DejaVu Sans only, as matplotlib does."""
    wide = _wide_font(size)
    return (
        (_replace_strange(unicodedata.normalize("NFC", visible(text))), wide) if wide else letter(text, size)
    )


def _replace_strange(text: str) -> str:
    return "".join(char if char == " " or _has_glyph(char, is_wide=True) else "?" for char in text)


def shorten(text: str, font: Font, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    fitting = bisect_right(range(len(text)), width, key=lambda kept: font.getlength(text[:kept] + "…"))
    return text[: max(fitting - 1, 0)].rstrip() + "…"


def shorten_path(path: str, font: Font, width: float) -> str:
    """A path cut in its middle: what tells it from others stands at its end, what it is of at its front."""
    if font.getlength(path) <= width:
        return path

    def cut(kept: int) -> str:
        return f"{path[: kept // 4]}…{path[len(path) - (kept - kept // 4) :]}"

    fitting = bisect_right(range(len(path)), width, key=lambda kept: font.getlength(cut(kept)))
    return cut(max(fitting - 1, 0))


def wrap(text: str, font: Font, width: float) -> list[str]:
    """Lines no wider than `width` pixels where words allow it, broken at spaces and after hyphens."""
    lines: list[str] = []
    for word in text.replace("-", "- ").split():
        joined = f"{lines[-1]}{'' if lines[-1].endswith('-') else ' '}{word}" if lines else word
        if lines and font.getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


@lru_cache(maxsize=4096)  # a grid repeats its classes
def fit(text: str, width: float, most_lines: int, sizes: range) -> tuple[tuple[str, ...], Font]:
    """The text in the largest of `sizes` (largest first) that needs no cut, or in the smallest, cut."""
    for size in sizes:
        shown, font = letter(text, size)
        lines = wrap(shown, font, width)
        if len(lines) <= most_lines and all(font.getlength(line) <= width for line in lines):
            return tuple(lines), font
    kept = [*lines[: most_lines - 1], " ".join(lines[most_lines - 1 :])]
    return tuple(shorten(line, font, width) for line in kept if line), font


def write_centred(
    draw: ImageDraw.ImageDraw,
    centre: tuple[float, float],
    lines: list[tuple[str, Font]],
    colour: Colour = White,
) -> None:
    """Stack lines around a point, light with a dark halo."""
    heights = [font.size * 1.12 for _, font in lines]
    top = centre[1] - sum(heights) / 2
    middles = [top + below - height / 2 for below, height in zip(accumulate(heights), heights, strict=True)]
    for (text, font), middle in zip(lines, middles, strict=True):
        halo = max(2, round(font.size / 8))
        draw.text((centre[0], middle), text, colour, font, "mm", stroke_width=halo, stroke_fill=Dark)


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    width: float,
    colour: Colour = Dark,
    anchor: str = "lm",
) -> None:
    """One line of plain text, cut to `width` pixels; the place is its left middle unless told else."""
    shown, font = letter(text, size)
    draw.text(place, shorten(shown, font, width), colour, font, anchor)


def write_fitted(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    width: float,
    colour: Colour = Dark,
) -> None:
    """One line of plain text, in smaller letters where it is wide, and cut only where that is not enough."""
    lines, font = fit(text, width, 1, range(size, size * 2 // 3, -1))
    draw.text(place, "".join(lines), colour, font, "lm")


def write_path(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], path: str, size: int, width: float
) -> None:
    """A faint line that keeps a path's both ends; in hardly smaller letters where it is wide."""
    shown, font = letter(path, size)
    for smaller in range(size - 1, max(size * 4 // 5, _READABLE) - 1, -1):
        if font.getlength(shown) <= width:
            break
        shown, font = letter(path, smaller)
    draw.text(place, shorten_path(shown, font, width), Faint, font, "lm")


def draw_disc(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, number: int, lightness: float = 0.4
) -> None:
    """A number on a disc of its colour."""
    draw.circle(at, radius, colour_of(number, lightness), White, max(2, round(radius / 7)))
    shown, font = letter(str(number), round(radius * (1.15 if number < 100 else 0.9)))
    draw.text(at, shown, White, font, "mm")
