"""From counted rows to rates: of a whole index, of a class, on average over images; and their intervals.

A metric's definition (`questions/metrics/record.py`) takes counts with one row per pair or per image and
gives hits and totals per row, so that the same one serves a whole index (the sum), a class (the sum of its
rows) and an image.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.records import Rate

Rows = tuple[NDArray[Any], NDArray[Any]]
"""Hits and totals, one row per pair or image."""


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
