"""Counting: two queries whose integer columns add up over images, shards and classes.

A pair is an image and one of its evaluation classes. Its foreground cells are those where the class is
present; the background cells of an image are those without annotated foreground of any class. The occluded
variants are counted over the same cells. Only images that are ok and not removed count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from numpy.typing import NDArray

from auditor.errors import BackboneError
from auditor.measure.absence import index_beside
from auditor.measure.regrid import Grid, on_grid
from auditor.store import Index

Target = Literal["all", "one"]
Counts = dict[str, NDArray[Any]]

CLASSES = {
    "all": "coalesce(list_distinct(labels), [])",
    "one": "CASE WHEN label IS NULL THEN [] ELSE [label] END",
}
"""The evaluation classes of an image: all of its labels, or the one label that the dataset names."""

PAIR_CELLS = """
WITH pairs AS (SELECT id AS image, unnest({classes}) AS class FROM images WHERE usable),
seen AS (
  SELECT image, class, variant, cell, coalesce(top1 = class, false) AS hit,
         coalesce(list_contains(present, class), false) AS fg, coalesce(NOT foreground, false) AS bg,
         coalesce(list_contains(top5, class), false) AS hit5
  FROM pairs JOIN cells USING (image))
"""
"""`seen`: every cell of every pair in every variant, with what is there and whether the class is shown."""

PAIRS = (
    PAIR_CELLS
    + """
SELECT image, class,
  count(*) FILTER (variant = 0 AND fg) AS fg_cells,
  count(*) FILTER (variant = 0 AND fg AND hit) AS fg_hits,
  count(*) FILTER (variant = 1 AND fg) AS fg_cells_without_bg,
  count(*) FILTER (variant = 1 AND fg AND hit) AS fg_hits_without_bg,
  count(*) FILTER (variant = 0 AND bg) AS bg_cells,
  count(*) FILTER (variant = 0 AND bg AND hit) AS bg_hits,
  count(*) FILTER (variant = 2 AND bg) AS bg_cells_without_fg,
  count(*) FILTER (variant = 2 AND bg AND hit) AS bg_hits_without_fg,
  count(*) FILTER (variant = 0) AS cells,
  count(*) FILTER (variant = 0 AND hit) AS hits,
  count(*) FILTER (variant = 0 AND hit5) AS hits5
FROM seen GROUP BY image, class ORDER BY image, class
"""
)

IMAGE_CELLS = """
WITH chosen AS (
  SELECT id AS image, path, label, {classes} AS classes, top5_original AS guesses,
    coalesce(list_distinct(labels), []) AS all_labels
  FROM images WHERE usable),
evaluated AS (
  SELECT image, variant, cell, top1, foreground, list_intersect(coalesce(present, []), classes) AS here
  FROM cells JOIN chosen USING (image))
"""
"""`evaluated`: every cell of every image in every variant, `here` the evaluation classes that it holds."""

IMAGES = (
    IMAGE_CELLS
    + """,
counted AS (
  SELECT image,
    count(*) FILTER (variant = 0 AND len(here) > 0) AS fg_cells,
    count(*) FILTER (variant = 0 AND list_contains(here, top1)) AS fg_hits,
    count(*) FILTER (variant = 1 AND len(here) > 0) AS fg_cells_without_bg,
    count(*) FILTER (variant = 1 AND list_contains(here, top1)) AS fg_hits_without_bg,
    count(*) FILTER (variant = 0 AND NOT foreground) AS bg_cells,
    coalesce(list(DISTINCT top1) FILTER (variant = 0 AND top1 IS NOT NULL), []) AS shown
  FROM evaluated GROUP BY image),
known AS ({real})
SELECT image, path, label, guesses[1] AS predicted, (label IS NOT NULL)::INTEGER AS labelled,
  coalesce(guesses[1] = label, false)::INTEGER AS top1,
  coalesce(list_contains(guesses, label), false)::INTEGER AS top5,
  coalesce(list_contains(all_labels, guesses[1]), false)::INTEGER AS top1_any,
  len(all_labels) AS labels,
  counted.* EXCLUDE (image, shown),
  len(real_labels) AS real,
  coalesce(list_contains(real_labels, guesses[1]), false)::INTEGER AS real_top1,
  len(list_intersect(real_labels, shown)) AS real_found
FROM chosen JOIN counted USING (image) JOIN known USING (image) ORDER BY image
"""
)

STORED_REAL = "SELECT id AS image, coalesce(list_distinct(real), []) AS real_labels FROM images"
GIVEN_REAL = """
SELECT image, list_distinct(labels) AS real_labels
FROM (SELECT unnest($images::INTEGER[]) AS image, unnest($labels::INTEGER[][]) AS labels)
"""
"""Where an image's ReaL labels come from: the index, or a file that was read for it."""


def count_pairs(index: Index, target: Target, grid: Grid | None = None) -> Counts:
    """One row per (image, class): cells and hits in foreground, background, anywhere; pooled to a `grid`."""
    require_head(index)
    return index.counted(on_grid(index, PAIRS.format(classes=CLASSES[target]), grid))


def count_images(index: Index, target: Target, real: Mapping[int, tuple[int, ...]] | None = None) -> Counts:
    """One row per image: the image's own prediction, each foreground cell once, ReaL labels.

    `real` gives the ReaL labels of every image by its id, instead of those that the index holds.
    """
    require_head(index)
    if real is None:
        return index.counted(IMAGES.format(classes=CLASSES[target], real=STORED_REAL))
    given = {"images": list(real), "labels": [list(labels) for labels in real.values()]}
    return index.query(IMAGES.format(classes=CLASSES[target], real=GIVEN_REAL), given)


def require_head(index: Index) -> None:
    """BackboneError for an index whose cells were never scored."""
    if index.manifest.head.name == "none":
        raise BackboneError(
            f"{index.name} has no head, so no cell has a predicted class; build one that has with: "
            + index_beside(index, "probe", head="probe")
        )
