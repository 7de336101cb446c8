"""Background cells that say a class and still do once every object is covered.

A cell beside an object's sees its outline, which covering does not remove: in the demo's scenes the hole
that a plus leaves is a plus. So evidence is only what cells say that no object's cell touches, the free ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.grids import widened
from auditor.measure.absence import explain_no_background
from auditor.measure.chance import any_chance
from auditor.measure.counts import require_head
from auditor.store import Index

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

CELLS = """
SELECT image, cell, bool_or(cells.foreground) AS foreground,
  coalesce(max(top1) FILTER (variant = 0), -1) AS before,
  coalesce(max(top1) FILTER (variant = 2), -2) AS after
FROM cells JOIN images ON images.id = image
WHERE usable AND len(labels) > 0 AND cells.foreground IS NOT NULL
GROUP BY image, cell ORDER BY image, cell
"""
LABELS = "SELECT id AS image, unnest(list_distinct(labels)) AS class FROM images WHERE usable"


@dataclass(frozen=True, slots=True)
class Staying:
    """The labelled images (n,) that have free cells, and the cells (m,) of their background that stay.

    `free` (n,) counts an image's free cells, `has` (K, n) says which classes it is labelled with. Of every
    cell that says a class with the objects and without: its id, its class, its image as a place in `images`,
    and whether it is free.
    """

    images: Numbers
    free: Numbers
    has: Flags
    cells: Numbers
    classes: Numbers
    places: Numbers
    is_free: Flags

    def exchanged(self, rng: np.random.Generator) -> Staying:
        """The same with labels exchanged among images."""
        return replace(self, has=self.has[:, rng.permutation(len(self.images))])

    def counts(self, label: int) -> Numbers:
        """In how many free cells each image (n,) says a class."""
        chosen = self.is_free & (self.classes == label)
        return np.bincount(self.places[chosen], minlength=len(self.images))

    def chances(self, label: int, counts: Numbers) -> NDArray[np.float64] | None:
        """The chance (n,) that one of each image's free cells says a class, as cells of images without it do.

        None of a class that every image is labelled with.
        """
        others = ~self.has[label]
        if not others.any():
            return None
        base = np.asarray(counts[others].sum() / self.free[others].sum())
        return any_chance(base, np.arange(self.free.max() + 1))[self.free]


def find_staying(index: Index) -> Staying:
    """The cells that stay; DatasetError, with the reason, where no background cell is free."""
    require_head(index)
    rows = index.query(CELLS)
    foreground = np.asarray(rows["foreground"], dtype=np.bool_).reshape(-1, *index.grid)
    images = np.asarray(rows["image"], dtype=np.int64)[:: index.manifest.cells_per_image]
    free = ~widened(foreground).reshape(-1, index.manifest.cells_per_image)
    before, after = (
        np.asarray(rows[name], dtype=np.int64).reshape(free.shape) for name in ("before", "after")
    )
    if not free.any() or (after < 0).all():
        raise DatasetError(_explain(index, foreground, after))
    kept = free.any(axis=1)
    images, free = images[kept], free[kept]
    stays = (before == after)[kept] & ~foreground[kept].reshape(free.shape)
    places, cells = np.nonzero(stays)
    return Staying(
        images=images,
        free=free.sum(axis=1),
        has=_labels(index, images),
        cells=images[places] * free.shape[1] + cells,
        classes=before[kept][stays],
        places=places,
        is_free=free[stays],
    )


def _labels(index: Index, images: Numbers) -> Flags:
    pairs = index.query(LABELS)
    chosen = np.isin(pairs["image"], images)
    has = np.zeros((len(index.manifest.classes), len(images)), np.bool_)
    has[pairs["class"][chosen], np.searchsorted(images, pairs["image"][chosen])] = True
    return has


def _explain(index: Index, foreground: Flags, after: Numbers) -> str:
    if foreground.all():  # of no cell too
        return explain_no_background(index)
    if (after < 0).all():
        return f"no image of {index.name} was ever seen with its objects covered: what stays is not known"
    return (
        f"every background cell of {index.name} touches an object, whose outline it sees even where it is "
        "covered; a backbone with a finer grid may have others: audit models"
    )
