"""Groups of like cells whose images have a label, a split or a value of metadata in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.records import Rate
from auditor.report.metric import metric
from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class Tie(Record):
    """A value of a column that images with a mark have more often, with Wilson's 95 % interval."""

    column: str
    value: str
    images: Rate = field(
        metadata=metric(
            "Prevalence", "images of the value that hold a cell of the mark ÷ images of the value"
        )
    )
    interval: tuple[float, float] | None
    elsewhere: Rate = field(
        metadata=metric(
            "Prevalence elsewhere", "images of the column's other values that hold one ÷ those images"
        )
    )
    odds: float = field(
        metadata=metric(
            "Odds",
            "odds of an image with the mark to have the value over the odds of one without it, half an image "
            "added to each count",
            unit="factor",
        )
    )
    p_value: float
    q_value: float = field(
        metadata=metric(
            "q (mark)",
            "Fisher's exact test over images, one-sided, corrected over all groups and values "
            "(Benjamini-Hochberg)",
            unit="chance",
        )
    )

    def __str__(self) -> str:
        return f"{self.column}={self.value}"


@dataclass(frozen=True, slots=True)
class Mark(Record):
    """A group of like cells that follows something, with the cells nearest to its medoid, one per image.

    `position` is how much more often two of its cells of different images share a place than if they were
    spread evenly; `peak` the place that most of them have. `ties` are the values that it follows, the most
    certain first.
    """

    cells: int = field(metadata=metric("Cells", "cells of the mark", unit="count"))
    images: int = field(metadata=metric("Images", "images that hold one", unit="count"))
    position: float | None = field(
        metadata=metric(
            "Fixed",
            "how much more often two cells of different images share a place than by chance",
            unit="factor",
        )
    )
    peak: tuple[int, int]
    ties: tuple[Tie, ...]
    exemplars: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Artifacts(Record):
    """`audit artifacts`: marks by how fixed their place is and how strongly they follow a value.

    `level` bounds q. `by_chance` is how many marks a run had in which the values of every column were
    exchanged among images, for each of the runs.
    """

    index: str
    groups: int
    columns: tuple[str, ...]
    level: float
    marks: tuple[Mark, ...]
    by_chance: tuple[int, ...]
