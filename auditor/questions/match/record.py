"""The cells of two images that correspond."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.report.metric import metric
from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class Pair(Record):
    """Two corresponding cells, their cosine, and their share of the cosine of the two mean-pooled vectors."""

    a: tuple[int, int]
    b: tuple[int, int]
    cosine: float
    share: float = field(
        metadata=metric(
            "Share of cosine",
            "the pair's part of the cosine of the two mean-pooled vectors; those of all pairs add up to it",
            unit="factor",
            source="A.8",
        )
    )


@dataclass(frozen=True, slots=True)
class Match(Record):
    """`audit match`: the most similar cell pairs of two images, best first (Figure 9, A.8).

    `cosine` is that of the two mean-pooled vectors; the shares of all H*W * H*W pairs add up to it.
    `explained` is the part of it that the listed pairs account for. `is_exact` says whether the backbone
    pools by the mean, without which the shares do not explain the backbone's own image similarity. `mutual`
    counts the pairs in which each cell is the other's nearest, where only such pairs are listed. `empty`
    counts the cells of both without content (features of zeros), which make no pair.
    """

    index: str
    a: str
    b: str
    cosine: float
    explained: float
    is_exact: bool
    pairs: tuple[Pair, ...]
    mutual: int | None = None
    empty: int = 0


@dataclass(frozen=True, slots=True)
class RankedPair:
    """A pair with its place, as files hold it."""

    rank: int
    a_row: int
    a_col: int
    b_row: int
    b_col: int
    cosine: float
    share: float
