"""Delta under every fill and under a placebo mask, class by class (A.6, changing the mask colour)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from auditor.errors import DatasetError
from auditor.explain.fill_counts import count_fills
from auditor.measure.absence import explain_absence
from auditor.measure.counts import Counts, require_head
from auditor.measure.rates import least_change, whole_rate
from auditor.measure.significance import correct, mcnemar
from auditor.questions.context.ask import JUDGED, p_values
from auditor.questions.fills.record import FillRow, FillTable, Placebo
from auditor.questions.metrics.record import Metrics
from auditor.records import Fill, Rate
from auditor.records.watch import Silence, Watch
from auditor.report.metric import metrics_of
from auditor.report.wish import Answer, Wish
from auditor.store import Index

FILLS: tuple[Fill, ...] = ("mean", "black", "blur")
OCCLUDED = 24  # images of the class, on a page, under every fill


Family = Mapping[int | None, float | None]
"""Tests of classes by their id, uncorrected."""


def fills(
    index: Index,
    *,
    label: int | None = None,
    under: Sequence[Fill] = (),
    has_placebo: bool = False,
    limit: int | None = None,
    shows_all: bool = False,
    watch: Watch | None = None,
) -> FillTable:
    """Delta of every class, or of one, under several fills, by default under the index's own alone.

    With `has_placebo` the foreground's shape is laid over background as well; at most `limit` images of a
    class are occluded. `watch` is told how it goes.
    """
    require_head(index)
    if (reason := explain_absence(index)) is not None:
        raise DatasetError(reason)
    under, watch = tuple(under) or (index.manifest.fill,), watch or Silence()
    counts = count_fills(index, under, label=label, has_placebo=has_placebo, limit=limit, watch=watch)
    others: Family = {} if label is None else p_values(index)
    table = compare_fills(index, under, counts, has_placebo=has_placebo, others=others)
    return replace(table, shows_all=shows_all)


def compare_fills(
    index: Index, fills: Sequence[str], counts: Counts, *, has_placebo: bool, others: Family | None = None
) -> FillTable:
    """The table of what `explain.fill_counts.count_fills` counted: a row per class and fill.

    First all classes together, then each by what the data support of its Delta under any fill. `others` are
    the index's own tests of Delta of classes that were not counted here: they belong to the same family.
    """
    known = np.unique(counts["class"]).tolist()
    labels: list[int | None] = [None, *known] if len(known) > 1 else known
    rows = [
        _row(index, label, fill, _only(counts, label, number), has_placebo)
        for label in labels
        for number, fill in enumerate(fills)
    ]
    rows = [
        row for fill in fills for row in _correct([row for row in rows if row.fill == fill], others or {})
    ]
    blocks = [[row for row in rows if row.label == label] for label in labels]
    ranked = [row for block in sorted(blocks, key=_rank) for row in block]
    return FillTable(index.name, tuple(fills), tuple(ranked), max(len(known), len(others or {})))


def _rank(block: Sequence[FillRow]) -> tuple[bool, float, float]:
    least = [row.least_delta for row in block if row.least_delta is not None]
    deltas = [row.delta for row in block if row.delta is not None]
    return block[0].label is not None, -max(least, default=-np.inf), -max(deltas, default=-np.inf)


def _only(counts: Counts, label: int | None, fill: int) -> Counts:
    chosen = counts["fill"] == fill
    if label is not None:
        chosen &= counts["class"] == label
    return {name: column[chosen] for name, column in counts.items()}


def _row(index: Index, label: int | None, fill: str, counts: Counts, has_placebo: bool) -> FillRow:
    before, after = counts["bg_hits"] > 0, counts["bg_hits_without_fg"] > 0
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    bg_act, bg_act_without_fg = _rates(counts)
    total, both = bg_act.total, int((before & after).sum())
    return FillRow(
        label=label,
        name="all classes" if label is None else index.manifest.classes[label].name,
        fill=fill,
        images=len(np.unique(counts["image"])),
        bg_act=bg_act,
        bg_act_without_fg=bg_act_without_fg,
        gained=gained,
        lost=lost,
        p_value=mcnemar(gained, lost) if bg_act.total else None,
        q_value=None,
        placebo=_placebo(counts) if has_placebo else None,
        least_delta=least_change(both, gained, lost, total) if total >= JUDGED else None,
    )


def _placebo(counts: Counts) -> Placebo:
    """Both masks over the cells that neither of them touches."""
    with_object, with_placebo = (_share(counts, name) for name in ("fg", "placebo"))
    bg_act, bg_act_without_fg = _rates(with_object)
    shows = [part["bg_hits_without_fg"] > 0 for part in (with_object, with_placebo)]
    only_object, only_placebo = int((shows[0] & ~shows[1]).sum()), int((shows[1] & ~shows[0]).sum())
    return Placebo(
        left_out=int((counts["shared_cells"] == 0).sum()),
        bg_act=bg_act,
        bg_act_without_fg=bg_act_without_fg,
        bg_act_without_placebo=_rates(with_placebo)[1],
        only_object=only_object,
        only_placebo=only_placebo,
        p_value=mcnemar(only_object, only_placebo) if bg_act.total else None,
        q_value=None,
    )


def _share(counts: Counts, mask: str) -> Counts:
    """The shared cells' counts under the names that the definition of BG Act. knows."""
    cells = counts["shared_cells"]
    hits, after = counts["shared_hits"], counts[f"shared_hits_without_{mask}"]
    return {"bg_cells": cells, "bg_hits": hits, "bg_cells_without_fg": cells, "bg_hits_without_fg": after}


def _rates(counts: Counts) -> tuple[Rate, Rate]:
    """BG Act. and BG Act. (w/o FG)."""
    return _rate(counts, "bg_act"), _rate(counts, "bg_act_without_fg")


def _rate(counts: Counts, name: str) -> Rate:
    count = metrics_of(Metrics)[name].counts
    assert count is not None
    return whole_rate(count(counts))


def _correct(rows: Sequence[FillRow], others: Family) -> list[FillRow]:
    """Fill in the q-values of both tests under one fill: a family is one question to all its classes.

    All classes together are one test, and no member of the family. `others` join the family of Delta.
    """
    own = _over_classes({**others, **{row.label: row.p_value for row in rows}})
    masks = _over_classes({row.label: row.placebo.p_value if row.placebo else None for row in rows})
    return [
        replace(
            row,
            q_value=own[row.label],
            placebo=replace(row.placebo, q_value=masks[row.label]) if row.placebo else None,
        )
        for row in rows
    ]


def _over_classes(tests: Mapping[int | None, float | None]) -> dict[int | None, float | None]:
    """Corrected over the classes; all of them together (None) are as they were."""
    classes = [label for label in tests if label is not None]
    corrected = correct([tests[label] for label in classes])
    return {None: tests.get(None), **dict(zip(classes, corrected, strict=True))}


# ------------------------------------------------------------------------------------- on a page


def report(index: Index, wish: Wish) -> Iterator[Answer | str]:
    """On a page: the class of its image under several fills, and under a placebo (A.6)."""
    if wish.subject is None:
        return
    label, sentences = wish.subject.label, Sentences()
    table = fills(index, label=label, under=FILLS, has_placebo=True, limit=OCCLUDED, watch=sentences)
    words = ("--class", str(label), "--fill", ",".join(FILLS), "--placebo", "--images", str(OCCLUDED))
    yield Answer(table, words)
    yield from sentences.told


class Sentences(Silence):
    """A watch that keeps what it is told for the page's notes: a page shows no progress of images."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def say(self, text: str) -> None:
        """Keep the sentence."""
        self.told.append(text)
