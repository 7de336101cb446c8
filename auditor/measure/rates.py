"""From counted rows to rates: of a whole index, of a class, on average over images; and their intervals.

A metric's definition (`questions/metrics/record.py`) takes counts with one row per pair or per image and
gives hits and totals per row, so that the same one serves a whole index (the sum), a class (the sum of its
rows) and an image.
"""

from __future__ import annotations

from math import ceil, floor, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.measure.significance import fisher, mcnemar
from auditor.records import Rate

SURE = 0.05  # of an exact test, beside intervals at 95 %
ROUNDING = 1e-6  # of a mean of shares times their count, which may be a whole number

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


def means_by(groups: NDArray[Any], rows: Rows, size: int) -> list[float | None]:
    """The mean of the rows' own rates in each group, over rows whose total is not zero."""
    hits, totals = rows
    counted = totals > 0
    sums = np.bincount(groups[counted], weights=hits[counted] / totals[counted], minlength=size)
    counts = np.bincount(groups[counted], minlength=size)
    return [float(sums[group] / count) if count else None for group, count in enumerate(counts)]


def wilson(rate: Rate) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a rate; None where nothing was counted."""
    return None if rate.value is None else wilson_of(rate.value, rate.total)


def wilson_of(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a mean of `count` shares in [0, 1].

    Summed over all outcomes, it holds the true rate in 95.0 to 95.6 % of draws on average over rates, in 93 %
    at least where 5 hits and 5 misses are expected; of a rate near 0 or 1, in 82 % (2 draws) to 93 % (2,000).
    No shares vary more than zeros and ones of the same mean, so for others it is wide rather than narrow.
    """
    z, n, p = 1.959963984540054, count, share
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def least_difference(first: tuple[float, int], second: tuple[float, int]) -> float:
    """The lower end of the 95 % interval of a difference of two means of shares, each with its count.

    Newcombe's hybrid of their Wilson intervals (1998, method 10 for independent samples); above zero only
    where Fisher's exact test of the whole hits in them is below 0.025, since three of three are above half of
    the others' by chance in one of eight draws. So it is in 2.5 % at most, and lies below the true difference
    in 96 to 98 % of draws on average over rates.
    """
    (p, n), (q, m) = first, second
    end = p - q - sqrt((p - wilson_of(p, n)[0]) ** 2 + (wilson_of(q, m)[1] - q) ** 2)
    if end <= 0:
        return end
    hits, others = floor(p * n + ROUNDING), ceil(q * m - ROUNDING)
    return end if fisher(hits, n, others, m) <= SURE / 2 else 0.0


def lower_mean(values: NDArray[np.float64], variance: float = 0.0) -> float | None:
    """The lower end of the 95 % t-interval of a mean; None of fewer than two values.

    `variance` is that of what was subtracted from all values, itself a mean. Below the true mean in 97.5 % of
    draws where values are normal; of few and skewed ones in fewer.
    """
    from scipy.special import stdtrit  # what scipy.stats.t.ppf calls, and takes a second to load

    if len(values) < 2:
        return None
    half = stdtrit(len(values) - 1, 0.975) * sqrt(values.var(ddof=1) / len(values) + variance)
    return float(values.mean() - half)


def least_change(both: int, gained: int, lost: int, total: int) -> float:
    """The lower end of the 95 % interval of (both + gained - both - lost) / total, over the same images.

    Newcombe's hybrid for paired samples (1998, method 10), which takes their correlation into account; above
    zero only where McNemar's exact test is below 0.05, since two of two that gain would be above it by chance
    in up to one of four draws. So it is in 2.5 % at most, and lies below the true change in
    98 to 99 % of draws on average over rates.
    """
    neither = total - both - gained - lost
    after, before = both + gained, both + lost
    down = after / total - wilson_of(after / total, total)[0]
    up = wilson_of(before / total, total)[1] - before / total
    margins = after * (total - after) * before * (total - before)
    excess = float(both * neither - gained * lost)
    if excess > 0:  # the correction for continuity never turns the sign
        excess = max(excess - total / 2, 0.0)
    phi = excess / sqrt(margins) if margins else 0.0
    end = (gained - lost) / total - sqrt(max(down * down - 2 * phi * down * up + up * up, 0.0))
    return end if end <= 0 or mcnemar(gained, lost) <= SURE else 0.0
