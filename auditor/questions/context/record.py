"""Classes by how much of them a network sees in the background (Tables 7 and 8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.questions.metrics.record import Metrics
from auditor.records import ImageGrids, Rate
from auditor.report.metric import metric, same_metric
from auditor.report.record import NOT_WRITTEN, Record

By = Literal["delta", "bg_act_wo_fg"]


@dataclass(frozen=True, slots=True)
class ClassContext(Record):
    """One row of Tables 7 and 8, with Wilson 95 % intervals and an exact paired test of Delta.

    `gained` counts the images whose background shows the class only once the foreground is occluded, `lost`
    those that show it only before; `p_value` is McNemar's exact test on the two, `q_value` its
    Benjamini-Hochberg correction over all classes of the index that have a test. `least_excess` and
    `least_delta` are what the data support of the two tables' questions; None where the class has fewer than
    two images with background, of which nothing can be said.
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
            "exact McNemar test of Delta over images, corrected over all classes of the index "
            "(Benjamini-Hochberg)",
            unit="chance",
        )
    )
    fg_det_chance: float | None = field(default=None, metadata=same_metric(Metrics, "fg_det_chance"))
    bg_act_chance: float | None = field(default=None, metadata=same_metric(Metrics, "bg_act_chance"))
    bg_act_without_fg_chance: float | None = field(
        default=None, metadata=same_metric(Metrics, "bg_act_without_fg_chance")
    )
    bg_share: float | None = field(
        default=None,
        metadata=metric(
            "BG share (w/o FG)",
            "background cells predicted as the class, of all background cells, with the foreground occluded: "
            "the mean of this share over the class's images",
            lambda c: (c["bg_hits_without_fg"], c["bg_cells_without_fg"]),
            over="pairs",
            is_mean=True,
        ),
    )
    bg_share_elsewhere: float | None = field(
        default=None,
        metadata=metric(
            "Elsewhere", "BG share (w/o FG) of the class in images that are not labelled with it"
        ),
    )
    least_excess: float | None = field(
        default=None,
        metadata=metric(
            "At least",
            "lower end of the 95 % interval (Newcombe, over images) of BG share (w/o FG) less Elsewhere: how "
            "much more of their background the class takes in its own images, with the object covered, than "
            "in others, so far as the number of images says it",
            unit="points",
        ),
    )
    least_delta: float | None = field(
        default=None,
        metadata=metric(
            "Delta at least",
            "lower end of the 95 % interval of Delta (Newcombe, paired over images), above zero only where "
            "McNemar's exact test is below 0.05",
            unit="points",
        ),
    )

    delta = Metrics.delta

    def least(self, by: By) -> float | None:
        """What the data support of the question that orders a table."""
        return self.least_delta if by == "delta" else self.least_excess


@dataclass(frozen=True, slots=True)
class ContextTable(Record):
    """The classes of an index ranked by context dependence: by what the data support, or `plain`.

    `minimum` is the number of images with background that a class needed, `largest` what the largest has. A
    console shows the first rows, all of them where it `shows_all`.
    """

    index: str
    by: By
    rows: tuple[ClassContext, ...]
    plain: bool = False
    minimum: int = 1
    largest: int = 0
    shows_all: bool = field(default=False, metadata=NOT_WRITTEN)

    @property
    def is_judged(self) -> bool:
        """Whether anything can be said of some class."""
        return any(row.least(self.by) is not None for row in self.rows)

    @property
    def sentence(self) -> str:
        """What the table amounts to, or why it does not."""
        if not self.rows:
            return f"no class has {self.minimum} images with background; the largest has {self.largest}"
        if not self.is_judged:
            return "one image per class: no class can be judged; index more images per class"
        least = [row.least(self.by) for row in self.rows]
        above = sum(end is not None and end > 0 for end in least)
        unjudged = least.count(None)
        left_out = f"; {unjudged} with one image cannot be judged" if unjudged else ""
        are = "is" if above == 1 else "are"
        return f"{above} of {len(least)} classes {are} above zero at 95 %{left_out}"


@dataclass(frozen=True, slots=True)
class ClassDetail(Record):
    """`audit context --class K`: the class's row and its images, those that gain the class first."""

    index: str
    row: ClassContext
    images: tuple[ImageGrids, ...]
