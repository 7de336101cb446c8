"""Every metric of the paper, once: which counts are its hits, which its total.

Each definition takes counts with one row per pair or per image and gives hits and totals per row, so the same
one serves a whole index (the sum), a class (the sum of its rows) and an image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.measure.counts import Counts, any_of
from auditor.records import Rate

Rows = tuple[NDArray[Any], NDArray[Any]]
"""Hits and totals, one row per pair or image."""

Definition = Callable[[Counts], Rows]

PAIR_RATES: Mapping[str, Definition] = {
    "loc": lambda c: (c["fg_hits"], c["fg_cells"]),
    "fg_det": lambda c: (any_of(c["fg_hits"]), any_of(c["fg_cells"])),
    "bg_act": lambda c: (any_of(c["bg_hits"]), any_of(c["bg_cells"])),
    "bg_act_without_fg": lambda c: (any_of(c["bg_hits_without_fg"]), any_of(c["bg_cells_without_fg"])),
    "det_top1": lambda c: (any_of(c["hits"]), any_of(c["cells"])),
    "det_top5": lambda c: (any_of(c["hits5"]), any_of(c["cells"])),
}
"""Over (image, class) pairs; `loc` here is one class's, which counts only its own cells."""

IMAGE_RATES: Mapping[str, Definition] = {
    "top1": lambda c: (c["top1"], c["labelled"]),
    "top5": lambda c: (c["top5"], c["labelled"]),
    "loc": lambda c: (c["fg_hits"], c["fg_cells"]),
    "loc_without_bg": lambda c: (c["fg_hits_without_bg"], c["fg_cells_without_bg"]),
    "real_acc": lambda c: (c["real_top1"], any_of(c["real"])),
    "real_rec": lambda c: (c["real_found"], c["real"]),
}
"""Over images; `loc` counts each foreground cell once, whichever of its classes was found."""


def whole_rate(rows: Rows) -> Rate:
    """Hits over totals of all rows."""
    return Rate(int(rows[0].sum()), int(rows[1].sum()))


def rates_by(groups: NDArray[Any], rows: Rows, size: int) -> list[Rate]:
    """One rate for each of the groups 0 .. size - 1."""
    hits, totals = (np.bincount(groups, weights=part, minlength=size).astype(np.int64) for part in rows)
    return [Rate(int(hit), int(total)) for hit, total in zip(hits, totals, strict=True)]


def mean_rate(rows: Rows) -> float | None:
    """The mean of the rows' own rates, over rows whose total is not zero."""
    hits, totals = rows
    counted = totals > 0
    return float(np.mean(hits[counted] / totals[counted])) if counted.any() else None


def wilson(rate: Rate) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a rate; None where nothing was counted."""
    if rate.value is None:
        return None
    z, n, p = 1.959963984540054, rate.total, rate.value
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
