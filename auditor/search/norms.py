"""Cells whose features are far longer than the others': transformers keep notes on the whole image in them.

Darcet et al., Vision Transformers Need Registers (2023): about 2 % of DINOv2's tokens, ten times as long.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.records import Rate
from auditor.search.content import usable_images
from auditor.store import Index

FAR = 7.0  # times as far from the median as the upper quartile (Tukey's outer fence), in logarithms
MANY = (0.001, 3)  # the share of such cells that is too many, and how many it takes at least
TIMES = 2.0  # the median, at least: where all lengths are alike, a little more is nothing


@dataclass(frozen=True, slots=True)
class Norms:
    """The lengths of all cells that have content, and the ids of those beyond the limit, longest first."""

    lengths: NDArray[np.float32]
    limit: float
    high: NDArray[np.int64]

    @property
    def rate(self) -> Rate:
        """Cells beyond the limit, of all."""
        return Rate(len(self.high), len(self.lengths))

    @property
    def is_many(self) -> bool:
        """Whether they are too many to be single odd cells."""
        least_share, least_count = MANY
        return len(self.high) >= least_count and (self.rate.value or 0) > least_share


def measure_norms(index: Index) -> Norms | None:
    """Lengths of cells and those far out, on a scale of logarithms; None where no cell has content.

    Of lengths whose logarithms are normal, 1 in 800,000 is so far out.
    """
    images = usable_images(index)
    every = index.lengths(images)
    lengths = every[every > 0]
    if not len(lengths):
        return None
    middle, upper = _quantiles(lengths, [0.5, 0.75])
    limit = float(middle * max((upper / middle) ** FAR, TIMES))
    place, cell = np.nonzero(every > limit)
    high = images[place] * every.shape[1] + cell
    return Norms(lengths, limit, high[np.argsort(-every[place, cell], kind="stable")])


def _quantiles(values: NDArray[np.float32], shares: list[float]) -> NDArray[np.float64]:
    """As np.percentile has them, which would load numpy.ma for every search."""
    places = (len(values) - 1) * np.array(shares)
    below, above = np.floor(places).astype(np.int64), np.ceil(places).astype(np.int64)
    ranked = np.partition(values, [*below, *above])
    lower, upper = ranked[below].astype(np.float64), ranked[above].astype(np.float64)
    return np.asarray(lower + (places - below) * (upper - lower))


def leave_out_long(index: Index, allowed: NDArray[np.bool_], length: float) -> int:
    """Where an index has many far longer cells, take them from those that may be returned; how many it took.

    `allowed` (images, cells) is changed; `length` is that of the cell that asks. One that is far longer
    itself asks for its like, which is left to it.
    """
    found = measure_norms(index)
    if found is None or not found.is_many or length > found.limit:
        return 0
    image, cell = np.divmod(found.high, allowed.shape[1])
    taken = int(allowed[image, cell].sum())
    allowed[image, cell] = False
    return taken
