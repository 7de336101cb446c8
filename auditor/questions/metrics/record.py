"""Every rate of one index: what it counts, of what, and why (section 4.1, Tables 1 to 3).

This is where a metric is defined. Its field carries title, definition and the columns that it counts; asking,
tables, the page and docs/metrics.md iterate over the fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from auditor.measure.census import ImageCensus
from auditor.measure.evidence import CellEvidence
from auditor.records import Certificate, Rate
from auditor.report.metric import Metric, derived, metric, metrics_of
from auditor.report.record import Record

Among = Literal["all", "present"]


def _any(counts: Any) -> Any:
    """1 where at least one was counted."""
    return (np.asarray(counts) > 0).astype(np.int64)


def _several(counts: Any) -> bool:
    """Whether any image has several labels."""
    return bool((np.asarray(counts["labels"]) > 1).any())


def _by_chance(rate: Any, cells: str, chance: str) -> dict[str, Metric]:
    """The null of an any-cell rate, a field defined above, over the pairs that the rate counts."""
    title = rate.metadata["metric"].title
    return metric(
        f"{title} by chance",
        f"what {title} would be if cells knew nothing: the mean of 1 - (1 - p)^n over the same pairs, with n "
        "the number of cells looked at and p the share of cells that show the class in images that are not "
        "labelled with it, in the same variant",
        lambda c: (np.nan_to_num(c[chance]), _any(c[cells]) * ~np.isnan(c[chance])),
        over="pairs",
        is_mean=True,
    )


@dataclass(frozen=True, slots=True)
class Metrics(Record):
    """Tables 1 to 3 for one index: every rate, those that do not apply with total 0.

    What is counted over `pairs` counts each (image, evaluation class) once, what is counted over `images`
    each image or cell once, whichever of its classes was predicted. `top1_any` has total 0 where no image has
    several labels: Top-1 says the same. `census` adds the images up, `evidence` says whether cells carry the
    class, `absent` why nothing of the foreground could be counted, `matched` what any-cell rates are on the
    coarsest grid of the indexes that stand beside it.
    """

    index: str
    backbone: str
    images: int = field(metadata=metric("Images", "images indexed", unit="count"))
    top1: Rate = field(
        metadata=metric(
            "Top-1",
            "images whose first class is right",
            lambda c: (c["top1"], c["labelled"]),
            source="Table 2",
        )
    )
    top5: Rate = field(
        metadata=metric(
            "Top-5",
            "images with the right class among the first five",
            lambda c: (c["top5"], c["labelled"]),
            source="Table 2",
        )
    )
    fg_det: Rate = field(
        metadata=metric(
            "FG Det.",
            "images with the evaluation class predicted in a foreground cell ÷ images with a foreground "
            "cell; those whose objects the crop cut off could not be hit (Table 7's 92.3 is 36 of 39)",
            lambda c: (_any(c["fg_hits"]), _any(c["fg_cells"])),
            over="pairs",
            source="section 4.1, Tables 1 and 7",
        )
    )
    loc: Rate = field(
        metadata=metric(
            "Loc.",
            "foreground cells predicted as a class that is present in them ÷ foreground cells, over the "
            "whole set; a cell that several objects share counts once",
            lambda c: (c["fg_hits"], c["fg_cells"]),
            source="section 4.1, Table 1",
        )
    )
    loc_per_image: float | None = field(
        metadata=metric(
            "Loc. per image",
            "the mean of Loc. over images with a foreground cell",
            lambda c: (c["fg_hits"], c["fg_cells"]),
            is_mean=True,
        )
    )
    loc_without_bg: Rate = field(
        metadata=metric(
            "Loc. (w/o BG)",
            "Loc. with the background occluded, over the same cells",
            lambda c: (c["fg_hits_without_bg"], c["fg_cells_without_bg"]),
            source="Table 1",
        )
    )
    bg_act: Rate = field(
        metadata=metric(
            "BG Act.",
            "images with the evaluation class predicted in a background cell ÷ images with a background cell",
            lambda c: (_any(c["bg_hits"]), _any(c["bg_cells"])),
            over="pairs",
            source="section 4.1, Tables 1 and 8; it leaves the denominator open, and only this one agrees "
            "with its Table 8: jacamar 13 of 39",
        )
    )
    bg_act_without_fg: Rate = field(
        metadata=metric(
            "BG Act. (w/o FG)",
            "BG Act. with the foreground occluded, over the same cells",
            lambda c: (_any(c["bg_hits_without_fg"]), _any(c["bg_cells_without_fg"])),
            over="pairs",
            source="section 4.1, Tables 1 and 7",
        )
    )
    det_top1: Rate = field(
        metadata=metric(
            "Det. top-1",
            "images with the class first in at least one cell ÷ images",
            lambda c: (_any(c["hits"]), _any(c["cells"])),
            over="pairs",
            source="Table 2",
        )
    )
    det_top5: Rate = field(
        metadata=metric(
            "Det. top-5",
            "images with the class among the first five of at least one cell ÷ images",
            lambda c: (_any(c["hits5"]), _any(c["cells"])),
            over="pairs",
            source="Table 2",
        )
    )
    real_acc: Rate = field(
        metadata=metric(
            "ReaL Acc.",
            "images whose first class is one of their ReaL labels ÷ images that have some",
            lambda c: (c["real_top1"], _any(c["real"])),
            source="Table 2",
        )
    )
    real_rec: Rate = field(
        metadata=metric(
            "ReaL Rec.",
            "ReaL labels found among the first classes of the cells ÷ ReaL labels",
            lambda c: (c["real_found"], c["real"]),
            source="Table 2",
        )
    )
    real_rec_per_image: float | None = field(
        metadata=metric(
            "ReaL Rec. per image",
            "the mean of ReaL Rec. over images that have ReaL labels",
            lambda c: (c["real_found"], c["real"]),
            is_mean=True,
        )
    )
    certificate: Certificate | None
    present: PresentMetrics | None = None
    top1_any: Rate = field(
        default=Rate(0, 0),
        metadata=metric(
            "Top-1 (any label)",
            "images whose first class is one of their labels ÷ images with labels; Top-1 asks for one fixed "
            "label of each image",
            lambda c: (c["top1_any"] * _several(c), _any(c["labels"]) * _several(c)),
        ),
    )
    fg_det_chance: float | None = field(default=None, metadata=_by_chance(fg_det, "fg_cells", "fg_chance"))
    bg_act_chance: float | None = field(default=None, metadata=_by_chance(bg_act, "bg_cells", "bg_chance"))
    bg_act_without_fg_chance: float | None = field(
        default=None,
        metadata=_by_chance(bg_act_without_fg, "bg_cells_without_fg", "bg_chance_without_fg"),
    )
    det_top1_chance: float | None = field(default=None, metadata=_by_chance(det_top1, "cells", "chance"))
    det_top5_chance: float | None = field(default=None, metadata=_by_chance(det_top5, "cells", "chance5"))
    census: ImageCensus | None = None
    evidence: CellEvidence | None = None
    absent: str | None = None
    matched: MatchedMetrics | None = None

    @derived.of(
        "Delta",
        "BG Act. (w/o FG) - BG Act., in points: above zero, covering the object makes its surroundings say "
        "its name",
        after="bg_act_without_fg",
        source="section 4.1, Table 8",
    )
    def delta(self) -> float | None:
        """BG Act. (w/o FG) - BG Act., as a share."""
        before, after = self.bg_act.value, self.bg_act_without_fg.value
        return None if before is None or after is None else after - before


def _present(title: str, name: str) -> dict[str, Metric]:
    original = metrics_of(Metrics)[name]
    definition = f"{original.definition}, among only the classes that the dataset holds"
    return metric(title, definition, source=original.source)


@dataclass(frozen=True, slots=True)
class PresentMetrics(Record):
    """Table 2 among only the classes that the dataset holds, such as ImageNet-A's 200 of 1000."""

    classes: int
    top1: Rate = field(metadata=_present("Top-1 (present)", "top1"))
    top5: Rate = field(metadata=_present("Top-5 (present)", "top5"))
    det_top1: Rate = field(metadata=_present("Det. top-1 (present)", "det_top1"))
    det_top5: Rate = field(metadata=_present("Det. top-5 (present)", "det_top5"))


def _matched(title: str, name: str) -> dict[str, Metric]:
    original = metrics_of(Metrics)[name]
    definition = (
        f"{original.definition}, after the cells were pooled to the coarsest grid of the indexes compared: a "
        "pooled cell is foreground where any of its cells is, and shows the classes of the largest mean "
        "probability, of the five best of each cell"
    )
    return {"metric": replace(original, title=title, definition=definition, source="")}


@dataclass(frozen=True, slots=True)
class MatchedMetrics(Record):
    """Every rate "in any of n cells" on one grid for all indexes that stand side by side, and its null."""

    grid: tuple[int, int]
    fg_det: Rate = field(metadata=_matched("FG Det. (one grid)", "fg_det"))
    bg_act: Rate = field(metadata=_matched("BG Act. (one grid)", "bg_act"))
    bg_act_without_fg: Rate = field(metadata=_matched("BG Act. (w/o FG, one grid)", "bg_act_without_fg"))
    det_top1: Rate = field(metadata=_matched("Det. top-1 (one grid)", "det_top1"))
    det_top5: Rate = field(metadata=_matched("Det. top-5 (one grid)", "det_top5"))
    fg_det_chance: float | None = field(metadata=_by_chance(fg_det, "fg_cells", "fg_chance"))
    bg_act_chance: float | None = field(metadata=_by_chance(bg_act, "bg_cells", "bg_chance"))
    bg_act_without_fg_chance: float | None = field(
        metadata=_by_chance(bg_act_without_fg, "bg_cells_without_fg", "bg_chance_without_fg")
    )
    det_top1_chance: float | None = field(metadata=_by_chance(det_top1, "cells", "chance"))
    det_top5_chance: float | None = field(metadata=_by_chance(det_top5, "cells", "chance5"))


@dataclass(frozen=True, slots=True)
class ImageRow(Record):
    """The counts of one image that every metric adds up.

    What concerns (image, class) pairs is summed over the image's `classes` evaluation classes, so with one
    class it is 0 or 1; `label` and `predicted` are the image's own.
    """

    path: str
    label: int | None
    predicted: int | None
    top1: int
    top5: int
    fg_cells: int
    bg_cells: int
    fg_hits: int
    fg_cells_without_bg: int
    fg_hits_without_bg: int
    classes: int
    fg_det: int
    bg_act: int
    bg_act_without_fg: int
    det_top1: int
    det_top5: int
    real: int
    real_top1: int
    real_found: int
