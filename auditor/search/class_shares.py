"""Which classes own the images that were found: rates, lifts and corrected tests over images.

Cells of one image are no independent observations, so everything here counts images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.measure.rates import wilson
from auditor.measure.significance import over_represented
from auditor.records import ClassShare, Rate
from auditor.store import Index

CLASSES_OF_IMAGES = """
SELECT DISTINCT pairs.id AS image, coalesce(classes.name, true_name) AS name
FROM (
    SELECT id, true_name, unnest(CASE WHEN len(labels) > 0 THEN labels ELSE [label] END) AS class
    FROM images WHERE usable
) pairs
LEFT JOIN classes ON classes.id = pairs.class
WHERE coalesce(classes.name, true_name) IS NOT NULL
ORDER BY image, name
"""


@dataclass(frozen=True, slots=True)
class ImageClasses:
    """The classes said to be in each image: image and class (a position in `names`) of every such pair."""

    names: tuple[str, ...]
    images: NDArray[np.int64]
    classes: NDArray[np.int64]

    @classmethod
    def of(cls, index: Index) -> ImageClasses:
        """All usable images that have a class, those that the head does not know by their own names."""
        pairs = index.query(CLASSES_OF_IMAGES)
        names, classes = np.unique(pairs["name"].astype(str), return_inverse=True)
        return cls(tuple(names.tolist()), np.asarray(pairs["image"], dtype=np.int64), classes)

    def without(self, images: NDArray[np.int64]) -> ImageClasses:
        """The same, some images left out."""
        kept = ~np.isin(self.images, images)
        return ImageClasses(self.names, self.images[kept], self.classes[kept])

    def count(self, images: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
        """How many of these images each class has, and how many have any class."""
        is_counted = np.isin(self.images, images)
        per_class = np.bincount(self.classes[is_counted], minlength=len(self.names))
        return per_class, len(np.unique(self.images[is_counted]))


def class_shares(classes: ImageClasses, groups: list[NDArray[np.int64]]) -> list[tuple[ClassShare, ...]]:
    """For each group of image ids its classes, the most over-represented first.

    Tested against drawing as many images at random (hypergeometric, one-sided), corrected over the classes of
    all groups together (Benjamini-Hochberg).
    """
    if not classes.names or not groups:
        return [() for _ in groups]
    totals, everything = classes.count(classes.images)
    counted = [classes.count(group) for group in groups]
    hits = np.stack([per_class for per_class, _ in counted])
    drawn = np.array([[total] for _, total in counted])
    p_values, q_values = over_represented(hits, totals, drawn, everything)
    shares = []
    for group, (per_class, total) in enumerate(counted):
        rows = [
            _share(classes.names[k], (per_class[k], totals[k], total, everything), p_values[group, k], q)
            for k, q in enumerate(q_values[group])
            if totals[k]
        ]
        shares.append(tuple(sorted(rows, key=lambda row: (row.p_value, -row.images.hits, row.name))))
    return shares


def _share(name: str, counts: tuple[int, int, int, int], p_value: float, q_value: float) -> ClassShare:
    hits, of_class, chosen, everything = map(int, counts)
    rate = Rate(hits, of_class)
    elsewhere = Rate(chosen - hits, everything - of_class)
    return ClassShare(name, rate, wilson(rate), elsewhere, float(p_value), float(q_value))
