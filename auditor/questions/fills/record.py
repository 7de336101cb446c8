"""Delta under every fill, and what a placebo mask does under the same (A.6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.questions.context.record import ClassContext
from auditor.questions.metrics.record import Metrics
from auditor.records import Rate
from auditor.report.metric import derived, metric, metrics_of, same_metric
from auditor.report.record import NOT_WRITTEN, Record

Mark = Literal["mask", "object", "unclear"]

_DELTA = metrics_of(Metrics)["delta"]
_SHARED = "over the cells that neither the foreground nor its placebo touches"


@dataclass(frozen=True, slots=True)
class Placebo:
    """The foreground's mask against the same shape laid over background, in the images where it fits.

    All three rates are over cells that neither mask touches, so that they are of the same cells.
    `left_out` counts the images where the shape fits nowhere, or leaves no such cell. `only_object` counts
    the images whose background shows the class with the foreground covered but not with the placebo,
    `only_placebo` the reverse; `p_value` is McNemar's exact test on the two.
    """

    left_out: int
    bg_act: Rate = field(metadata=metric("BG Act.*", f"BG Act. {_SHARED}"))
    bg_act_without_fg: Rate = field(
        metadata=metric("w/o FG*", f"BG Act. with the foreground occluded, {_SHARED}")
    )
    bg_act_without_placebo: Rate = field(
        metadata=metric("w/o placebo*", f"BG Act. with the placebo occluded instead, {_SHARED}")
    )
    only_object: int
    only_placebo: int
    p_value: float | None
    q_value: float | None = field(
        metadata=metric(
            "q*",
            "exact McNemar test of whether the two masks can be told apart, corrected over the classes that "
            "were asked, under the same fill (Benjamini-Hochberg)",
            unit="chance",
        )
    )

    @derived.of("Delta*", "w/o FG* - BG Act.*, in points", after="bg_act_without_placebo")
    def delta(self) -> float | None:
        """What covering the foreground adds, as a share."""
        return _difference(self.bg_act_without_fg, self.bg_act)

    @derived.of("Placebo's Delta*", "w/o placebo* - BG Act.*, in points", after="delta")
    def delta_placebo(self) -> float | None:
        """What covering as much of the background adds, as a share."""
        return _difference(self.bg_act_without_placebo, self.bg_act)

    @property
    def mark(self) -> Mark | None:
        """Whose doing Delta is.

        object: the test tells the two masks apart (q < 0.05). mask: it does not, and the placebo shows at
        least half of Delta, in the same direction. unclear: neither. None without Delta.
        """
        if not self.delta or self.delta_placebo is None or self.q_value is None:
            return None
        if self.q_value < 0.05:
            return "object"
        return "mask" if self.delta_placebo / self.delta >= 0.5 else "unclear"


@dataclass(frozen=True, slots=True)
class FillRow(Record):
    """One class under one fill, or all classes where `label` is None.

    Rates are over (image, class) pairs, tests McNemar's. A family of tests is one question, under one fill,
    to all classes: one class asked alone is corrected over the same classes as in `context`, where classes
    that were not asked stand by their test under the index's own fill. `least_delta` is what the data support
    of Delta; None for fewer than two images with background.
    """

    label: int | None
    name: str
    fill: str
    images: int
    bg_act: Rate = field(metadata=same_metric(Metrics, "bg_act"))
    bg_act_without_fg: Rate = field(metadata=same_metric(Metrics, "bg_act_without_fg"))
    gained: int
    lost: int
    p_value: float | None
    q_value: float | None = field(
        metadata=metric(
            "q",
            "exact McNemar test of Delta over images, corrected over all classes of the index under the same "
            "fill (Benjamini-Hochberg); all classes together are one test",
            unit="chance",
        )
    )
    placebo: Placebo | None
    least_delta: float | None = field(default=None, metadata=same_metric(ClassContext, "least_delta"))

    @derived.of(_DELTA.title, _DELTA.definition, after="bg_act_without_fg", source=_DELTA.source)
    def delta(self) -> float | None:
        """BG Act. (w/o FG) - BG Act., as a share."""
        return _difference(self.bg_act_without_fg, self.bg_act)


@dataclass(frozen=True, slots=True)
class FillTable(Record):
    """`audit fills`: all classes, then each by what the data support of Delta under any fill; fill by fill.

    `family` is the number of classes that Delta is corrected over. A console shows the first classes that can
    be judged, all of them where it `shows_all`.
    """

    index: str
    fills: tuple[str, ...]
    rows: tuple[FillRow, ...]
    family: int = 0
    shows_all: bool = field(default=False, metadata=NOT_WRITTEN)

    @property
    def labels(self) -> tuple[int | None, ...]:
        """The classes of the rows, None for all together, in their order."""
        return tuple(dict.fromkeys(row.label for row in self.rows))

    @property
    def judged(self) -> tuple[int | None, ...]:
        """Those of which the images say something: all together, the one that was asked for, or with two."""
        judged = {row.label for row in self.rows if row.least_delta is not None}
        return tuple(
            label for label in self.labels if label is None or label in judged or len(self.labels) == 1
        )


def _difference(after: Rate, before: Rate) -> float | None:
    return None if after.value is None or before.value is None else after.value - before.value
