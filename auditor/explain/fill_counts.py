"""Many images under every fill, and under a placebo mask: which background cells show a class (A.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.data.ahead import map_ahead
from auditor.data.load import Loaded
from auditor.errors import DatasetError
from auditor.explain.placebo import place_elsewhere
from auditor.explain.scorer import Folds, Scorer, cover, load_annotated
from auditor.grids import Mask, occupancy
from auditor.indexing.score import CellScores
from auditor.records import Fill
from auditor.records.watch import Watch
from auditor.store import Index

Counts = dict[str, NDArray[Any]]

BATCH = 32
WORKERS = 4

CHOSEN = """
WITH pairs AS (
  SELECT id, path, hash, fold, foreground, unnest(list_distinct(labels)) AS class
  FROM images WHERE usable AND foreground IS NOT NULL),
ranked AS (
  SELECT *, row_number() OVER (PARTITION BY class ORDER BY id) AS place
  FROM pairs WHERE $label IS NULL OR class = $label)
SELECT id, path, hash, fold, foreground, list(class ORDER BY class) AS classes
FROM ranked WHERE $limit IS NULL OR place <= $limit GROUP BY ALL ORDER BY id
"""
"""Annotated images with the classes to look for in each; at most `limit` images of a class."""


@dataclass(frozen=True, slots=True)
class Item:
    """An image with the classes to look for, its placebo (S, S), None where there is none to lay."""

    image: int
    classes: tuple[int, ...]
    fold: int | None
    loaded: Loaded
    placebo: Mask | None


def count_fills(
    index: Index,
    fills: Sequence[Fill],
    *,
    label: int | None = None,
    has_placebo: bool = False,
    limit: int | None = None,
    watch: Watch,
) -> Counts:
    """One row per (image, class) and fill: cells of the background, and those whose top-1 is the class.

    The columns are those that the index's own metrics are made of (bg_cells, bg_hits, bg_hits_without_fg),
    then the same over the cells that neither the foreground nor its placebo touches: shared_cells,
    shared_hits, shared_hits_without_fg, shared_hits_without_placebo; all 0 where no placebo fits. `fill` is a
    position in `fills`.
    """
    chosen = index.query(CHOSEN, {"label": label, "limit": limit})
    if not len(chosen["id"]):
        wanted = "image" if label is None else f"image of {index.manifest.classes[label].name}"
        raise DatasetError(f"{index.name} has no {wanted} with foreground to occlude")
    scorer = Scorer(index)
    watch.start("images", len(chosen["id"]))
    rows: list[tuple[int, ...]] = []
    for batch in _batches(_items(index, chosen, has_placebo, watch)):
        rows += _count_batch(scorer, batch, fills)
        watch.advance(len(batch))
    if not rows:
        raise DatasetError(f"none of the images of {index.name} can be read any more: are they still there?")
    return dict(zip(COLUMNS, np.array(rows, np.int64).T, strict=True))


COLUMNS = (
    *("image", "class", "fill", "bg_cells", "bg_cells_without_fg", "bg_hits", "bg_hits_without_fg"),
    *("shared_cells", "shared_hits", "shared_hits_without_fg", "shared_hits_without_placebo"),
)


def _items(index: Index, chosen: Counts, has_placebo: bool, watch: Watch) -> Iterator[Item]:
    """The chosen images, read ahead; one that cannot be read any more is said and left out."""
    seed = int(index.manifest.options["seed"])

    def read(row: int) -> Item | str:
        path, packed, content_hash = (str(chosen[name][row]) for name in ("path", "foreground", "hash"))
        loaded = load_annotated(index, path, packed, content_hash)
        if loaded.foreground is None:
            return loaded.error or "an image cannot be read"
        mask, fold = loaded.foreground.union, chosen["fold"][row]
        return Item(
            image=int(chosen["id"][row]),
            classes=tuple(int(label) for label in chosen["classes"][row]),
            fold=None if fold is np.ma.masked else int(fold),
            loaded=loaded,
            placebo=place_elsewhere(mask, loaded.sample.path, seed) if has_placebo else None,
        )

    for item in map_ahead(read, range(len(chosen["id"])), workers=WORKERS, ahead=2 * BATCH):
        if isinstance(item, Item):
            yield item
        else:
            watch.say(f"left out: {item}")


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    while batch := list(islice(items, BATCH)):
        yield batch


def _count_batch(scorer: Scorer, batch: Sequence[Item], fills: Sequence[Fill]) -> Iterator[tuple[int, ...]]:
    loaded, folds = [item.loaded for item in batch], [item.fold for item in batch]
    before = scorer.original(loaded, folds)
    for number, fill in enumerate(fills):
        after = scorer.occluded(loaded, folds, fill)
        placebo = _score_placebos(scorer, batch, fill)
        for position, item in enumerate(batch):
            # without a placebo no cell is shared, so what stands for it is never counted
            panels = (before[position], after[position], placebo.get(position, before[position]))
            yield from _count_image(item, number, [panel.top5[:, 0] for panel in panels], scorer.index.grid)


def _count_image(
    item: Item, fill: int, shown: Sequence[NDArray[np.int32]], grid: tuple[int, int]
) -> Iterator[tuple[int, ...]]:
    """A row per class, from the top-1 classes (N,) of the original, without foreground, without placebo."""
    background, shared = _cells(item, grid)
    for label in item.classes:
        hits = [cells == label for cells in shown]
        yield (
            *(item.image, label, fill, background.sum(), background.sum()),
            *((background & hit).sum() for hit in hits[:2]),
            shared.sum(),
            *((shared & hit).sum() for hit in hits),
        )


def _score_placebos(scorer: Scorer, batch: Sequence[Item], fill: Fill) -> dict[int, CellScores]:
    """Scores with the placebo covered, by position in the batch, of the images that have one."""
    placed = {p: cover(item.loaded, item.placebo) for p, item in enumerate(batch) if item.placebo is not None}
    if not placed:
        return {}
    folds: Folds = [batch[position].fold for position in placed]
    return dict(zip(placed, scorer.occluded(list(placed.values()), folds, fill), strict=True))


def _cells(item: Item, grid: tuple[int, int]) -> tuple[Mask, Mask]:
    """Cells (N,) without foreground, and those of them that the placebo does not touch either."""
    assert item.loaded.foreground is not None
    background = ~occupancy(item.loaded.foreground.union, grid).ravel()
    if item.placebo is None:
        return background, np.zeros_like(background)
    return background, background & ~occupancy(item.placebo, grid).ravel()
