"""Rates of many groups, each shrunk towards what all groups show by as much as its few images leave open."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGES = np.sin(np.linspace(0, np.pi / 2, 201)) ** 2  # of rates: narrow near 0 and 1
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
BLOCK = 10_000  # images at a time
START, BOUNDS = (-0.7, 0.4), (-3.0, 4.0)  # of the logarithms of the beta distribution's two parameters

Floats = NDArray[np.float64]


def shrink(groups: NDArray[np.integer], hits: NDArray[np.bool_], chances: Floats, size: int) -> Floats:
    """The expected rate (size,) of each group beyond chance, by empirical Bayes; hits and chances (n,).

    What is hit in image i of group k is hit by chance c_i, or because of the group: by c_i + (1 - c_i) r_k.
    The rates r_k are drawn from one beta distribution, which is fitted to all groups by likelihood, and what
    is given is the mean of r_k after its own images were seen. A group without images has that of all.
    """
    from scipy.optimize import minimize
    from scipy.special import betainc

    logs = np.zeros((size, len(CENTRES)))
    for start in range(0, len(groups), BLOCK):
        part = slice(start, start + BLOCK)
        rates = chances[part, None] + (1 - chances[part, None]) * CENTRES
        np.add.at(logs, groups[part], np.log(np.where(hits[part, None], rates, 1 - rates)))
    likelihood = np.exp(logs - logs.max(axis=1, keepdims=True))

    def prior(parameters: Floats) -> Floats:
        first, second = np.exp(parameters).tolist()
        return np.asarray(np.diff(betainc(first, second, EDGES)), dtype=np.float64)

    def loss(parameters: Floats) -> float:
        return -float(np.log(np.maximum(likelihood @ prior(parameters), 1e-300)).sum())

    fitted = minimize(loss, START, method="L-BFGS-B", bounds=[BOUNDS, BOUNDS]).x
    after = likelihood * prior(fitted)
    return np.asarray(after @ CENTRES / after.sum(axis=1))
