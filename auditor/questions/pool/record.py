"""Image-level predictions under several pooling rules (section 6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.questions.metrics.record import Metrics
from auditor.records import Rate
from auditor.report.metric import metric, same_metric
from auditor.report.record import Record

PoolRule = Literal["mean", "max", "top5", "lse", "foreground", "threshold"]
Effect = Literal["gained", "lost", "neither"]


@dataclass(frozen=True, slots=True)
class PoolRow(Record):
    """One pooling rule: image-level accuracy, and images whose prediction differs from the model's own.

    `gained` of the `changed` images get their label only under the rule, `lost` only without it. Where the
    rule keeps no cell of an image (`fallbacks` images) all cells are averaged.
    """

    rule: PoolRule
    accuracy: Rate = field(metadata=same_metric(Metrics, "top1"))
    interval: tuple[float, float] | None
    changed: int = field(
        metadata=metric(
            "Changed",
            "images that the rule predicts otherwise than the model does",
            unit="count",
            source="section 6",
        )
    )
    gained: int = field(
        metadata=metric(
            "Gained",
            "changed images whose label is predicted only under the rule",
            unit="count",
            source="section 6",
        )
    )
    lost: int = field(
        metadata=metric(
            "Lost",
            "changed images whose label is predicted only by the model itself",
            unit="count",
            source="section 6",
        )
    )
    fallbacks: int = field(
        metadata=metric(
            "Without cells",
            "images of which the rule keeps no cell, so that all of their cells are averaged",
            unit="count",
        )
    )


@dataclass(frozen=True, slots=True)
class PoolChange(Record):
    """An image whose prediction changes under a rule; `effect` on its label: gained, lost or neither."""

    rule: PoolRule
    path: str
    before: str
    after: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class Pooling(Record):
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
