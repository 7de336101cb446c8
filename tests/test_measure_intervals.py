"""Intervals hold the truth as often as they say, and tests find nothing where nothing is.

Chances are summed over every outcome of a binomial or multinomial draw where there are few enough, so that no
luck decides; the rest is simulated with a fixed seed. Nominal are 95 % for two ends and 97.5 % for one.
"""

from __future__ import annotations

from itertools import product
from math import lgamma
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, false_discovery_control, fisher_exact

from auditor.measure.rates import least_change, least_difference, wilson_of
from auditor.measure.significance import at_least, correct, exceeds, fisher, mcnemar
from auditor.search.class_shares import ImageClasses, class_shares

RATES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.98])


def draws(count: int, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chance (rates, count + 1) of each number of hits."""
    return np.asarray(binom.pmf(np.arange(count + 1), count, rates[:, None]))


@pytest.mark.parametrize(
    ("count", "worst", "worst_inside"),
    # over 999 rates; `inside`, where five hits and five misses are expected at least
    [(2, 0.82, 1), (5, 0.83, 1), (10, 0.84, 0.97), (50, 0.86, 0.93), (500, 0.90, 0.93), (2000, 0.93, 0.935)],
)
def test_wilson_holds_the_rate(count: int, worst: float, worst_inside: float) -> None:
    rates = np.linspace(0.001, 0.999, 999)
    ends = np.array([wilson_of(hits / count, count) for hits in range(count + 1)])
    chances, wanted = draws(count, rates), rates[:, None]
    two = (chances * ((ends[:, 0] <= wanted) & (wanted <= ends[:, 1]))).sum(1)
    low, high = ((chances * side).sum(1) for side in (ends[:, 0] <= wanted, wanted <= ends[:, 1]))
    assert 0.949 <= two.mean() <= 0.957  # seen: 0.9564 for 2, 0.9498 for 2,000
    assert min(low.mean(), high.mean()) >= 0.9745
    assert min(two.min(), low.min(), high.min()) >= worst
    inside = (np.minimum(rates, 1 - rates) * count) >= 5
    assert two[inside].min(initial=1) >= worst_inside


def test_wilson_is_wide_rather_than_narrow_for_shares() -> None:
    """Means of shares of nine cells: seen 0.95 to 1 in 2,000 draws of each."""
    rng = np.random.default_rng(0)
    for count, rate, spread in product((5, 20, 100), (0.1, 0.5), (0.3, 2.0, 20.0)):
        shares = rng.beta(rate * spread, (1 - rate) * spread, (2000, count))
        means = rng.binomial(9, shares).mean(axis=1) / 9
        ends = np.array([wilson_of(mean, count) for mean in means])
        held = ((ends[:, 0] <= rate) & (rate <= ends[:, 1])).mean()
        assert held >= 0.94, (count, rate, spread)


@pytest.mark.parametrize(
    ("count", "others", "mean", "worst"),
    [(2, 50, 0.965, 0.90), (3, 500, 0.965, 0.85), (20, 500, 0.965, 0.92), (50, 50, 0.975, 0.93)],
)
def test_the_end_of_a_difference(count: int, others: int, mean: float, worst: float) -> None:
    """Shares of zero or one, its worst case: above zero by chance no more often than it says."""
    ends = np.array(
        [[least_difference((x / count, count), (y / others, others)) for y in range(others + 1)]
         for x in range(count + 1)]
    )  # fmt: skip
    pairs = np.einsum("ix,jy->ijxy", draws(count, RATES), draws(others, RATES))
    truth = (RATES[:, None] - RATES)[..., None, None]
    held = (pairs * (ends <= truth + 1e-12)).sum((2, 3))
    assert held.mean() >= mean
    assert held.min() >= worst
    assert (np.einsum("iixy->ixy", pairs) * (ends > 0)).sum((1, 2)).max() <= 0.025


def test_fishers_exact_test_is_scipys() -> None:
    rng = np.random.default_rng(2)
    for count, others in product((1, 2, 3, 20, 150), (1, 50, 3000)):
        hits, other_hits = int(rng.integers(0, count + 1)), int(rng.integers(0, others + 1))
        table = [[hits, count - hits], [other_hits, others - other_hits]]
        truth = fisher_exact(table, alternative="greater").pvalue
        assert fisher(hits, count, other_hits, others) == pytest.approx(truth, rel=1e-6, abs=1e-300)


def test_the_end_of_a_difference_of_shares() -> None:
    """Shares of nine cells, as the background has: seen 0.98 on average, 0.94 in the worst case."""
    rng = np.random.default_rng(1)
    held = []
    for count, rate, spread, other in product((2, 5, 20), (0.02, 0.1, 0.5), (0.3, 2.0), (0.01, 0.1)):
        shape = (200, count)
        firsts = rng.binomial(9, rng.beta(rate * spread, (1 - rate) * spread, shape)).mean(1) / 9
        seconds = rng.binomial(9, rng.beta(other * spread, (1 - other) * spread, (200, 300))).mean(1) / 9
        ends = [least_difference((a, count), (b, 300)) for a, b in zip(firsts, seconds, strict=True)]
        held.append(np.mean(np.array(ends) <= rate - other))
    assert np.mean(held) >= 0.975
    assert min(held) >= 0.9


@pytest.mark.parametrize(("count", "worst"), [(2, 0.83), (5, 0.91), (10, 0.92), (20, 0.91)])
def test_the_end_of_a_change(count: int, worst: float) -> None:
    """Every outcome of paired draws: seen 0.985 to 0.991 on average, and above zero by chance in 2.1 %."""
    outcomes = [
        (both, gained, lost)
        for both in range(count + 1)
        for gained in range(count + 1 - both)
        for lost in range(count + 1 - both - gained)
    ]
    ends = np.array([least_change(*outcome, count) for outcome in outcomes])
    numbers = np.column_stack([outcomes, count - np.sum(outcomes, axis=1)])
    factorials = np.array([lgamma(n + 1) for n in range(count + 1)])
    ways = factorials[count] - factorials[numbers].sum(1)
    held, by_chance = [], []
    for both, gained, lost in product((0, 0.01, 0.05, 0.2, 0.5, 0.9), repeat=3):
        if (neither := 1 - both - gained - lost) < -1e-9:
            continue
        logs = np.log(np.maximum([both, gained, lost, neither], 1e-300))
        chances = np.exp(ways + numbers @ logs)
        held.append((chances * (ends <= gained - lost + 1e-12)).sum())
        if gained == lost:
            by_chance.append((chances * (ends > 0)).sum())
    assert np.mean(held) >= 0.98
    assert min(held) >= worst
    assert max(by_chance) <= 0.025


# ------------------------------------------------------------------------------------- under the null


@pytest.mark.parametrize("changed", [1, 2, 5, 6, 10, 37, 200])
def test_mcnemar_says_no_more_than_its_p_value(changed: int) -> None:
    """Over all outcomes: the chance of a p-value of at most p is at most p, and equals it where it is one."""
    p_values = np.array([mcnemar(gained, changed - gained) for gained in range(changed + 1)])
    chances = binom.pmf(np.arange(changed + 1), changed, 0.5)
    for p in p_values:
        assert chances[p_values <= p * (1 + 1e-9)].sum() == pytest.approx(p)


def labelled(rng: np.random.Generator, sizes: list[int]) -> ImageClasses:
    """Classes of these sizes, in an order of images that says nothing."""
    classes = np.repeat(np.arange(len(sizes)), sizes)
    names = tuple(f"class {k}" for k in range(len(sizes)))
    return ImageClasses(names, rng.permutation(len(classes)), classes)


def test_over_representation_says_no_more_than_its_p_value() -> None:
    """Groups drawn at random: p-values are uniform or larger, and hardly a family holds a false discovery."""
    rng = np.random.default_rng(2)
    classes, found, p_values = labelled(rng, [3, 10, 40, 40, 107]), [], []
    for _ in range(600):
        groups = [rng.choice(200, size, replace=False) for size in (5, 20, 60)]
        rows = [row for shares in class_shares(classes, groups) for row in shares]
        p_values.append([row.p_value for row in rows])
        found.append(any(row.q_value <= 0.05 for row in rows))
    values = np.array(p_values)
    for p in (0.01, 0.05, 0.2, 0.5):
        assert (values <= p).mean() <= p + 0.01
    assert np.mean(found) <= 0.05 + 3 * (0.05 * 0.95 / 600) ** 0.5  # seen: 0.02


def test_over_representation_is_uniform_where_it_can_be() -> None:
    """A large class and a large group give many p-values: their steps are small, and they reach every p."""
    rng = np.random.default_rng(3)
    classes = labelled(rng, [1000, 1000])
    p_values = []
    for _ in range(400):
        (shares,) = class_shares(classes, [rng.choice(2000, 500, replace=False)])
        p_values.append(next(row.p_value for row in shares if row.name == "class 0"))
    for p in (0.05, 0.25, 0.5, 0.75):
        assert np.mean(np.array(p_values) <= p) == pytest.approx(p, abs=0.075)


@pytest.mark.parametrize("real", [0, 5, 40])
def test_corrected_tests_hold_the_false_discovery_rate(real: int) -> None:
    """Of 50 classes some gain in earnest; of those with q <= 0.05, 5 % at most do not. Seen: 0.01 to 0.02."""
    rng = np.random.default_rng(4)
    false, power = [], []
    table: dict[tuple[int, int], float] = {}
    for _ in range(400):
        changed = rng.integers(5, 60, 50)
        gained = rng.binomial(changed, np.where(np.arange(50) < real, 0.85, 0.5))
        pairs = list(zip(gained.tolist(), (changed - gained).tolist(), strict=True))
        table |= {pair: mcnemar(*pair) for pair in pairs if pair not in table}
        chosen = np.array(correct([table[pair] for pair in pairs])) <= 0.05
        false.append(chosen[real:].sum() / max(chosen.sum(), 1))
        power.append(chosen[:real].sum())
    spread = np.std(false) / len(false) ** 0.5
    assert np.mean(false) <= 0.05 + 3 * spread
    assert np.mean(power) >= 0.5 * real


def test_what_is_no_test_is_not_in_the_family() -> None:
    values: list[Any] = [0.01, None, 0.04, None, 0.03]
    assert correct(values) == [pytest.approx(0.03), None, pytest.approx(0.04), None, pytest.approx(0.04)]
    assert correct([None]) == [None]
    assert correct([]) == []
    assert mcnemar(0, 0) == 1  # nothing changed, which is no evidence


def test_tests_in_whole_numbers_are_those_of_scipy() -> None:
    for changed in (1, 2, 7, 40, 1500):
        for gained in {0, 1, changed // 3, changed // 2, changed}:
            expected = binomtest(gained, changed, 0.5).pvalue
            assert mcnemar(gained, changed - gained) == pytest.approx(expected, rel=1e-11)
    hits, totals, chances = (
        np.ravel(each)
        for each in np.broadcast_arrays(*np.ix_([0, 1, 2, 7], [0, 1, 2, 7, 300], [0, 0.03, 0.5, 1]))
    )
    possible = hits <= totals
    expected = binom.sf(hits - 1, totals, chances)
    assert at_least(hits, totals, chances)[possible] == pytest.approx(expected[possible], rel=1e-9)
    for at in np.flatnonzero(possible & (totals < 100)):
        found = exceeds(int(hits[at]), int(totals[at]), float(chances[at]))
        assert found == pytest.approx(expected[at], rel=1e-9)
    p_values = np.random.default_rng(0).random(200).round(2)  # with ties
    assert correct(p_values.tolist()) == pytest.approx(false_discovery_control(p_values), rel=1e-12)
