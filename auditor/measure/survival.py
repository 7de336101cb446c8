"""Does what a cell says come from the cell? What becomes of right cells once the background is covered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditor.records import Rate
from auditor.store import Index

CELLS = """
WITH seen AS (
  SELECT image, cell, max(top1) FILTER (variant = 0) AS before, max(top1) FILTER (variant = 1) AS after,
    bool_or(list_contains(present, top1)) FILTER (variant = 0) AS is_right
  FROM cells JOIN images ON images.id = image WHERE usable AND cells.foreground AND variant < 2
  GROUP BY image, cell),
both_times AS (
  SELECT seen.*, coalesce(list_distinct(labels), []) AS labels FROM seen JOIN images ON images.id = image
  WHERE before IS NOT NULL AND after IS NOT NULL),
own AS (
  SELECT before AS class, count(*) AS cells, count(*) FILTER (after = before) AS kept
  FROM both_times WHERE is_right GROUP BY before),
labelled AS (
  SELECT class, count(*) AS n FROM (SELECT unnest(labels) AS class FROM both_times) GROUP BY class),
shown AS (
  SELECT after AS class, count(*) AS n FROM both_times WHERE NOT list_contains(labels, after) GROUP BY after)
SELECT own.*, coalesce(shown.n, 0) AS hits,
  (SELECT count(*) FROM both_times) - coalesce(labelled.n, 0) AS total
FROM own LEFT JOIN labelled USING (class) LEFT JOIN shown USING (class) ORDER BY class
"""
"""Per class: foreground cells that show it rightly, those of them that still do with the background covered,
and the foreground cells of images without it, so covered, with those of them that show it."""

IMAGES = """
SELECT count(*) AS images, count(*) FILTER (list_contains(labels, top5_original[1])) AS before,
  count(*) FILTER (list_contains(labels, top5_without_bg[1])) AS after
FROM images WHERE usable AND len(labels) > 0 AND top5_without_bg IS NOT NULL
"""
"""Images that are recognised as they are, and with their background covered."""


@dataclass(frozen=True, slots=True)
class Survival:
    """Right foreground cells that keep their class with the background covered; `elsewhere` is its null.

    `elsewhere`: how often foreground cells of other images, so covered, show the same classes. `before` and
    `after` are the images that are recognised as they are and covered: whether the network can read covered
    images at all.
    """

    kept: Rate
    elsewhere: float | None
    before: Rate
    after: Rate


def survival(index: Index) -> Survival | None:
    """What right cells keep; None where no foreground cell shows its class, or nothing was ever covered."""
    rows, images = index.counted(CELLS), index.counted(IMAGES)
    cells = np.asarray(rows["cells"], dtype=np.float64)
    if not cells.sum() or not int(images["images"][0]):
        return None
    total = np.asarray(rows["total"], dtype=np.float64)
    others = total > 0
    shares = np.asarray(rows["hits"], dtype=np.float64)[others] / total[others]
    count = int(images["images"][0])
    return Survival(
        Rate(int(rows["kept"].sum()), int(cells.sum())),
        float(np.average(shares, weights=cells[others])) if others.any() else None,
        Rate(int(images["before"][0]), count),
        Rate(int(images["after"][0]), count),
    )
