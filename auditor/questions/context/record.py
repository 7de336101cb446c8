"""Classes by how much of them a network sees in the background (Tables 7 and 8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.questions.metrics.record import Metrics
from auditor.records import ImageGrids, Rate
from auditor.report.metric import metric, same_metric
from auditor.report.record import Record

By = Literal["delta", "bg_act_wo_fg"]


@dataclass(frozen=True, slots=True)
class ClassContext(Record):
    """One row of Tables 7 and 8, with Wilson 95 % intervals and an exact paired test of Delta.

    `gained` counts the images whose background shows the class only once the foreground is occluded, `lost`
    those that show it only before; `p_value` is McNemar's exact test on the two, `q_value` its
    Benjamini-Hochberg correction over the classes of the table.
    """

    label: int
    name: str
    synset: str | None
    images: int
    loc: Rate = field(metadata=same_metric(Metrics, "loc"))
    fg_det: Rate = field(metadata=same_metric(Metrics, "fg_det"))
    bg_act: Rate = field(metadata=same_metric(Metrics, "bg_act"))
    bg_act_interval: tuple[float, float] | None
    bg_act_without_fg: Rate = field(metadata=same_metric(Metrics, "bg_act_without_fg"))
    bg_act_without_fg_interval: tuple[float, float] | None
    gained: int
    lost: int
    p_value: float | None
    q_value: float | None = field(
        metadata=metric(
            "q",
            "exact McNemar test of Delta over images, corrected for the number of classes looked at "
            "(Benjamini-Hochberg)",
            unit="chance",
        )
    )

    delta = Metrics.delta


@dataclass(frozen=True, slots=True)
class ContextTable(Record):
    """The classes of an index ranked by context dependence."""

    index: str
    by: By
    rows: tuple[ClassContext, ...]


@dataclass(frozen=True, slots=True)
class ClassDetail(Record):
    """`audit context --class K`: the class's row and its images, those that gain the class first."""

    index: str
    row: ClassContext
    images: tuple[ImageGrids, ...]
