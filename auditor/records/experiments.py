"""What the paper's further experiments answer: probes (4.3), thresholds (A.3), pooling rules (section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from auditor.records.answers import Metrics, Rate

ProbeKind = Literal["linear", "mlp"]
CellScore = Literal["max_softmax", "confidence", "feature_fg", "logit_fg"]
PoolRule = Literal["mean", "max", "top5", "lse", "foreground", "threshold"]


@dataclass(frozen=True, slots=True)
class Probe:
    """`audit probe`: a head trained on stored vectors, and what the metrics are with it.

    `folds` counts the heads that score the images which they did not see, 1 where the head was trained on
    another index; `own` are the metrics with the head that the index was built with, for comparison. Features
    of occluded images are not stored, so the metrics that need them have totals of 0.
    """

    index: str
    trained_on: str
    kind: ProbeKind
    seed: int
    epochs: int
    folds: int
    trained_images: int
    classes: int
    file: str
    sha256: str
    metrics: Metrics
    own: Metrics
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """Loc. and BG Act. where only cells count whose score exceeds `tau`."""

    score: CellScore
    tau: float
    loc: Rate
    bg_act: Rate


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`audit threshold` (Figures 5 and 6): the curves of every score that the index's head allows.

    `prototypes` classes of `classes` have a prototype, from correct foreground cells of `calibration_images`
    images that are not among the `images` evaluated. A cell whose predicted class has none (`unknown_cells`
    of them) is never kept by a prototype score.
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

    @property
    def scores(self) -> tuple[CellScore, ...]:
        """The scores that have a curve, in order."""
        return tuple(dict.fromkeys(point.score for point in self.points))

    def curve(self, score: CellScore) -> tuple[ThresholdPoint, ...]:
        """The points of one score by tau."""
        return tuple(point for point in self.points if point.score == score)


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One pooling rule: image-level accuracy, and images whose prediction differs from the model's own.

    `gained` of the `changed` images get their label only under the rule, `lost` only without it. Where the
    rule keeps no cell of an image (`fallbacks` images) all cells are averaged.
    """

    rule: PoolRule
    accuracy: Rate
    interval: tuple[float, float] | None
    changed: int
    gained: int
    lost: int
    fallbacks: int


@dataclass(frozen=True, slots=True)
class PoolChange:
    """An image whose prediction changes under a rule; `effect` on its label: gained, lost or neither."""

    rule: PoolRule
    path: str
    before: str
    after: str
    effect: Literal["gained", "lost", "neither"]


@dataclass(frozen=True, slots=True)
class Pooling:
    """`audit pool`: image-level predictions from the stored grid under several pooling rules.

    `agreement` counts the images whose mean of cells has the model's own prediction: all of them where the
    head is exact, up to ties within the rounding of stored features.
    """

    index: str
    readout: str
    temperature: float
    tau: float
    own: Rate
    own_interval: tuple[float, float] | None
    agreement: Rate
    rows: tuple[PoolRow, ...]
    changes: tuple[PoolChange, ...]
