"""What covering the object does, as tables of text: one image in its panels, classes under every fill."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from auditor.records import FillRow, FillTable, Flip, ImageContext, Rate, Shift
from auditor.report.cell_tables import class_name, title
from auditor.report.tables import Column, Entry, Table, columns_of
from auditor.report.text import NO_DATA, chance, counts, percent, plural, points, share

_LISTED = 12  # cells of one kind of flip: the files hold them all

# ------------------------------------------------------------------------------------- one image


_PLAIN = ("mean", "black", "grey")
_SAME = (
    "The inpainting changed nothing outside the mask, so both occluded panels are the same image: a cell "
    "of the inpainted one that flips does so with no object there to lose."
)


def tabulate_panels(context: ImageContext) -> Table:
    """What each panel is taken for as a whole, and how many of its cells show the class."""
    grids = context.grids
    wanted = NO_DATA if grids.label is None else class_name(grids, grids.label)
    columns = (*columns_of("Panel|Taken for|Then", f"FG cells of {wanted}|BG cells of {wanted}"),)
    notes = [f"Occluded pixels: {context.fill}. Inpainting: {context.inpainting}."]
    if context.outside_change:
        notes.append(
            "The inpainting also changed the pixels outside the mask, "
            f"by {context.outside_change:.1f} of 255 levels on average."
        )
    elif len(grids.variants) > 2 and context.fill in _PLAIN:
        notes.append(_SAME)
    rows = tuple(_panel(context, number) for number in range(len(grids.variants)))
    return Table(grids.path, columns, rows, tuple(notes))


def _panel(context: ImageContext, number: int) -> tuple[Entry, ...]:
    grids, (first, *others) = context.grids, context.guesses[number]
    assert grids.foreground is not None
    shows = grids.labels[number] == (-1 if grids.label is None else grids.label)
    inside, outside = (
        Rate(int(np.count_nonzero(shows & place)), int(np.count_nonzero(place)))
        for place in (grids.foreground, ~grids.foreground)
    )
    return (
        Entry(title(grids.variants[number])),
        Entry(first.name, f"{share(first.probability)} %"),
        Entry(", ".join(f"{guess.name} {share(guess.probability)}" for guess in others)),
        Entry(counts(inside) or NO_DATA),
        Entry(counts(outside) or NO_DATA),
    )


def tabulate_shifts(context: ImageContext) -> Table:
    """How many cells flipped once the foreground was occluded, and how many to the class."""
    grids = context.grids
    wanted = NO_DATA if grids.label is None else class_name(grids, grids.label)
    columns = columns_of("Occluding the", f"Cells that flipped %|BG cells %|BG cells to {wanted} %")
    return Table("Cells whose class flipped", columns, tuple(_shift(shift) for shift in context.shifts))


def _shift(shift: Shift) -> tuple[Entry, ...]:
    rates = (shift.flipped, shift.flipped_background, shift.flipped_to_class)
    return (Entry(f"{title(shift.image)} image"), *(Entry(percent(rate), counts(rate)) for rate in rates))


def tabulate_flips(context: ImageContext) -> Table:
    """From which class to which, the commonest first, and where."""
    columns = (*columns_of("From|To", "BG|FG"), *columns_of("Occluding the|Cells", ""))
    groups: dict[tuple[str, int, int], list[Flip]] = defaultdict(list)
    for shift in context.shifts:
        for flip in shift.flips:
            groups[flip.image, flip.was, flip.became].append(flip)
    ranked = sorted(groups.values(), key=lambda flips: (flips[0].image != "original", -len(flips)))
    return Table("From which class to which", columns, tuple(map(_group, ranked)))


def _group(flips: Sequence[Flip]) -> tuple[Entry, ...]:
    background = sum(flip.is_background for flip in flips)
    places = [f"{flip.row},{flip.col}" for flip in flips]
    rest = f" and {len(places) - _LISTED} more" if len(places) > _LISTED else ""
    return (
        Entry(flips[0].was_name),
        Entry(flips[0].became_name),
        Entry(str(background)),
        Entry(str(len(flips) - background)),
        Entry(f"{title(flips[0].image)} image"),
        Entry(" ".join(places[:_LISTED]) + rest),
    )


# ------------------------------------------------------------------------------------- every fill


def tabulate_fills(table: FillTable) -> Table:
    """Delta under every fill and, where a placebo was laid, whose doing it is."""
    has_placebo = any(row.placebo for row in table.rows)
    columns = columns_of("Class|Fill", "BG Act.|BG Act. (w/o FG)|Delta|q")
    notes = ["Delta in points: BG Act. (w/o FG) - BG Act.; q: exact McNemar test, Benjamini-Hochberg."]
    if has_placebo:
        columns += (*columns_of("", _SHARED), Column("Mark", is_number=False))
        notes.append(_EXPLAINED)
    return Table(
        "Delta under every fill, in percent, with the counts behind it",
        columns,
        tuple(_fill(row) for row in table.rows),
        tuple(notes),
    )


_SHARED = "BG Act.*|w/o FG*|w/o placebo*|Delta*|Placebo's Delta*|q*"
_EXPLAINED = (
    "*: over the cells that neither the foreground nor its placebo (the same shape, moved to background) "
    "touches, in the images where it fits. q*: are the two masks told apart? Below it: images that show the "
    "class with the object covered only, and with the placebo only. Mark: object, they are told apart "
    "(q* < 0.05): not just any mask gives Delta; mask, they are not, and the placebo gives at least half of "
    "Delta: it is the mask's doing; unclear, neither."
)


def _fill(row: FillRow) -> tuple[Entry, ...]:
    number = "" if row.label is None else f"#{row.label}, "
    own = (
        Entry(row.name, f"{number}{plural(row.images, 'image')}"),
        Entry(row.fill),
        Entry(percent(row.bg_act), counts(row.bg_act)),
        Entry(percent(row.bg_act_without_fg), counts(row.bg_act_without_fg)),
        Entry(points(row.delta), f"+{row.gained} -{row.lost}" if row.delta is not None else ""),
        Entry(chance(row.q_value)),
    )
    placebo = row.placebo
    if placebo is None:
        return own
    rates = (placebo.bg_act, placebo.bg_act_without_fg, placebo.bg_act_without_placebo)
    changed = f"+{placebo.only_object} -{placebo.only_placebo}" if placebo.bg_act.total else ""
    return (
        *own,
        *(Entry(percent(rate), counts(rate)) for rate in rates),
        Entry(points(placebo.delta), f"{placebo.left_out} left out" if placebo.left_out else ""),
        Entry(points(placebo.delta_placebo)),
        Entry(chance(placebo.q_value), changed),
        Entry(placebo.mark or NO_DATA),
    )
