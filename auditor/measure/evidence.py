"""Do the cells of an index carry the class of what they show? Measured on its own images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.measure.counts import require_head
from auditor.records import Rate
from auditor.store import Index

RANKS = """
WITH pairs AS (SELECT id AS image, labels, unnest(list_distinct(labels)) AS class FROM images WHERE usable)
SELECT count(*) AS cells, count(*) FILTER (top1 = class) AS hits, count(DISTINCT image) AS images,
  median(target_rank[list_position(labels, class)]) AS rank
FROM pairs JOIN cells USING (image) WHERE variant = 0 AND list_contains(present, class)
"""
"""Foreground cells of every pair: those that the class wins, and its median rank in them."""

IMAGE_RANKS = """
WITH pairs AS (SELECT id AS image, labels, unnest(list_distinct(labels)) AS class FROM images WHERE usable)
SELECT median(target_rank[list_position(labels, class)]) AS rank FROM pairs JOIN cells USING (image)
WHERE variant = 0 AND list_contains(present, class) GROUP BY image HAVING rank IS NOT NULL ORDER BY image
"""
"""The class's median rank in its foreground cells, image by image."""

ELSEWHERE = """
WITH own AS (
  SELECT image, coalesce(list_distinct(labels), []) AS labels, present, top1
  FROM cells JOIN images ON images.id = image WHERE usable AND variant = 0 AND cells.foreground),
weights AS (
  SELECT class, count(*) AS weight FROM (SELECT present, labels, unnest(labels) AS class FROM own)
  WHERE list_contains(present, class) GROUP BY class),
labelled AS (SELECT class, count(*) AS n FROM (SELECT unnest(labels) AS class FROM own) GROUP BY class),
shown AS (SELECT top1 AS class, count(*) AS n FROM own WHERE NOT list_contains(labels, top1) GROUP BY top1)
SELECT weight, coalesce(shown.n, 0) AS hits, (SELECT count(*) FROM own) - labelled.n AS total
FROM weights JOIN labelled USING (class) LEFT JOIN shown USING (class) ORDER BY class
"""
"""Per class its foreground cells, and what the foreground cells of images without the class show."""


@dataclass(frozen=True, slots=True)
class CellEvidence:
    """What the cells of an index know of their class, beside what they would know by chance.

    `share`: foreground cells whose first class is the class that is there; `share_elsewhere`: how often the
    foreground cells of images of other classes say it, averaged over the same cells. `rank`: the class's
    median place in its foreground cells, 0 where it wins, None where ranks are not stored; `rank_by_chance`:
    (K - 1) / 2, the middle place of K classes.
    """

    images: int
    share: Rate
    share_elsewhere: float | None
    rank: float | None
    rank_by_chance: float

    @property
    def is_carried(self) -> bool:
        """Whether both are better than by chance: the share that the class wins, and its median rank."""
        wins = (self.share.value or 0) > (self.share_elsewhere or 0)
        return wins and (self.rank is None or self.rank < self.rank_by_chance)

    @property
    def sentence(self) -> str:
        """The measurement in one sentence."""
        verdict = "carry" if self.is_carried else "do not carry"
        ranked = (
            ""
            if self.rank is None
            else f", and is at median place {self.rank + 1:,.0f} of {2 * self.rank_by_chance + 1:,.0f} "
            f"(by chance {self.rank_by_chance + 1:,.0f})"
        )
        elsewhere = (
            ""
            if self.share_elsewhere is None
            else f" ({100 * self.share_elsewhere:.1f} % of those in images without them)"
        )
        return (
            f"Its cells {verdict} the class: the class wins {100 * (self.share.value or 0):.1f} % of the "
            f"{self.share.total:,} foreground cells of its objects{elsewhere}{ranked}."
        )


def cell_evidence(index: Index) -> CellEvidence | None:
    """The evidence of an index's own images; None where no foreground cell holds a class of the head."""
    require_head(index)
    found = index.counted(RANKS)
    if not int(found["cells"][0]):
        return None
    elsewhere = index.counted(ELSEWHERE)
    known = np.asarray(elsewhere["total"]) > 0
    weights, hits, totals = (
        np.asarray(elsewhere[name], np.float64)[known] for name in ("weight", "hits", "total")
    )
    (rank,) = found["rank"].tolist()
    return CellEvidence(
        images=int(found["images"][0]),
        share=Rate(int(found["hits"][0]), int(found["cells"][0])),
        share_elsewhere=float(np.average(hits / totals, weights=weights)) if known.any() else None,
        rank=None if rank is None or np.isnan(rank) else float(rank),
        rank_by_chance=(len(index.manifest.classes) - 1) / 2,
    )


def image_ranks(index: Index) -> NDArray[np.float64]:
    """The median rank of the class in its foreground cells, for every image (n,) that has some."""
    require_head(index)
    return np.asarray(index.counted(IMAGE_RANKS)["rank"], dtype=np.float64)
