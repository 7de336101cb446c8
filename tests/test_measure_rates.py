"""Rates and the ends of their intervals, number by number: SciPy's and those that were published."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact, ttest_1samp

from auditor.measure.rates import (
    least_change,
    least_difference,
    lower_mean,
    mean_rate,
    means_by,
    rates_by,
    whole_rate,
    wilson,
    wilson_of,
)
from auditor.records import Rate

ROWS = (np.array([1, 0, 2, 0, 1]), np.array([1, 0, 4, 1, 2]))
GROUPS = np.array([0, 1, 0, 2, 2])


def test_counts_are_added_and_shares_are_averaged() -> None:
    assert whole_rate(ROWS) == Rate(4, 8)
    assert rates_by(GROUPS, ROWS, 4) == [Rate(3, 5), Rate(0, 0), Rate(1, 3), Rate(0, 0)]
    assert mean_rate(ROWS) == (1 / 1 + 2 / 4 + 0 / 1 + 1 / 2) / 4
    assert means_by(GROUPS, ROWS, 4) == [(1 / 1 + 2 / 4) / 2, None, (0 / 1 + 1 / 2) / 2, None]
    assert mean_rate((np.array([0]), np.array([0]))) is None


@pytest.mark.parametrize(  # (0, 27) and (16, 16) round to beyond the ends
    ("hits", "total"), [(0, 1), (1, 1), (0, 27), (16, 16), (3, 7), (260, 1000), (1, 100_000)]
)
def test_wilsons_interval_is_scipys(hits: int, total: int) -> None:
    truth = binomtest(hits, total).proportion_ci(method="wilson")
    found = wilson(Rate(hits, total))
    assert found == pytest.approx((truth.low, truth.high), rel=1e-9, abs=1e-12)
    assert found == wilson_of(hits / total, total)
    assert 0 <= found[0] <= found[1] <= 1
    assert wilson(Rate(0, 0)) is None


def test_the_end_of_a_difference_is_newcombes() -> None:
    """His example (a): 56 of 70 and 48 of 80 differ by 0.0524 to 0.3339."""
    assert least_difference((56 / 70, 70), (48 / 80, 80)) == pytest.approx(0.0524, abs=5e-5)
    assert least_difference((48 / 80, 80), (56 / 70, 70)) == pytest.approx(-0.3339, abs=5e-5)


def test_a_difference_is_none_unless_the_exact_test_says_so() -> None:
    """By whole hits: what is between them counts for less of the first and for more of the second."""
    decided = set()
    for hits in range(13):
        for others in range(0, 41, 2):
            exact = fisher_exact([[hits, 12 - hits], [others, 40 - others]], alternative="greater").pvalue
            found = least_difference((hits / 12, 12), (others / 40, 40))
            assert (found > 0) <= (exact <= 0.025)
            decided.add((found > 0, exact <= 0.025, exact <= 0.05))
            if 0 < hits < 12 and 0 < others < 40:
                between = least_difference(((hits - 0.5) / 12, 12), ((others - 0.5) / 40, 40))
                fewer = fisher_exact([[hits - 1, 13 - hits], [others, 40 - others]], alternative="greater")
                assert (between > 0) <= (fewer.pvalue <= 0.025)
    assert (False, False, True) in decided
    assert (True, True, True) in decided


def test_rounding_takes_no_hit_away() -> None:
    """1 / 49 * 49 is less than one, and one hit of 49 beside none of 5,000 is more than chance."""
    assert 1 / 49 * 49 < 1
    assert fisher_exact([[1, 48], [0, 5000]], alternative="greater").pvalue < 0.025
    assert least_difference((1 / 49, 49), (0.0, 5000)) > 0


def test_the_lower_end_of_a_mean_is_the_t_tests() -> None:
    rng = np.random.default_rng(0)
    for count in (2, 3, 30):
        values = rng.normal(1, 2, count)
        low = ttest_1samp(values, 0).confidence_interval(0.95).low
        assert lower_mean(values) == pytest.approx(low)
        half = (values.mean() - low) * np.sqrt(1 + 0.3 * count / values.var(ddof=1))
        assert lower_mean(values, 0.3) == pytest.approx(values.mean() - half)
    assert lower_mean(np.array([1.0])) is None


def newcombe(a: int, b: int, c: int, d: int) -> float:
    """Method 10 of his paper on paired samples, as it stands there: the lower end of (b - c) / n."""
    n = a + b + c + d
    low1, _ = wilson_of((a + b) / n, n)
    _, high2 = wilson_of((a + c) / n, n)
    first, second = (a + b) / n - low1, high2 - (a + c) / n
    product = (a + b) * (c + d) * (a + c) * (b + d)
    numerator = a * d - b * c
    if numerator > n / 2:
        numerator -= n / 2
    elif numerator > 0:
        numerator = 0
    phi = numerator / product**0.5 if product else 0.0
    return (b - c) / n - (first**2 - 2 * phi * first * second + second**2) ** 0.5


def test_the_end_of_a_change_is_newcombes() -> None:
    rng = np.random.default_rng(1)
    for a, b, c, d in [
        (36, 12, 2, 0),
        (20, 12, 2, 16),
        (53, 0, 0, 1),
        *rng.integers(0, 40, (300, 4)).tolist(),
    ]:
        if not a + b + c + d:
            continue
        written = newcombe(a, b, c, d)
        exact = binomtest(b, b + c).pvalue if b + c else 1.0
        wanted = written if written <= 0 or exact <= 0.05 else 0.0
        assert least_change(a, b, c, a + b + c + d) == pytest.approx(wanted, abs=1e-12)
