"""The image and its cells before the first step of an attack and after each, as a table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from auditor.questions.attack.record import Attack, AttackCell
from auditor.report.tables import Entry, Table, columns_of
from auditor.report.text import share
from auditor.report.views import Rows, View


def view_attack(attack: Attack) -> View:
    """A row per step; files hold every cell at every step."""
    columns = (*columns_of("Step", "Target %|Target cells"), *columns_of("Image taken for", ""))
    caption = f"Attack on {attack.path}, target {attack.names[attack.target]}"
    rows = tuple(_step(attack, step) for step in range(len(attack.labels)))
    table = Table(caption, columns, rows, (_outcome(attack),))
    return View(f"Attack on {attack.path}", (table,), rows=Rows(AttackCell, list(_cells(attack))))


VIEWS = {Attack: view_attack}


def _step(attack: Attack, step: int) -> tuple[Entry, ...]:
    return (
        Entry(str(step)),
        Entry(share(float(attack.target_probabilities[step]))),
        Entry(f"{attack.target_cells[step]}/{attack.labels[0].size}"),
        Entry(attack.names[int(attack.image_labels[step])]),
    )


def _outcome(attack: Attack) -> str:
    match attack.flipped_at:
        case None:
            flip = "The image does not flip."
        case 0:
            flip = "The image was taken for the target before the attack."
        case step:
            flip = f"The image flips at step {step}."
    reach = f"No pixel moved by more than {255 * attack.epsilon:.3g}/255."
    saved = f"Rounded to 8 bits, as it is saved, it is taken for {attack.names[attack.saved_label]}."
    return f"{flip} {reach} {saved}"


def _cells(attack: Attack) -> Iterator[AttackCell]:
    for (step, row, col), label in np.ndenumerate(attack.labels):
        image = int(attack.image_labels[step])
        yield AttackCell(
            path=attack.path,
            step=step,
            image_label=image,
            image_name=attack.names[image],
            target_probability=float(attack.target_probabilities[step]),
            row=row,
            col=col,
            label=int(label),
            name=attack.names[int(label)],
            probability=float(attack.probabilities[step, row, col]),
        )
