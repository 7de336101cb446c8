"""An attack as pictures: the image before and after it, and the cells' classes at every step (Figure 11)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from auditor.draw.colours import Bright, Colour, Dark, Faint, Paper, Red, White, colour_of
from auditor.draw.layers import (
    NAMED,
    Labels,
    colour_cells,
    frame,
    lay_letters,
    letter_cell,
    opacity,
    rule,
    spread,
)
from auditor.draw.lettering import letter, write, write_centred
from auditor.grids import cell_box
from auditor.questions.attack.record import Attack
from auditor.report.text import plural, share
from auditor.report.views import Picture
from auditor.store import Index

_MARGIN = 28
_HEAD = 100  # above the panels: what was attacked, and how
_PANEL = 760  # pixels of the image before and after
_VERDICTS = 130  # below the panels: what they are taken for, and the steps' title
_ACROSS = 7  # steps in a row
_GAP = 16
_TILE = (2 * _PANEL + _MARGIN - (_ACROSS - 1) * _GAP) // _ACROSS
_UNDER = 74  # below a tile: its step, what the image is taken for, the target's probability
_WIDTH = 2 * _PANEL + 3 * _MARGIN
_CHIPS = 4  # classes of the legend in a row
_LEGEND = 12  # classes in the legend
_GREY = (222, 225, 230)  # the lines between cells, and the empty part of a bar


def picture_attack(index: Index, attack: Attack) -> Iterator[Picture]:
    """The film of the attack, then the image that it ended with."""
    target = attack.names[attack.target]
    words = ("attack", Path(attack.path).stem, target)
    caption = f"{attack.path}: attacked towards {target}, step by step (Figure 11)"
    yield Picture(words, draw_attack(attack), caption)
    caption = f"{attack.path} after the attack, as it is saved"
    yield Picture((*words, "perturbed"), perturbed_picture(attack), caption, most=None)


DRAWINGS = {Attack: picture_attack}


def draw_attack(attack: Attack) -> Image.Image:
    """Original and perturbed image with every cell's class, target cells in red; below, every step."""
    down = -(-len(attack.labels) // _ACROSS)
    legend = _draw_legend(attack)
    strip = _HEAD + _PANEL + _VERDICTS
    height = strip + down * (_TILE + _UNDER + _GAP) + legend.height + _MARGIN
    drawn = Image.new("RGB", (_WIDTH, height), Paper)
    draw = ImageDraw.Draw(drawn)
    _write_head(draw, attack)
    original = Image.fromarray(attack.original)
    for side, (image, step) in enumerate(((original, 0), (perturbed_picture(attack), -1))):
        left = _MARGIN + side * (_PANEL + _MARGIN)
        drawn.paste(_draw_panel(image, attack, step), (left, _HEAD))
        _write_verdict(draw, attack, step, (left, _HEAD + _PANEL + 26))
    write(draw, (_MARGIN, strip - 32), "The class of every cell, step by step", 24, _WIDTH)
    for step in range(len(attack.labels)):
        row, col = divmod(step, _ACROSS)
        place = (_MARGIN + col * (_TILE + _GAP), strip + row * (_TILE + _UNDER + _GAP))
        drawn.paste(_draw_tile(original, attack, step), place)
    drawn.paste(legend, (_MARGIN, height - legend.height - _MARGIN // 2))
    return drawn


def perturbed_picture(attack: Attack) -> Image.Image:
    """The attacked crop, rounded to 8 bits."""
    return Image.fromarray((attack.perturbed * 255).round().astype(np.uint8))


def _write_head(draw: ImageDraw.ImageDraw, attack: Attack) -> None:
    step = attack.flipped_at
    outcome = f"holds for {plural(attack.steps, 'step')}" if step is None else f"flips at step {step}"
    outcome = "is taken for it from the start" if step == 0 else outcome
    saved = attack.names[attack.saved_label]
    head = f"{attack.path} attacked towards {attack.names[attack.target]}: it {outcome}"
    write(draw, (_MARGIN, 38), head, 28, _WIDTH - 2 * _MARGIN)
    method = (
        f"targeted PGD, no pixel moved by more than {255 * attack.epsilon:.3g}/255, "
        f"{255 * attack.step:.3g}/255 a step; saved with 8 bits it is taken for {saved}"
    )
    write(draw, (_MARGIN, 72), method, 18, _WIDTH - 2 * _MARGIN, Faint)


def _write_verdict(draw: ImageDraw.ImageDraw, attack: Attack, step: int, place: tuple[int, int]) -> None:
    label = int(attack.image_labels[step])
    verdict = f"{'original' if step == 0 else 'perturbed'}: taken for {attack.names[label]}"
    write(draw, place, verdict, 22, _PANEL, Red if label == attack.target else Dark)
    chance, cells = float(attack.target_probabilities[step]), int(attack.target_cells[step])
    detail = f"target {share(chance)} %, in {plural(cells, 'cell')} of {attack.labels[0].size}"
    write(draw, (place[0] + _PANEL, place[1]), detail, 18, _PANEL, Faint, "rm")


# ------------------------------------------------------------------------------------- panels and tiles


def _draw_panel(image: Image.Image, attack: Attack, step: int) -> Image.Image:
    labels = attack.labels[step]
    panel = _tint(image, labels, _PANEL, 0.3 * opacity(attack.probabilities[step]))
    letters = Image.new("RGBA", panel.size)
    draw = ImageDraw.Draw(letters)
    for row, col in np.ndindex(labels.shape):
        label, chance = int(labels[row, col]), float(attack.probabilities[step, row, col])
        box = cell_box(row, col, _grid(labels), _PANEL)
        _letter(draw, attack, label, chance, box)
    _box_target(draw, labels, attack.target, _PANEL, 5)
    lay_letters(panel, letters, attack.probabilities[step])
    return panel


def _letter(
    draw: ImageDraw.ImageDraw, attack: Attack, label: int, chance: float, box: tuple[int, int, int, int]
) -> None:
    colour = Bright if label == attack.target else White
    if box[2] - box[0] >= NAMED:
        letter_cell(draw, box, attack.names[label], chance, colour, room=0.88)
    else:
        letter_cell(draw, box, label, chance, colour, room=0.9, sign="")


def _draw_tile(original: Image.Image, attack: Attack, step: int) -> Image.Image:
    tile = Image.new("RGB", (_TILE, _TILE + _UNDER), Paper)
    labels, chances = attack.labels[step], attack.probabilities[step]
    cells = _tint(original, labels, _TILE, 0.62 * opacity(chances))
    letters = Image.new("RGBA", cells.size)
    draw = ImageDraw.Draw(letters)
    width = _TILE // max(labels.shape)
    for row, col in np.ndindex(labels.shape if width >= 24 else (0, 0)):
        left, top, right, bottom = cell_box(row, col, _grid(labels), _TILE)
        text = letter(str(labels[row, col]), round(width * 0.4))
        write_centred(draw, ((left + right) / 2, (top + bottom) / 2), [text])
    _box_target(draw, labels, attack.target, _TILE, 2)
    lay_letters(cells, letters, chances)
    tile.paste(cells, (0, 0))
    _write_step(ImageDraw.Draw(tile), attack, step)
    return tile


def _write_step(draw: ImageDraw.ImageDraw, attack: Attack, step: int) -> None:
    """The step, the target's probability as a bar and a number, and what the image is taken for."""
    label, chance = int(attack.image_labels[step]), float(attack.target_probabilities[step])
    top = _TILE + 10
    draw.rectangle((0, top, _TILE - 1, top + 7), _GREY)
    draw.rectangle((0, top, round((_TILE - 1) * chance), top + 7), Red)
    write(draw, (0, top + 24), "original" if step == 0 else f"step {step}", 17, _TILE)
    write(draw, (_TILE, top + 24), f"{share(chance)} %", 17, _TILE, Faint, "rm")
    write(draw, (0, top + 47), attack.names[label], 17, _TILE, Red if label == attack.target else Dark)


def _tint(image: Image.Image, labels: Labels, side: int, strength: NDArray[np.float64]) -> Image.Image:
    """The image with every cell in its class's colour, so strong (H, W) from 0 to 1."""
    photo = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    mask = Image.fromarray(spread((255 * strength).round().astype(np.uint8), side))
    tinted = Image.composite(colour_cells(labels, side, 0.5), photo, mask)
    rule(ImageDraw.Draw(tinted), labels.shape, side, _GREY, 1)
    return tinted


def _box_target(draw: ImageDraw.ImageDraw, labels: Labels, target: int, side: int, line: int) -> None:
    for row, col in np.argwhere(labels == target).tolist():
        frame(draw, cell_box(row, col, _grid(labels), side), Red, line, rim=White)


def _grid(labels: Labels) -> tuple[int, int]:
    return labels.shape[0], labels.shape[1]


def _draw_legend(attack: Attack) -> Image.Image:
    """The target, then the classes that hold most cells over all steps."""
    labels, cells = np.unique(attack.labels, return_counts=True)
    ranked = [int(label) for label in labels[np.lexsort((labels, -cells))] if label != attack.target]
    shown = [attack.target, *ranked[: _LEGEND - 1]]
    down = -(-len(shown) // _CHIPS)
    legend = Image.new("RGB", (_WIDTH - 2 * _MARGIN, 30 * down), Paper)
    draw = ImageDraw.Draw(legend)
    room = legend.width // _CHIPS
    for index, label in enumerate(shown):
        row, col = divmod(index, _CHIPS)
        _draw_chip(draw, attack, label, (col * room, 30 * row), room)
    return legend


def _draw_chip(
    draw: ImageDraw.ImageDraw, attack: Attack, label: int, corner: tuple[int, int], room: int
) -> None:
    left, top = corner
    rim: Colour | None = Red if label == attack.target else None
    draw.rectangle((left, top + 3, left + 52, top + 26), colour_of(label, 0.5), rim, 3)
    write_centred(draw, (left + 26, top + 15), [letter(str(label), 16)])
    name = f"{attack.names[label]} (target)" if label == attack.target else attack.names[label]
    write(draw, (left + 62, top + 15), name, 17, room - 70)
