"""Whether the cells of an index are worth reading: what they carry, and what they carry besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.records import Rate
from auditor.report.metric import metric
from auditor.report.record import NOT_WRITTEN, Record

Verdict = Literal["pass", "fail", "open"]


@dataclass(frozen=True, slots=True)
class Check(Record):
    """One thing that was looked at: `passes` is None where it could not be judged, as `sentence` says."""

    name: str
    passes: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Hygiene(Record):
    """`audit hygiene`: the numbers, the checks made of them, one verdict.

    What was not measured is None: without a head the class is not, with one variant survival is not.
    `changes` are those of `reach` at the distances 1, 2, ...; `high_norm_cells` (`path:row,col`) are the
    longest. What only pictures need: `ranks` are the images' own, `lengths` are counts between
    `length_edges`, on a scale of logarithms; `asked_at` and `same_at` (H, W) are the cells that asked from
    each place and those answered from it.
    """

    index: str
    checks: tuple[Check, ...]
    share: Rate | None = field(
        default=None,
        metadata=metric(
            "Cells that say so",
            "foreground cells whose first class is a label of their image ÷ foreground cells of labelled "
            "images",
        ),
    )
    share_shuffled: float | None = field(
        default=None,
        metadata=metric(
            "With labels exchanged",
            "Cells that say so when images exchange their labels: the mean of 199 times",
        ),
    )
    share_p_value: float | None = field(
        default=None,
        metadata=metric(
            "p",
            "the chance that exchanged labels do as well as the true ones, by 199 exchanges",
            unit="chance",
        ),
    )
    rank: float | None = field(
        default=None,
        metadata=metric(
            "Median rank",
            "the class's median place among all classes in its foreground cells, 0 for the first",
            unit="count",
        ),
    )
    rank_by_chance: float | None = field(
        default=None,
        metadata=metric("Middle rank", "(K - 1) / 2: the middle of K places", unit="count"),
    )
    ahead: Rate | None = field(
        default=None,
        metadata=metric(
            "Images ahead",
            "images in whose foreground cells the class's median rank is better than the middle one ÷ images "
            "with such cells; half of them by chance",
        ),
    )
    high_norm: Rate | None = field(
        default=None,
        metadata=metric(
            "High-norm cells",
            "cells whose feature is longer than twice the median and, in logarithms, 7 times as far "
            "above it as the upper quartile (Tukey's outer fence) ÷ cells with content; 1 in 800,000 where "
            "logarithms are normal. Behind a norm of the backbone's own, lengths show little",
            source="Darcet et al. 2023, Vision Transformers Need Registers",
        ),
    )
    same_place: float | None = field(
        default=None,
        metadata=metric(
            "Same place",
            "cells whose nearest cell of another image has the same row and column ÷ cells asked, up to "
            "1,000 in 100 images; the middle column is not asked. Images of one fixed "
            "camera are alike there too",
        ),
    )
    mirrored_place: float | None = field(
        default=None,
        metadata=metric(
            "Mirrored place",
            "cells whose nearest cell of another image has the same row and the mirrored column ÷ the same "
            "cells: what the layout of photographs gives, since they are as often the other way round",
        ),
    )
    place_by_chance: float | None = field(
        default=None, metadata=metric("Any place", "1 ÷ cells of an image: what a blind guess gives")
    )
    survives: Rate | None = field(
        default=None,
        metadata=metric(
            "Cells that stand alone",
            "foreground cells whose first class is present in them and stays first with the background "
            "covered ÷ foreground cells whose first class is present in them",
        ),
    )
    survives_elsewhere: float | None = field(
        default=None,
        metadata=metric(
            "Covered cells of others",
            "foreground cells of images without the class that show it with the background covered, averaged "
            "over the cells of Cells that stand alone",
        ),
    )
    read_covered: Rate | None = field(
        default=None,
        metadata=metric(
            "Recognised covered",
            "images whose first class is one of their labels with the background covered ÷ images whose "
            "first class is one as they are. Where it is low, the network cannot read covered images, or "
            "needs what was covered",
        ),
    )
    reach: int | None = field(
        default=None,
        metadata=metric(
            "Reach",
            "the effective receptive field, in cells: the last distance from an object at which background "
            "cells change at least a tenth as much as those beside it once all objects are covered. A cell's "
            "change is that of the probability of its first class; the last distance at which 30 cells lie "
            "is the last that is asked",
            unit="count",
        ),
    )
    reach_asked: int | None = field(
        default=None, metadata=metric("Farthest", "the last distance that is asked for Reach", unit="count")
    )
    changes: tuple[float, ...] = ()
    high_norm_cells: tuple[str, ...] = ()
    norm_limit: float | None = None
    ranks: tuple[float, ...] = field(default=(), metadata=NOT_WRITTEN)
    length_edges: tuple[float, ...] = field(default=(), metadata=NOT_WRITTEN)
    lengths: tuple[int, ...] = field(default=(), metadata=NOT_WRITTEN)
    asked_at: tuple[tuple[int, ...], ...] = field(default=(), metadata=NOT_WRITTEN)
    same_at: tuple[tuple[int, ...], ...] = field(default=(), metadata=NOT_WRITTEN)

    @property
    def verdict(self) -> Verdict:
        """Fail where any check fails, open where none could be judged, else pass."""
        results = {check.passes for check in self.checks}
        return "fail" if False in results else "pass" if True in results else "open"

    @property
    def sentence(self) -> str:
        """The verdict with its reasons."""
        passed = sum(check.passes is True for check in self.checks)
        if self.verdict == "fail":
            reasons = "; ".join(check.sentence for check in self.checks if check.passes is False)
            return f"Its cells are not worth reading as they are: {reasons}."
        if self.verdict == "open":
            return "Whether its cells are worth reading could not be judged."
        checks = f"{passed} of {len(self.checks)}"
        return f"Its cells are worth reading: every check that could be judged passed, {checks}."

    @property
    def brief(self) -> str:
        """The verdict in a few words: which checks fail, or how many pass."""
        failed = [check.name for check in self.checks if check.passes is False]
        passed = sum(check.passes is True for check in self.checks)
        return f"fail ({', '.join(failed)})" if failed else f"{self.verdict} ({passed} of {len(self.checks)})"
