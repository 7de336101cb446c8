"""Delta under every fill and under a placebo mask, class by class (A.6, changing the mask colour)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from auditor.measure.counts import Counts
from auditor.measure.rates import PAIR_RATES, whole_rate
from auditor.measure.significance import correct, mcnemar
from auditor.records import FillRow, FillTable, Placebo, Rate
from auditor.store import Index


def compare_fills(index: Index, fills: Sequence[str], counts: Counts, *, has_placebo: bool) -> FillTable:
    """The table of what `explain.fills.count_fills` counted: a row per class and fill.

    First all classes together, then each by the largest Delta that it has under any fill.
    """
    known = np.unique(counts["class"]).tolist()
    labels: list[int | None] = [None, *known] if len(known) > 1 else known
    rows = [
        _row(index, label, fill, _only(counts, label, number), has_placebo)
        for label in labels
        for number, fill in enumerate(fills)
    ]
    blocks = [rows[first : first + len(fills)] for first in range(0, len(rows), len(fills))]
    blocks.sort(key=_rank)
    ranked = [row for block in blocks for row in block]
    return FillTable(index.name, tuple(fills), tuple(_correct(ranked)))


def _rank(block: Sequence[FillRow]) -> tuple[bool, float]:
    deltas = [row.delta for row in block if row.delta is not None]
    return block[0].label is not None, -max(deltas, default=-np.inf)


def _only(counts: Counts, label: int | None, fill: int) -> Counts:
    chosen = counts["fill"] == fill
    if label is not None:
        chosen &= counts["class"] == label
    return {name: column[chosen] for name, column in counts.items()}


def _row(index: Index, label: int | None, fill: str, counts: Counts, has_placebo: bool) -> FillRow:
    before, after = counts["bg_hits"] > 0, counts["bg_hits_without_fg"] > 0
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    bg_act, bg_act_without_fg = _rates(counts)
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
    return whole_rate(PAIR_RATES["bg_act"](counts)), whole_rate(PAIR_RATES["bg_act_without_fg"](counts))


def _correct(rows: Sequence[FillRow]) -> list[FillRow]:
    """Fill in the q-values of both tests over all rows."""
    own = correct([row.p_value for row in rows])
    masks = correct([row.placebo.p_value if row.placebo else None for row in rows])
    return [
        replace(row, q_value=q, placebo=replace(row.placebo, q_value=mask) if row.placebo else None)
        for row, q, mask in zip(rows, own, masks, strict=True)
    ]
