"""Loc. and BG Act. over the threshold of a cell's score (A.3, Figures 5 and 6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.questions.metrics.record import Metrics
from auditor.records import Rate
from auditor.report.metric import Metric, metric, metrics_of
from auditor.report.record import Record

CellScore = Literal["max_softmax", "confidence", "feature_fg", "logit_fg"]


def _of_kept_cells(name: str) -> dict[str, Metric]:
    """A metric of the whole set, of which a cell that is not kept is a miss and still counted."""
    title = metrics_of(Metrics)[name].title
    definition = (
        f"{title} where a cell predicts nothing unless its score exceeds tau; every cell still counts"
    )
    return metric(title, definition, source="A.3, Figures 5 and 6")


@dataclass(frozen=True, slots=True)
class ThresholdPoint(Record):
    """Loc. and BG Act. where only cells count whose score exceeds `tau`."""

    score: CellScore
    tau: float
    loc: Rate = field(metadata=_of_kept_cells("loc"))
    bg_act: Rate = field(metadata=_of_kept_cells("bg_act"))


@dataclass(frozen=True, slots=True)
class Thresholds(Record):
    """`audit threshold` (Figures 5 and 6): the curves of every score that the index's head allows.

    `prototypes` classes of `classes` have a prototype, from correct foreground cells of `calibration_images`
    images that are not among the `images` evaluated. Every curve counts the same cells and pairs: those of
    the classes that have a prototype. A cell whose predicted class has none (`unknown_cells` of them) is
    never kept by a prototype score. `loc_of_all_classes` and `bg_act_of_all_classes` are the rates with every
    cell kept, over all classes: what the curves start from where every class has a prototype.
    """

    index: str
    calibration: str
    calibration_images: int
    images: int
    classes: int
    prototypes: int
    unknown_cells: int
    points: tuple[ThresholdPoint, ...]
    notes: tuple[str, ...] = ()
    loc_of_all_classes: Rate = field(default=Rate(0, 0))
    bg_act_of_all_classes: Rate = field(default=Rate(0, 0))

    @property
    def is_restricted(self) -> bool:
        """Whether some evaluated cell or pair is of a class without prototype, and in no curve."""
        first = self.points[0]
        totals = first.loc.total, first.bg_act.total
        return totals != (self.loc_of_all_classes.total, self.bg_act_of_all_classes.total)

    @property
    def restriction(self) -> str:
        """What every curve is evaluated over, where that is not everything."""
        if not self.is_restricted:
            return ""
        whole = self.loc_of_all_classes.value, self.bg_act_of_all_classes.value
        loc, bg_act = ("none" if value is None else f"{100 * value:.1f} %" for value in whole)
        return (
            f"every curve is over the {self.prototypes:,} of {self.classes:,} classes that have a prototype; "
            f"over all classes, with every cell kept, Loc. is {loc} and BG Act. {bg_act}"
        )

    @property
    def scores(self) -> tuple[CellScore, ...]:
        """The scores that have a curve, in order."""
        return tuple(dict.fromkeys(point.score for point in self.points))

    def curve(self, score: CellScore) -> tuple[ThresholdPoint, ...]:
        """The points of one score by tau."""
        return tuple(point for point in self.points if point.score == score)
