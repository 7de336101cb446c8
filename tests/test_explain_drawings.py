"""Pictures and tables of explanations: the explained cell and the target's cells are boxed in red."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from auditor.draw.colours import Red
from auditor.questions.attack.draw import draw_attack, perturbed_picture
from auditor.questions.attack.record import Attack
from auditor.questions.relevance.draw import draw_relevance
from auditor.questions.relevance.record import Relevance
from auditor.report.views import view_of
from auditor.report.write import as_json, write_table
from auditor.terminal.console import print_view

CROP = Image.new("RGB", (112, 112), (128, 128, 128))


def relevance(score: float = 4.0) -> Relevance:
    pixels = np.zeros((112, 112))
    pixels[40:60, 40:60] = 0.01
    pixels[80:84, 80:84] = -0.02
    box, field = (48, 32, 64, 48), (40, 40, 84, 84)
    return Relevance("an index", "a.png", 2, 3, 5, "heart", score, "LRP", box, field, 0.5, pixels)


def attack(target: int = 3) -> Attack:
    labels = np.zeros((3, 7, 7), dtype=np.int64)
    labels[1, 0, 0] = labels[2, 0, 0] = labels[2, 6, 5] = 3
    original = np.full((112, 112, 3), 90, dtype=np.uint8)
    return Attack(
        index="an index",
        path="a.png",
        target=target,
        epsilon=8 / 255,
        step=2 / 255,
        labels=labels,
        probabilities=np.where(labels == 3, 1.0, 0.5),  # a frame is as strong as its cell is probable
        image_labels=np.array([0, 0, 3]),
        target_probabilities=np.array([0.0, 0.4, 0.9]),
        saved_label=3,
        names={0: "cat", 3: "sombrero", 7: "fan"},
        original=original,
        perturbed=(original / 255).astype(np.float32),
    )


def red_pixels(picture: Image.Image) -> np.ndarray:
    return np.argwhere((np.asarray(picture) == Red).all(-1))


def test_relevance_boxes_the_cell_and_shows_both_signs() -> None:
    drawn = draw_relevance(CROP, relevance(3.68))  # all of it is there: no warning in red
    red = red_pixels(drawn) - 28  # row, column within the left side of 680 pixels
    assert red.min(0).tolist() >= [32 * 680 // 112, 48 * 680 // 112]
    assert red.max(0).tolist() <= [48 * 680 // 112, 64 * 680 // 112]
    right = np.asarray(drawn)[28 : 28 + 680, 28 + 680 + 28 : 28 + 2 * 680 + 28].astype(int)
    warm, cold = right[55 * 680 // 112, 42 * 680 // 112], right[82 * 680 // 112, 82 * 680 // 112]
    assert warm[0] > warm[2]
    assert cold[2] > cold[0]
    empty = right[10, 300]
    assert empty.max() < 40


def test_target_cells_are_boxed_in_red() -> None:
    drawn = draw_attack(attack())
    panels = red_pixels(drawn.crop((28, 100, 28 + 2 * 760 + 28, 860)))
    cell = 760 / 7
    found = {(int(y // cell), int(x // cell)) for y, x in panels}
    beside = (760 + 28) / cell  # the perturbed panel starts so many cells to the right
    assert {row for row, _ in found} == {0, 6}
    assert min(col for _, col in found) >= int(beside)
    assert draw_attack(attack()).tobytes() == drawn.tobytes()
    assert perturbed_picture(attack()).getpixel((5, 5)) == (90, 90, 90)


def test_console_json_and_tables(tmp_path: Path) -> None:
    for record, words in (
        (relevance(), ["heart", "patented for commercial use", "conservation error", "8.0 %", "x 40 to 84"]),
        (attack(), ["sombrero", "flips at step 2", "2/49"]),
    ):
        output = io.StringIO()
        print_view(view_of(record), Console(width=120, file=output))
        said = output.getvalue()
        for word in words:
            assert word in said
        write_table(record, tmp_path / "t.csv")
        rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
        assert len(rows) == {Relevance: 112 * 112, Attack: 3 * 49}[type(record)]
    written = json.loads(as_json(attack()))
    assert written["flipped_at"] == 2
    assert written["target_cells"] == [0, 1, 2]
    assert "original" not in written


def test_a_target_that_is_never_met() -> None:
    record = attack(target=7)
    assert record.flipped_at is None
    assert attack(target=0).flipped_at == 0
