"""Prediction grids drawn over their image (the paper's Figure 0), alone or variant by variant.

A coarse grid carries class names; a fine one carries class ids, with a legend beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from auditor.draw.colours import Bright, Faint, Paper, White, colour_of
from auditor.draw.layers import NAMED, colour_cells, lay_letters, letter_cell, opacity, outline, rule, spread
from auditor.draw.lettering import letter, write, write_centred, write_path
from auditor.grids import cell_box
from auditor.records import ImageGrids
from auditor.report.text import variant_title

_SIDE = 980  # pixels of a drawing alone: 140 for each cell of a 7 x 7 grid
_PANEL = 760  # pixels of one variant of three
_LEGEND = 380  # pixels of the legend's width
_ROW = 30  # and of a line of it
_MARGIN = 24


def draw_grid(image: Image.Image, grids: ImageGrids, variant: str) -> Image.Image:
    """The crop (S, S) with one variant's class and probability in every cell, foreground outlined."""
    alone = _only(grids, grids.variants.index(variant))
    panel = _draw_panel(image, alone, 0, _SIDE)
    return panel if _has_names(alone, _SIDE) else _beside(panel, _draw_legend(alone, panel.height))


def draw_variants(images: Sequence[Image.Image], grids: ImageGrids) -> Image.Image:
    """The crop in each variant, in the order of `grids.variants`, side by side under their titles."""
    panels = [
        _entitle(_draw_panel(image, grids, variant, _PANEL), variant_title(grids.variants[variant]))
        for variant, image in enumerate(images)
    ]
    drawn = panels[0]
    for panel in panels[1:]:
        drawn = _beside(drawn, panel)
    return drawn if _has_names(grids, _PANEL) else _beside(drawn, _draw_legend(grids, drawn.height))


def name_image(drawn: Image.Image, path: str) -> Image.Image:
    """A drawing below the path of its image."""
    named = Image.new("RGB", (drawn.width, drawn.height + 44), Paper)
    named.paste(drawn, (0, 44))
    write_path(ImageDraw.Draw(named), (2, 24), path, 26, drawn.width - 4)
    return named


# ------------------------------------------------------------------------------------- one panel


def _only(grids: ImageGrids, variant: int) -> ImageGrids:
    kept = slice(variant, variant + 1)
    return replace(
        grids,
        variants=grids.variants[kept],
        labels=grids.labels[kept],
        probabilities=grids.probabilities[kept],
    )


def _cell_side(grids: ImageGrids, least: int) -> int:
    """Pixels of a cell in a panel of at least `least`, enough for an id in every cell."""
    cells: int = max(grids.labels.shape[1:])
    return max(-(-least // cells), 46)


def _has_names(grids: ImageGrids, least: int) -> bool:
    return _cell_side(grids, least) >= NAMED


def _draw_panel(image: Image.Image, grids: ImageGrids, variant: int, least: int) -> Image.Image:
    side = _cell_side(grids, least) * max(grids.labels.shape[1:])
    panel = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    panel = Image.composite(
        colour_cells(grids.labels[variant], side), panel, _tint_strength(grids, variant, side)
    )
    draw = ImageDraw.Draw(panel, "RGBA")
    rule(draw, grids.labels.shape[1:], side, (*White, 150), 2)
    if grids.foreground is not None:
        outline(draw, grids.foreground, side)
    letters = Image.new("RGBA", panel.size)
    draw = ImageDraw.Draw(letters)
    for row, col in np.ndindex(grids.labels.shape[1:]):
        _letter(draw, grids, (variant, row, col), side, _has_names(grids, least))
    lay_letters(panel, letters, grids.probabilities[variant])
    return panel


def _tint_strength(grids: ImageGrids, variant: int, side: int) -> Image.Image:
    """As strong as the class is probable; stronger for the evaluation class, which one looks for."""
    is_evaluated = grids.labels[variant] == (-1 if grids.label is None else grids.label)
    strength = np.where(is_evaluated, 122, 72) * opacity(grids.probabilities[variant])
    return Image.fromarray(spread(strength.round().astype(np.uint8), side))


def _letter(
    draw: ImageDraw.ImageDraw, grids: ImageGrids, at: tuple[int, int, int], side: int, is_named: bool
) -> None:
    label = int(grids.labels[at])
    box = cell_box(at[1], at[2], (grids.labels.shape[1], grids.labels.shape[2]), side)
    colour = Bright if label == grids.label else White
    name = grids.name_of(label) if is_named else label
    letter_cell(draw, box, name, float(grids.probabilities[at]), colour)


# ------------------------------------------------------------------------------------- titles and legends


def _entitle(panel: Image.Image, text: str) -> Image.Image:
    drawn = Image.new("RGB", (panel.width, panel.height + 52), Paper)
    drawn.paste(panel, (0, 52))
    write(ImageDraw.Draw(drawn), (2, 24), text, 30, panel.width - 4)
    return drawn


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    drawn = Image.new("RGB", (left.width + _MARGIN + right.width, max(left.height, right.height)), Paper)
    drawn.paste(left, (0, 0))
    drawn.paste(right, (left.width + _MARGIN, 0))
    return drawn


def _draw_legend(grids: ImageGrids, height: int) -> Image.Image:
    """Ids with their names, most cells first, as many as the height holds."""
    legend = Image.new("RGB", (_LEGEND, height), Paper)
    draw = ImageDraw.Draw(legend)
    ranked = grids.rank_classes()
    room = height // _ROW - 1
    kept = ranked if len(ranked) <= room else ranked[: room - 1]
    write(draw, (0, _ROW / 2), "id", 18, 60, Faint)
    write(draw, (_LEGEND, _ROW / 2), "cells", 18, 80, Faint, anchor="rm")
    for index, label in enumerate(kept, start=1):
        _draw_legend_row(draw, grids, label, index * _ROW)
    if len(kept) < len(ranked):
        rest = f"and {len(ranked) - len(kept)} more classes"
        write(draw, (0, (len(kept) + 1.5) * _ROW), rest, 18, _LEGEND, Faint)
    return legend


def _draw_legend_row(draw: ImageDraw.ImageDraw, grids: ImageGrids, label: int, top: int) -> None:
    middle = top + _ROW / 2
    draw.rounded_rectangle((0, top + 3, 58, top + _ROW - 3), 4, colour_of(label))
    write_centred(draw, (29, middle), [letter(str(label), 18)])
    name = grids.name_of(label)
    write(draw, (68, middle), f"{name} (label)" if label == grids.label else name, 19, _LEGEND - 68 - 52)
    cells = str(int(np.count_nonzero(grids.labels == label)))
    write(draw, (_LEGEND, middle), cells, 18, 52, Faint, anchor="rm")
