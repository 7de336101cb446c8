"""What images of one split share with images of another: the file, the picture, the place."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.records import Rate
from auditor.report.metric import metric
from auditor.report.record import Record

KINDS = {
    "file": "the same file, byte for byte",
    "picture": "nearly the same picture: cell for cell not 0.6 times as far apart as from the median image, "
    "and laid out alike",
    "place": "the same place: at least three background cells, or one in 40, are each other's nearest across "
    "the splits and lie alike, while the pictures differ",
}
"""Ways to share, the closest first; a pair of images has the first that holds."""


@dataclass(frozen=True, slots=True)
class Leak(Record):
    """One way to share, over all images, beside splits that were drawn at random with the same sizes."""

    kind: str
    images: Rate = field(
        metadata=metric("Shared", "images that share with one of another split ÷ images that were compared")
    )
    interval: tuple[float, float] | None
    pairs: int
    by_chance: float = field(
        metadata=metric("Shared by chance", "mean share of such images where the splits are exchanged")
    )
    p_value: float = field(
        metadata=metric(
            "p (leak)",
            "exchanged splits that share as much or more ÷ exchanged splits, the true one in both",
            unit="chance",
        )
    )


@dataclass(frozen=True, slots=True)
class SharedPair(Record):
    """Two images of different splits, with the cells (`path:row,col`) of a place that correspond.

    `whole` is the cosine of all their cells laid end to end, None where one of them was not compared.
    """

    kind: str
    a: str
    b: str
    split_a: str
    split_b: str
    whole: float | None
    cells_a: tuple[str, ...] = ()
    cells_b: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leaks(Record):
    """`audit leaks`: what splits share, of `images.total` images that name a split.

    `images.hits` were compared cell by cell, a random part where there are too many. In `unannotated` of them
    nothing is annotated, and all their cells were compared. `runs` splits were drawn at random.
    """

    index: str
    splits: tuple[str, ...]
    images: Rate
    unannotated: int
    runs: int
    leaks: tuple[Leak, ...]
    pairs: tuple[SharedPair, ...]
