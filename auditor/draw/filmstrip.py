"""An attack as pictures: the image before and after it, and the cells' classes at every step (Figure 11)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from auditor.draw.grids import Faint, Paper, colour_of
from auditor.draw.heat import Red
from auditor.draw.lettering import Bright, Colour, Dark, White, fit, letter, write, write_centred
from auditor.grids import cell_box, edges
from auditor.records import Attack
from auditor.report.text import plural, share

Labels = NDArray[np.int64]

_MARGIN = 28
_PANEL = 760
_NAMED = 84  # a cell of at least so many pixels has room for a name
_ACROSS = 7
_GAP = 16
_TILE = (2 * _PANEL + _MARGIN - (_ACROSS - 1) * _GAP) // _ACROSS
_UNDER = 74  # below a tile: its step, what the image is taken for, the target's probability
_WIDTH = 2 * _PANEL + 3 * _MARGIN
_CHIPS = 4  # classes of the legend in a row
_LEGEND = 12  # classes in the legend
_GREY = (222, 225, 230)


def draw_attack(found: Attack) -> Image.Image:
    """Original and perturbed image with every cell's class, target cells in red; below, every step."""
    down = -(-len(found.labels) // _ACROSS)
    legend = _draw_legend(found)
    strip = 100 + _PANEL + 130
    height = strip + down * (_TILE + _UNDER + _GAP) + legend.height + _MARGIN
    drawn = Image.new("RGB", (_WIDTH, height), Paper)
    draw = ImageDraw.Draw(drawn)
    _write_head(draw, found)
    original = Image.fromarray(found.original)
    for side, (image, at) in enumerate(((original, 0), (perturbed_picture(found), -1))):
        left = _MARGIN + side * (_PANEL + _MARGIN)
        drawn.paste(_draw_panel(image, found, at), (left, 100))
        _write_verdict(draw, found, at, (left, 100 + _PANEL + 26))
    write(draw, (_MARGIN, strip - 32), "The class of every cell, step by step", 24, _WIDTH)
    for frame in range(len(found.labels)):
        row, col = divmod(frame, _ACROSS)
        place = (_MARGIN + col * (_TILE + _GAP), strip + row * (_TILE + _UNDER + _GAP))
        drawn.paste(_draw_tile(original, found, frame), place)
    drawn.paste(legend, (_MARGIN, height - legend.height - _MARGIN // 2))
    return drawn


def perturbed_picture(found: Attack) -> Image.Image:
    """The attacked crop, rounded to 8 bits."""
    return Image.fromarray((found.perturbed * 255).round().astype(np.uint8))


def _write_head(draw: ImageDraw.ImageDraw, found: Attack) -> None:
    step = found.flipped_at
    outcome = f"holds for {plural(found.steps, 'step')}" if step is None else f"flips at step {step}"
    outcome = "is taken for it from the start" if step == 0 else outcome
    saved = found.names[found.saved_label]
    head = f"{found.path} attacked towards {found.names[found.target]}: it {outcome}"
    write(draw, (_MARGIN, 38), head, 28, _WIDTH - 2 * _MARGIN)
    said = (
        f"targeted PGD, no pixel moved by more than {255 * found.epsilon:.3g}/255, "
        f"{255 * found.step:.3g}/255 a step; saved with 8 bits it is taken for {saved}"
    )
    write(draw, (_MARGIN, 72), said, 18, _WIDTH - 2 * _MARGIN, Faint)


def _write_verdict(draw: ImageDraw.ImageDraw, found: Attack, at: int, place: tuple[int, int]) -> None:
    label = int(found.image_labels[at])
    said = f"{'original' if at == 0 else 'perturbed'}: taken for {found.names[label]}"
    write(draw, place, said, 22, _PANEL, Red if label == found.target else Dark)
    chance, cells = float(found.target_probabilities[at]), int(found.target_cells[at])
    detail = f"target {share(chance)} %, in {plural(cells, 'cell')} of {found.labels[0].size}"
    write(draw, (place[0] + _PANEL, place[1]), detail, 18, _PANEL, Faint, "rm")


# ------------------------------------------------------------------------------------- panels and tiles


def _draw_panel(image: Image.Image, found: Attack, at: int) -> Image.Image:
    labels = found.labels[at]
    panel = _tint(image, labels, _PANEL, 0.3)
    draw = ImageDraw.Draw(panel)
    for row, col in np.ndindex(labels.shape):
        label, chance = int(labels[row, col]), float(found.probabilities[at, row, col])
        box = cell_box(row, col, _grid(labels), _PANEL)
        _letter_cell(draw, found, label, chance, box)
    _box_target(draw, labels, found.target, _PANEL, 5)
    return panel


def _letter_cell(
    draw: ImageDraw.ImageDraw, found: Attack, label: int, chance: float, box: tuple[int, int, int, int]
) -> None:
    width, middle = box[2] - box[0], ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    colour = Bright if label == found.target else White
    if width >= _NAMED:
        name = found.names[label].split(",")[0]
        lines, font = fit(name, width * 0.88, 3, range(round(width * 0.18), round(width * 0.11), -1))
        small = letter(f"{100 * chance:.0f}%", round(width * 0.145))
    else:
        lines, font = fit(str(label), width * 0.9, 1, range(round(width * 0.36), round(width * 0.2), -1))
        small = letter(f"{100 * chance:.0f}", round(width * 0.26))
    write_centred(draw, middle, [*((line, font) for line in lines), small], colour)


def _draw_tile(original: Image.Image, found: Attack, frame: int) -> Image.Image:
    tile = Image.new("RGB", (_TILE, _TILE + _UNDER), Paper)
    labels = found.labels[frame]
    cells = _tint(original, labels, _TILE, 0.62)
    draw = ImageDraw.Draw(cells)
    width = _TILE // max(labels.shape)
    for row, col in np.ndindex(labels.shape if width >= 24 else (0, 0)):
        left, top, right, bottom = cell_box(row, col, _grid(labels), _TILE)
        text = letter(str(labels[row, col]), round(width * 0.4))
        write_centred(draw, ((left + right) / 2, (top + bottom) / 2), [text])
    _box_target(draw, labels, found.target, _TILE, 2)
    tile.paste(cells, (0, 0))
    _write_step(ImageDraw.Draw(tile), found, frame)
    return tile


def _write_step(draw: ImageDraw.ImageDraw, found: Attack, frame: int) -> None:
    """The step, the target's probability as a bar and a number, and what the image is taken for."""
    label, chance = int(found.image_labels[frame]), float(found.target_probabilities[frame])
    top = _TILE + 10
    draw.rectangle((0, top, _TILE - 1, top + 7), _GREY)
    draw.rectangle((0, top, round((_TILE - 1) * chance), top + 7), Red)
    write(draw, (0, top + 24), "original" if frame == 0 else f"step {frame}", 17, _TILE)
    write(draw, (_TILE, top + 24), f"{share(chance)} %", 17, _TILE, Faint, "rm")
    write(draw, (0, top + 47), found.names[label], 17, _TILE, Red if label == found.target else Dark)


def _tint(image: Image.Image, labels: Labels, side: int, strength: float) -> Image.Image:
    """The image with every cell in its class's colour."""
    known, where = np.unique(labels, return_inverse=True)
    palette = np.array([colour_of(int(label), 0.5) for label in known], dtype=np.uint8)
    rows, cols = (np.diff(edges(side, cells)) for cells in labels.shape)
    colours = palette[where.reshape(labels.shape)].repeat(rows, axis=0).repeat(cols, axis=1)
    photo = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    tinted = Image.blend(photo, Image.fromarray(colours), strength)
    draw = ImageDraw.Draw(tinted)
    for y in edges(side, labels.shape[0])[1:-1].tolist():
        draw.line((0, y, side, y), _GREY, 1)
    for x in edges(side, labels.shape[1])[1:-1].tolist():
        draw.line((x, 0, x, side), _GREY, 1)
    return tinted


def _box_target(draw: ImageDraw.ImageDraw, labels: Labels, target: int, side: int, line: int) -> None:
    for row, col in np.argwhere(labels == target).tolist():
        left, top, right, bottom = cell_box(row, col, _grid(labels), side)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=White, width=line + 2)
        draw.rectangle((left + 1, top + 1, right - 2, bottom - 2), outline=Red, width=line)


def _grid(labels: Labels) -> tuple[int, int]:
    return labels.shape[0], labels.shape[1]


def _draw_legend(found: Attack) -> Image.Image:
    """The target, then the classes that hold most cells over all steps."""
    labels, cells = np.unique(found.labels, return_counts=True)
    ranked = [int(label) for label in labels[np.lexsort((labels, -cells))] if label != found.target]
    shown = [found.target, *ranked[: _LEGEND - 1]]
    down = -(-len(shown) // _CHIPS)
    legend = Image.new("RGB", (_WIDTH - 2 * _MARGIN, 30 * down), Paper)
    draw = ImageDraw.Draw(legend)
    room = legend.width // _CHIPS
    for index, label in enumerate(shown):
        row, col = divmod(index, _CHIPS)
        _draw_chip(draw, found, label, (col * room, 30 * row), room)
    return legend


def _draw_chip(
    draw: ImageDraw.ImageDraw, found: Attack, label: int, corner: tuple[int, int], room: int
) -> None:
    left, top = corner
    frame: Colour | None = Red if label == found.target else None
    draw.rectangle((left, top + 3, left + 52, top + 26), colour_of(label, 0.5), frame, 3)
    write_centred(draw, (left + 26, top + 15), [letter(str(label), 16)])
    name = f"{found.names[label]} (target)" if label == found.target else found.names[label]
    write(draw, (left + 62, top + 15), name, 17, room - 70)
