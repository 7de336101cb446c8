"""What a rate "in any of n cells" would be by chance: it grows with the grid, and means nothing without it.

The null of an (image, class) pair whose n cells are looked at is 1 - (1 - p)^n. p is the class's base rate:
the share of cells, in images that are not labelled with the class, that show it in the same variant. So a
class that is predicted everywhere is expected everywhere, and one that is never predicted nowhere. Cells of
one image are alike, which makes the null high rather than low where a class comes in patches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditor.measure.counts import Counts
from auditor.measure.regrid import Grid, on_grid
from auditor.store import Index

LOOKED_AT = (
    ("fg_chance", "fg_cells", "top1", 0),
    ("bg_chance", "bg_cells", "top1", 0),
    ("bg_chance_without_fg", "bg_cells_without_fg", "top1", 2),
    ("chance", "cells", "top1", 0),
    ("chance5", "cells", "top5", 0),
)
"""Per null: its column, the column of cells that are looked at, what each of them shows, the variant."""

BASE = """
WITH read AS (
  SELECT image, {guesses} AS guesses, coalesce(list_distinct(labels), []) AS labels
  FROM cells JOIN images ON images.id = image WHERE usable AND variant = {variant}),
sizes AS (SELECT labels, count(*) AS n FROM read GROUP BY image, labels),
labelled AS (SELECT class, sum(n) AS n FROM (SELECT n, unnest(labels) AS class FROM sizes) GROUP BY class),
shown AS (
  SELECT class, count(*) AS n FROM (SELECT labels, unnest(guesses) AS class FROM read)
  WHERE NOT list_contains(labels, class) GROUP BY class)
SELECT labelled.class AS class, coalesce(shown.n, 0)::BIGINT AS hits,
  (coalesce((SELECT sum(n) FROM sizes), 0) - labelled.n)::BIGINT AS total
FROM labelled LEFT JOIN shown USING (class) ORDER BY class
"""
"""Cells of the images without a class, and those of them that show it."""

SHARES_ELSEWHERE = """
WITH background AS (
  SELECT image, top1 AS class, count(*) AS n FROM cells JOIN images ON images.id = image
  WHERE usable AND variant = 2 AND NOT cells.foreground GROUP BY image, top1),
sizes AS (
  SELECT image, sum(n) AS cells, any_value(coalesce(list_distinct(labels), [])) AS labels
  FROM background JOIN images ON images.id = image GROUP BY image),
labelled AS (SELECT class, count(*) AS n FROM (SELECT unnest(labels) AS class FROM sizes) GROUP BY class),
shown AS (
  SELECT class, list_sum(list(n / cells ORDER BY image)) AS share FROM background JOIN sizes USING (image)
  WHERE NOT list_contains(labels, class) GROUP BY class)
SELECT labelled.class AS class, coalesce(share, 0) AS share,
  (SELECT count(*) FROM sizes) - labelled.n AS images
FROM labelled LEFT JOIN shown USING (class)
"""
"""Per class, over the images without it, the sum of their shares of background cells that show it.

Summed in the order of the images: the last digit does not depend on which thread was first.
"""


def any_chance(base: NDArray[np.float64], cells: NDArray[np.integer]) -> NDArray[np.float64]:
    """The chance that at least one of `cells` independent cells shows a class of base rate `base` each."""
    return np.asarray(1 - (1 - base) ** cells, dtype=np.float64)


def with_chance(index: Index, pairs: Counts, grid: Grid | None = None) -> Counts:
    """The counts of pairs, and per pair the null of every any-cell rate, 0 where no cell is looked at.

    A class with which every image is labelled has no base rate: its nulls are not a number. `grid` is that of
    the counts, where they are pooled.
    """
    bases = {
        (shown, variant): _base_rates(index, shown, variant, grid)
        for shown, variant in dict.fromkeys((shown, variant) for _, _, shown, variant in LOOKED_AT)
    }
    classes = np.asarray(pairs["class"], dtype=np.int64)
    nulls = {
        name: any_chance(bases[shown, variant][classes], np.asarray(pairs[cells], dtype=np.int64))
        for name, cells, shown, variant in LOOKED_AT
    }
    return pairs | nulls


def shares_elsewhere(index: Index) -> dict[int, tuple[float, int]]:
    """By class the mean share of background cells that show it, foreground occluded, in images without it.

    With the number of those images; a class with which every image is labelled is left out.
    """
    rows = index.counted(SHARES_ELSEWHERE)
    columns = (rows[name].tolist() for name in ("class", "share", "images"))
    return {label: (total / images, images) for label, total, images in zip(*columns, strict=True) if images}


def _base_rates(index: Index, shown: str, variant: int, grid: Grid | None) -> NDArray[np.float64]:
    """By class (K,), in one variant; not a number for a class that no cell of another image could show."""
    guesses = "CASE WHEN top1 IS NULL THEN [] ELSE [top1] END" if shown == "top1" else "coalesce(top5, [])"
    rows = index.counted(on_grid(index, BASE.format(guesses=guesses, variant=variant), grid))
    rates = np.full(len(index.manifest.classes), np.nan)
    seen = np.asarray(rows["total"]) > 0
    rates[np.asarray(rows["class"])[seen]] = rows["hits"][seen] / rows["total"][seen]
    return rates
