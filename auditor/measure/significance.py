"""Exact tests over images, and the correction for having looked at many classes."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma


def mcnemar(gained: int, lost: int) -> float:
    """McNemar's exact test: were the images that changed as likely to gain as to lose?"""
    from scipy.stats import binomtest

    changed = gained + lost
    return float(binomtest(gained, changed, 0.5).pvalue) if changed else 1.0


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
    from scipy.stats import binomtest

    return float(binomtest(hits, total, chance, alternative="greater").pvalue) if total else 1.0


def correct(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini-Hochberg's q-values of those that are tests; None stays None."""
    from scipy.stats import false_discovery_control

    tested = [p for p in p_values if p is not None]
    corrected = iter(false_discovery_control(tested) if tested else ())
    return [None if p is None else float(next(corrected)) for p in p_values]
