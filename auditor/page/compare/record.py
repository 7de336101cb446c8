"""Two indexes of the same images, class by class and image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from auditor.questions.metrics.record import Metrics
from auditor.records import Rate
from auditor.report.metric import metric, same_metric
from auditor.report.record import Record

DIFFERENCE = "the second index's rate less the first's, in points, over the same images"


_NULL = same_metric(Metrics, "bg_act_without_fg_chance")


@dataclass(frozen=True, slots=True)
class Paired(Record):
    """A rate in two indexes over the same images; `gained` are hits of the second alone, `lost` of the first.

    `interval` is Newcombe's for paired samples (1998, method 10).
    """

    first: Rate
    second: Rate
    gained: int
    lost: int
    interval: tuple[float, float] | None

    @property
    def difference(self) -> float | None:
        """Second less first, as a share."""
        first, second = self.first.value, self.second.value
        return None if first is None or second is None else second - first

    @property
    def least(self) -> float:
        """How far from zero the difference is at least; 0 where the interval holds zero."""
        low, high = self.interval or (0.0, 0.0)
        return max(low, -high, 0.0)


@dataclass(frozen=True, slots=True)
class ClassDifference(Record):
    """A class in both indexes: its images that are right, and that show it with every object covered.

    Each any-cell rate has its null in either index. Where the grids differ, a finer one has more cells to
    show the class in: `matched` is the same rate with the cells of both pooled to the coarser grid.
    """

    name: str
    images: int
    accuracy: Paired
    bg_act_without_fg: Paired
    q_value: float | None = field(
        metadata=metric(
            "q",
            "exact McNemar test of the accuracies over images, corrected over all classes "
            "(Benjamini-Hochberg)",
            unit="chance",
        )
    )
    first_chance: float | None = field(default=None, metadata=_NULL)
    second_chance: float | None = field(default=None, metadata=_NULL)
    matched: Paired | None = None
    matched_first_chance: float | None = field(default=None, metadata=_NULL)
    matched_second_chance: float | None = field(default=None, metadata=_NULL)

    @property
    def least(self) -> float:
        """The larger of what the data support of the two differences, the second on one grid."""
        return max(self.accuracy.least, (self.matched or self.bg_act_without_fg).least)


@dataclass(frozen=True, slots=True)
class ImageDifference(Record):
    """An image of which the two indexes give different answers."""

    path: str
    labels: tuple[str, ...]
    first: str
    second: str
    right: str


@dataclass(frozen=True, slots=True)
class Comparison(Record):
    """What differs between two indexes over the `shared` images of both; the most certain classes first.

    `grid` is the coarser of theirs, None where they are the same.
    """

    first: str
    second: str
    shared: int
    agreement: Rate
    accuracy: Paired
    classes: tuple[ClassDifference, ...]
    images: tuple[ImageDifference, ...]
    grid: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PaperRow(Record):
    """An index of one of the paper's networks, and the paper's numbers of it in percent, by metric."""

    ours: Metrics
    table: str
    images: str
    values: Mapping[str, float]
