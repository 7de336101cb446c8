"""A logit as a sum over what is in the image, for one image and over a class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from auditor.grids import Mask
from auditor.report.metric import metric
from auditor.report.record import NOT_WRITTEN, Record

Kind = Literal["object", "background", "bias"]


@dataclass(frozen=True, slots=True)
class Entry(Record):
    """What one thing adds to the two logits; `cells` that several objects share are split equally among them.

    `label` is an object's class, None for objects of classes that the head does not have.
    """

    kind: Kind
    name: str
    label: int | None
    cells: float
    target: float
    rival: float

    @property
    def margin(self) -> float:
        """What it adds to the target's lead over the rival."""
        return self.target - self.rival


@dataclass(frozen=True, slots=True)
class Ledger(Record):
    """`audit ledger IMG`: the target's logit and the rival's, each the sum of its entries.

    `error` is the largest difference between a sum and the model's own logit, in logits. `cells` (H, W) is
    what every cell adds to the target's lead, without the bias.
    """

    index: str
    path: str
    target: int
    target_name: str
    target_logit: float
    rival: int
    rival_name: str
    rival_logit: float
    entries: tuple[Entry, ...]
    error: float
    cells: NDArray[np.float64] = field(metadata=NOT_WRITTEN)
    foreground: Mask = field(metadata=NOT_WRITTEN)

    @property
    def foreground_margin(self) -> float:
        """What all objects together add to the target's lead."""
        return sum(entry.margin for entry in self.entries if entry.kind == "object")

    @property
    def background_margin(self) -> float:
        """What the background adds to it."""
        return sum(entry.margin for entry in self.entries if entry.kind == "background")


@dataclass(frozen=True, slots=True)
class ClassLedger(Record):
    """A class's logit in its own images, less the mean logit of all classes: means over images, in logits.

    A constant that is added to every class changes no answer, so a logit is told from the mean of all.
    `background_elsewhere` is what as many background cells of images without the class add, `least` the lower
    end of the 95 % interval (t, over images) of the difference; None with fewer than two images.
    """

    label: int
    name: str
    images: int
    foreground: float
    background: float
    bias: float
    background_elsewhere: float | None
    context_share: float | None = field(
        metadata=metric(
            "Context share",
            "what background cells add to the class's logit, less the mean logit of all classes ÷ what all "
            "cells add, each summed over the class's images; above 100 % where the objects speak against it, "
            "and not given where all cells together do",
        )
    )
    background_cells: float = field(
        metadata=metric("Background cells", "background cells ÷ cells, the mean over the class's images")
    )
    least: float | None

    @property
    def excess(self) -> float | None:
        """What the background adds more than that of images without the class does, in logits."""
        elsewhere = self.background_elsewhere
        return None if elsewhere is None else self.background - elsewhere


@dataclass(frozen=True, slots=True)
class Ledgers(Record):
    """`audit ledger`: every class, those first whose background certainly adds most beyond that of others."""

    index: str
    rows: tuple[ClassLedger, ...]


@dataclass(frozen=True, slots=True)
class ImageLedger(Record):
    """What the parts of one image add to a class's logit, less the mean logit of all classes."""

    path: str
    foreground: float
    background: float


@dataclass(frozen=True, slots=True)
class ClassDetail(Record):
    """`audit ledger --class K`: the class, and its images, those with most from the background first."""

    index: str
    row: ClassLedger
    images: tuple[ImageLedger, ...]
