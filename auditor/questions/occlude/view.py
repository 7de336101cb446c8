"""What covering the object of one image does, as tables: its panels, how many cells flipped, and which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from auditor.questions.occlude.record import Flip, ImageContext, Shift
from auditor.records import Rate
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, columns_of, rate_entry
from auditor.report.text import NO_DATA, counts, share, variant_title
from auditor.report.views import Rows, View

_LISTED = 12  # cells of one kind of flip: the files hold them all
_PLAIN = ("mean", "black", "grey")
_SAME = (
    "The inpainting changed nothing outside the mask, so both occluded panels are the same image: a cell "
    "of the inpainted one that flips does so with no object there to lose."
)


def view_image(context: ImageContext) -> View:
    """The panels, the shares of cells that flipped, and the flips by their classes."""
    flips = [flip for shift in context.shifts for flip in shift.flips]
    tables = (_tabulate_panels(context), _tabulate_shifts(context), _tabulate_flips(flips))
    return View(f"Occluded and inpainted: {context.grids.path}", tables, rows=Rows(Flip, flips))


VIEWS = {ImageContext: view_image}


def _wanted(context: ImageContext) -> str:
    """The class that is looked for."""
    label = context.grids.label
    return NO_DATA if label is None else context.grids.name_of(label)


def _tabulate_panels(context: ImageContext) -> Table:
    """What each panel is taken for as a whole, and how many of its cells show the class."""
    grids, wanted = context.grids, _wanted(context)
    columns = columns_of("Panel|Taken for|Then", f"FG cells of {wanted}|BG cells of {wanted}")
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
        Entry(variant_title(grids.variants[number])),
        Entry(first.name, f"{share(first.probability)} %"),
        Entry(", ".join(f"{guess.name} {share(guess.probability)}" for guess in others)),
        Entry(counts(inside) or NO_DATA),
        Entry(counts(outside) or NO_DATA),
    )


def _tabulate_shifts(context: ImageContext) -> Table:
    """How many cells flipped once the foreground was occluded, and how many to the class."""
    wanted, rates = _wanted(context), metrics_of(Shift)
    columns = (
        Column(f"{metric.title.replace('to K', f'to {wanted}')} %", True, metric.definition)
        for metric in rates.values()
    )
    rows = tuple(
        (Entry(_occluded(shift.image)), *(rate_entry(getattr(shift, name)) for name in rates))
        for shift in context.shifts
    )
    return Table("Cells whose class flipped", (Column("Occluding the", is_number=False), *columns), rows)


def _occluded(variant: str) -> str:
    return f"{variant_title(variant)} image"


def _tabulate_flips(flips: Sequence[Flip]) -> Table:
    """From which class to which, the commonest first, and where."""
    columns = (*columns_of("From|To", "BG|FG"), *columns_of("Occluding the|Cells", ""))
    groups: dict[tuple[str, int, int], list[Flip]] = defaultdict(list)
    for flip in flips:
        groups[flip.image, flip.was, flip.became].append(flip)
    ranked = sorted(groups.values(), key=lambda group: (group[0].image != "original", -len(group)))
    return Table("From which class to which", columns, tuple(map(_group, ranked)), ends=(20, 0))


def _group(flips: Sequence[Flip]) -> tuple[Entry, ...]:
    background = sum(flip.is_background for flip in flips)
    places = [f"{flip.row},{flip.col}" for flip in flips]
    rest = f" and {len(places) - _LISTED} more" if len(places) > _LISTED else ""
    return (
        Entry(flips[0].was_name),
        Entry(flips[0].became_name),
        Entry(str(background)),
        Entry(str(len(flips) - background)),
        Entry(_occluded(flips[0].image)),
        Entry(" ".join(places[:_LISTED]) + rest),
    )
