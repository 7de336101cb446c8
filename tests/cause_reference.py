"""The cause of a wrong image, written again from the definitions as plain loops over its cells."""

from __future__ import annotations

from collections.abc import Sequence

ORDER = ("label_suspect", "competing", "background", "diluted", "absent")


def cause_of(
    label: int,
    predicted: int,
    top1: Sequence[int],
    chances: Sequence[float],
    foreground: Sequence[bool] | None,
    own: Sequence[bool] | None,
) -> str:
    """`top1` and `chances` of each cell; where nothing is annotated, every cell is the object's."""
    places = {"own": [0, 0], "others": [0, 0], "background": [0, 0]}  # cells won, cells
    certainty, label_wins, label_wins_own = [], False, False
    for cell, (top, chance) in enumerate(zip(top1, chances, strict=True)):
        is_own = own is None or own[cell]
        place = "own" if is_own else "others" if foreground is None or foreground[cell] else "background"
        places[place][1] += 1
        if top == predicted:
            places[place][0] += 1
            if is_own:
                certainty.append(chance)
        if top == label:
            label_wins = True
            label_wins_own = label_wins_own or is_own
    on_own, on_others, on_background = (won / cells if cells else 0.0 for won, cells in places.values())
    is_certain = bool(certainty) and sum(certainty) / len(certainty) >= 0.5
    if on_own >= 0.5 and on_own > on_background and is_certain and not label_wins:
        return "label_suspect"
    if on_others > on_own and on_others >= on_background:
        return "competing"
    if on_background > on_own and on_background > on_others:
        return "background"
    return "diluted" if label_wins_own else "absent"
