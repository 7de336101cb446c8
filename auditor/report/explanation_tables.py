"""Class maps, relevance and attacks as tables of text, and as flat rows for files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from auditor.records import Attack, ClassMap, ClassMaps, Relevance
from auditor.report.tables import Column, Entry, Table, columns_of
from auditor.report.text import share

PATENT = "LRP is patented for commercial use, its authors say."


def tabulate_maps(found: ClassMaps) -> Table:
    """`audit cam`: a row for every class."""
    columns = columns_of("Class", "Image score|Mean of cells|Lowest|Highest|At")
    how = "their mean is the image's score" if found.is_exact else "they do not add up to the image's score"
    note = f"Cells as the {found.readout} readout gives them: {how}."
    return Table(f"Class maps of {found.path}", columns, tuple(map(_map_row, found.maps)), (note,))


def _map_row(each: ClassMap) -> tuple[Entry, ...]:
    row, col = np.unravel_index(each.cells.argmax(), each.cells.shape)
    numbers = (each.score, each.mean, each.cells.min(), each.cells.max())
    return (Entry(each.name), *(Entry(f"{number:.3f}") for number in numbers), Entry(f"{row},{col}"))


def tabulate_relevance(found: Relevance) -> Table:
    """`audit relevance`: what was explained and how much of it came back."""
    left, top, right, bottom = found.field
    error = found.conservation_error
    area = (right - left) * (bottom - top) / found.pixels.size
    cell = (found.box[2] - found.box[0]) * (found.box[3] - found.box[1]) / found.pixels.size
    rows = (
        ("class", found.name),
        ("score of the cell", f"{found.score:.4f}"),
        ("sum of the relevance", f"{found.total:.4f}"),
        ("conservation error", "none: the score is 0" if error is None else f"{share(error)} %"),
        (
            "inside the cell",
            f"{share(found.inside)} % of all that is relevant, on {share(cell)} % of the crop",
        ),
        ("99 % of it", f"x {left} to {right}, y {top} to {bottom}: {share(area)} % of the crop"),
    )
    caption = f"Relevance for cell {found.row},{found.col} of {found.path}"
    entries = tuple((Entry(name), Entry(value)) for name, value in rows)
    notes = (f"{found.method}. Biases absorb what is missing from, or added to, the sum.", PATENT)
    return Table(caption, (Column("Fact", is_number=False), Column("Value", is_number=False)), entries, notes)


def tabulate_attack(found: Attack) -> Table:
    """`audit attack`: the image and its cells before the first step and after each."""
    columns = (*columns_of("Step", "Target %|Target cells"), *columns_of("Image taken for", ""))
    rows = tuple(
        (
            Entry(str(step)),
            Entry(share(float(found.target_probabilities[step]))),
            Entry(f"{found.target_cells[step]}/{found.labels[0].size}"),
            Entry(found.names[int(found.image_labels[step])]),
        )
        for step in range(len(found.labels))
    )
    caption = f"Attack on {found.path}, target {found.names[found.target]}"
    return Table(caption, columns, rows, (_outcome(found),))


def _outcome(found: Attack) -> str:
    flip = found.flipped_at
    said = "The image does not flip." if flip is None else f"The image flips at step {flip}."
    said = "The image was taken for the target before the attack." if flip == 0 else said
    reach = f"No pixel moved by more than {255 * found.epsilon:.3g}/255."
    saved = f"Rounded to 8 bits, as it is saved, it is taken for {found.names[found.saved_label]}."
    return f"{said} {reach} {saved}"


# ------------------------------------------------------------------------------------- flat rows


@dataclass(frozen=True, slots=True)
class MapCell:
    """One cell of one class map."""

    path: str
    label: int
    name: str
    image_score: float
    row: int
    col: int
    score: float


@dataclass(frozen=True, slots=True)
class RelevancePixel:
    """One pixel of a relevance map."""

    path: str
    label: int
    name: str
    y: int
    x: int
    relevance: float


@dataclass(frozen=True, slots=True)
class AttackCell:
    """One cell at one step of an attack, with what the image is taken for then."""

    path: str
    step: int
    image_label: int
    image_name: str
    target_probability: float
    row: int
    col: int
    label: int
    name: str
    probability: float


def map_cells(found: ClassMaps) -> Iterator[MapCell]:
    """Every cell of every map."""
    for each in found.maps:
        for (row, col), score in np.ndenumerate(each.cells):
            yield MapCell(found.path, each.label, each.name, each.score, row, col, float(score))


def relevance_pixels(found: Relevance) -> Iterator[RelevancePixel]:
    """Every pixel of the map."""
    for (y, x), value in np.ndenumerate(found.pixels):
        yield RelevancePixel(found.path, found.label, found.name, y, x, float(value))


def attack_cells(found: Attack) -> Iterator[AttackCell]:
    """Every cell at every step."""
    for (step, row, col), label in np.ndenumerate(found.labels):
        image = int(found.image_labels[step])
        yield AttackCell(
            path=found.path,
            step=step,
            image_label=image,
            image_name=found.names[image],
            target_probability=float(found.target_probabilities[step]),
            row=row,
            col=col,
            label=int(label),
            name=found.names[int(label)],
            probability=float(found.probabilities[step, row, col]),
        )
