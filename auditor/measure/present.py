"""Table 2 among only the classes that the dataset holds, such as ImageNet-A's 200 of 1000."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.measure.counts import CLASSES, Target
from auditor.measure.scores import require_scores
from auditor.records import Rate
from auditor.store import Index

TOP = 5

LABELS = "SELECT id, label, {classes} AS classes FROM images WHERE usable ORDER BY id"


@dataclass(frozen=True, slots=True)
class PresentRanks:
    """Ranks from 0 among the present classes: of each labelled image's label, of each pair's best cell."""

    classes: int
    images: list[int]
    pairs: list[int]

    @staticmethod
    def within(ranks: list[int]) -> tuple[Rate, Rate]:
        """The shares of ranks that are the first, and among the first five."""
        first, five = (sum(rank < top for rank in ranks) for top in (1, TOP))
        return Rate(first, len(ranks)), Rate(five, len(ranks))


def rank_present(index: Index, *, target: Target = "all") -> PresentRanks:
    """Ranks of the labels among the classes that some usable image is labelled with.

    They are computed from the stored features and the head's matrix; BackboneError where the head is not
    affine, since then the cells' features alone do not give the scores of all classes.
    """
    rows = index.query(LABELS.format(classes=CLASSES[target]))
    held = index.query("SELECT DISTINCT unnest(labels) AS class FROM images WHERE usable ORDER BY class")
    present = np.asarray(held["class"], dtype=np.int64)
    if not len(present):
        raise DatasetError(f"no image of {index.name} is labelled with a class of its head: none is present")
    scores = require_scores(index)
    images: list[int] = []
    pairs: list[int] = []
    cells_of = scores.each(rows["id"])
    for image, label, classes, all_scores in zip(
        rows["id"], rows["label"], rows["classes"], cells_of, strict=True
    ):
        if label is not np.ma.masked:
            images.append(int(_ranks(scores.image(int(image))[None, present], present, int(label))[0]))
        cells = all_scores[:, present] if len(classes) else None
        pairs += [int(_ranks(cells, present, int(label)).min()) for label in classes if cells is not None]
    return PresentRanks(len(present), images, pairs)


def _ranks(scores: NDArray[np.float32], present: NDArray[np.int64], label: int) -> NDArray[np.int64]:
    """The label's place among the present classes in each row (N, P), 0 for the first; ties by class id.

    Equals are common: classes that a probe's fold has never seen all score the same.
    """
    place = int(np.searchsorted(present, label))
    own = scores[:, place, None]
    before = (scores > own).sum(axis=1) + (scores[:, :place] == own).sum(axis=1)
    return np.asarray(before, dtype=np.int64)
