"""Classes that images show and are not labelled with, and labels that their own object speaks against."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.records import Rate
from auditor.report.metric import metric, same_metric
from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class MissingLabel(Record):
    """A class that wins connected cells of an image which is not labelled with it.

    `cell` is the surest of the `cells` in the `box` (top, left, bottom, right, ends excluded, in cells).
    `is_certain`: it survives, q is below the level, and its score is above those of the lowest twentieth of
    the labels that are given, each by the best region of its class, covering aside.
    """

    path: str
    label: int
    name: str
    cell: str
    box: tuple[int, int, int, int]
    cells: int = field(metadata=metric("Cells", "cells of the region", unit="count"))
    score: float = field(
        metadata=metric(
            "Score",
            "the class's probability in the image, times its mean probability over the region's cells, each "
            "times (0.1 + its probability there with the labelled objects covered) / 1.1, times (1 + "
            "neighbours that agree) / (2 + neighbours)",
            unit="factor",
        )
    )
    survives: bool
    agree: Rate = field(
        metadata=metric(
            "Neighbours",
            "cells most like the region's four surest, ten of other labelled images for each, that are "
            "said to hold the class",
        )
    )
    p_value: float
    q_value: float = field(
        metadata=metric(
            "q",
            "exact binomial test: as many of one cell's neighbours if labels were exchanged among images, "
            "corrected over the whole list (Benjamini-Hochberg)",
            unit="chance",
        )
    )
    is_certain: bool


@dataclass(frozen=True, slots=True)
class WrongLabel(Record):
    """A label whose object another class wins; `cell`, `box`, `agree`, p and q are those of its region.

    `is_suspect` is the rule of `audit causes`; with q below the level it `is_certain`.
    """

    path: str
    label: int
    name: str
    suggested: int
    suggested_name: str
    cell: str
    box: tuple[int, int, int, int]
    score: float = field(
        metadata=metric(
            "Ahead by",
            "how much more probable the suggested class is than the given one, in points: the mean of the "
            "whole image and of the surest cells of the object, in which the suggested class is the most "
            "probable unassigned one",
            unit="points",
        )
    )
    is_suspect: bool
    agree: Rate = field(metadata=same_metric(MissingLabel, "agree"))
    p_value: float
    q_value: float = field(metadata=same_metric(MissingLabel, "q_value"))
    is_certain: bool


@dataclass(frozen=True, slots=True)
class Labels(Record):
    """`audit labels`: both lists, best first.

    `level` bounds q. `missing_by_chance` and `wrong_by_chance` are how many would be certain where labels and
    annotations were exchanged among images, for each of the runs; `regions` how many were looked at, of any
    class. `out_of_fold`: every image was scored by a head that did not see it.
    """

    index: str
    images: int
    regions: int
    level: float
    out_of_fold: bool
    missing: tuple[MissingLabel, ...]
    wrong: tuple[WrongLabel, ...]
    missing_by_chance: tuple[int, ...]
    wrong_by_chance: tuple[int, ...]
