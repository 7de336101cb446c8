"""Cells pooled to a coarser grid, so that rates "in any of n cells" of two grids can be compared.

A pooled cell holds what its cells hold: foreground where any does, every class that is present in one. It
shows the classes of the largest probability, averaged over its cells; of each cell the five best are known.
"""

from __future__ import annotations

from collections.abc import Iterable

from auditor.store import Index

Grid = tuple[int, int]

POOLED = """cells AS MATERIALIZED (
  WITH placed AS (
    SELECT image, variant, foreground, present, top5, top5_p,
      cell // {width} * {rows} // {height} * {cols} + cell % {width} * {cols} // {width} AS cell
    FROM main.cells),
  scored AS (
    SELECT image, variant, cell, class, sum(p::DECIMAL(18, 9)) AS p
    FROM (SELECT image, variant, cell, unnest(top5) AS class, unnest(top5_p) AS p FROM placed)
    GROUP BY image, variant, cell, class),
  best AS (
    SELECT image, variant, cell, list(class ORDER BY p DESC, class)[:5] AS top5
    FROM scored GROUP BY image, variant, cell),
  here AS (
    SELECT image, variant, cell, bool_or(foreground) AS foreground,
      list_distinct(flatten(list(coalesce(present, [])))) AS present
    FROM placed GROUP BY image, variant, cell)
  SELECT here.*, top5, top5[1] AS top1 FROM here LEFT JOIN best USING (image, variant, cell))"""
"""The table of cells on a coarser grid; probabilities are added as decimals, in any order the same."""


def common_grid(indexes: Iterable[Index]) -> Grid | None:
    """The coarsest rows and columns of several indexes; None where all have the same."""
    grids = {index.grid for index in indexes}
    return (min(rows for rows, _ in grids), min(cols for _, cols in grids)) if len(grids) > 1 else None


def on_grid(index: Index, sql: str, grid: Grid | None) -> str:
    """A query that begins with its tables (WITH), reading cells pooled to this grid; None is the index's own.

    Row r of H lies in pooled row r * rows // H: where the grids do not divide, some hold one more.
    """
    if grid is None or grid == index.grid:
        return sql
    (height, width), (rows, cols) = index.grid, grid
    pooled = POOLED.format(height=height, width=width, rows=rows, cols=cols)
    return sql.replace("WITH ", f"WITH {pooled},\n", 1)
