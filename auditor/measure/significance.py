"""Exact tests over images, and the correction for having looked at many classes.

What every question asks does without `scipy.stats`, which gives the same and takes longer to load than all
classes to be tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer]

ROUNDING = 1e-6  # far more than logarithms of factorials of millions are off by


def mcnemar(gained: int, lost: int) -> float:
    """McNemar's exact test: were the images that changed as likely to gain as to lose?

    The two-sided binomial test of `gained` in gained + lost at 1/2: twice the smaller tail, rounded once.
    """
    changed, fewer = gained + lost, min(gained, lost)
    ways = tail = 1
    for k in range(fewer):
        ways = ways * (changed - k) // (k + 1)
        tail += ways
    return min(1.0, tail / 2 ** (changed - 1)) if changed else 1.0


def fisher(hits: int, count: int, other_hits: int, other_count: int) -> float:
    """Fisher's exact test, one-sided: as many hits among `count` if all hits fell on all images alike."""
    drawn = hits + other_hits
    chances = (
        _log_choose(count, k) + _log_choose(other_count, drawn - k)
        for k in range(max(hits, drawn - other_count), min(count, drawn) + 1)
    )
    whole = _log_choose(count + other_count, drawn)
    return min(1.0, sum(exp(chance - whole) for chance in chances))


def _log_choose(count: int, taken: int) -> float:
    return lgamma(count + 1) - lgamma(taken + 1) - lgamma(count - taken + 1)


def exceeds(hits: int, total: int, chance: float) -> float:
    """Exact binomial test, one-sided: would so many of the total, or more, be hits by this chance each?"""
    return float(at_least(np.array([hits]), np.array([total]), np.array([chance]))[0])


def at_least(
    hits: NDArray[np.number], totals: NDArray[np.number], chances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same of many at once, (n,)."""
    from scipy.special import betainc

    wanted = np.maximum(hits, 1)
    tail = betainc(wanted, np.maximum(totals - wanted + 1, 1e-9), chances.clip(0, 1))
    return np.where(hits > 0, tail, 1.0)


def over_represented(
    hits: Counts, totals: Counts, drawn: Counts, everything: Counts | int, level: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fisher's exact test, one-sided, of groups (g) against values (v); p, and q over all, each (g, v).

    Of `everything` images `totals` have a value; `drawn` were drawn at random: would as many as `hits`, or
    more, have it? A p whose q is not below `level` may be given as 1, which changes no q that is.
    """
    from scipy.stats import false_discovery_control, hypergeom

    tables = np.stack(np.broadcast_arrays(hits, totals, drawn, everything), axis=-1).astype(np.int64)
    p_values, some = np.ones(tables.shape[:-1]), tables[..., 0] > 0  # no hits at all are no fewer than any
    if level < 1:
        some[some] = _may_be_certain(_exactly(tables[some]), p_values.size, level)
    found, which = np.unique(tables[some], axis=0, return_inverse=True)  # most groups repeat a few tables
    own, of_value, of_group, all_ = found.T
    p_values[some] = np.clip(hypergeom.sf(own - 1, all_, of_value, of_group), 0.0, 1.0)[which.ravel()]
    return p_values, false_discovery_control(p_values.ravel()).reshape(p_values.shape)


def _may_be_certain(least: NDArray[np.float64], tests: int, level: float) -> NDArray[np.bool_]:
    """Which tests may have a q below the level, from what their p is at least.

    Benjamini and Hochberg reject all up to the last that lies below its rank times level / tests; were a p
    smaller, they would reject no fewer.
    """
    bounds = (1 + ROUNDING) * level / tests * np.arange(1, len(least) + 1)
    below = bounds[np.sort(least) <= bounds]
    return np.asarray(least <= below.max(initial=-1.0), dtype=np.bool_)


def _exactly(tables: Counts) -> NDArray[np.float64]:
    """The chance of exactly so many hits: no more than that of so many or more, and far sooner found."""
    from scipy.special import gammaln

    log = gammaln(np.arange(int(tables.max(initial=0)) + 1) + 1.0)
    hits, totals, drawn, everything = np.moveaxis(tables, -1, 0)
    others, rest = everything - totals, drawn - hits
    ways = log[totals] - log[hits] - log[totals - hits] + log[others] - log[rest] - log[others - rest]
    return np.asarray(np.exp(ways - (log[everything] - log[drawn] - log[everything - drawn])))


def correct(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini-Hochberg's q-values of those that are tests; None stays None."""
    tested = np.array([p for p in p_values if p is not None], dtype=np.float64)
    order = np.argsort(-tested)
    ranks = len(tested) - np.arange(len(tested))
    q_values = np.empty_like(tested)
    q_values[order] = np.minimum(np.minimum.accumulate(tested[order] * len(tested) / ranks), 1.0)
    corrected = iter(q_values.tolist())
    return [None if p is None else next(corrected) for p in p_values]
