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
from auditor.measure.annotations import holds
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

    `free` (n,) counts an image's free cells; `labels` are the sorted keys class * n + place of what each is
    labelled with. Of every cell that says a class with the objects and without: its id, its class, its image
    as a place in `images`, and whether it is free.
    """

    images: Numbers
    free: Numbers
    labels: Numbers
    cells: Numbers
    classes: Numbers
    places: Numbers
    is_free: Flags

    @property
    def totals(self) -> Numbers:
        """How many of the images each class has, as far as the last that any is labelled with."""
        return np.bincount(self.labels // max(len(self.images), 1))

    def exchanged(self, rng: np.random.Generator) -> Staying:
        """The same with labels exchanged among images."""
        given_to = np.argsort(rng.permutation(len(self.images)))
        label, place = np.divmod(self.labels, len(self.images))
        return replace(self, labels=np.sort(label * len(self.images) + given_to[place]))

    def has(self, classes: Numbers, places: Numbers) -> Flags:
        """Whether each of these images, as places, is labelled with each of these classes."""
        return holds(self.labels, classes * len(self.images) + places)

    def are_of(self, label: int) -> Flags:
        """Which images (n,) are labelled with a class."""
        count = len(self.images)
        first, last = np.searchsorted(self.labels, (label * count, (label + 1) * count))
        own = np.zeros(count, np.bool_)
        own[self.labels[first:last] - label * count] = True
        return own

    def counts(self, label: int) -> Numbers:
        """In how many free cells each image (n,) says a class."""
        chosen = self.is_free & (self.classes == label)
        return np.bincount(self.places[chosen], minlength=len(self.images))

    def chances(self, label: int, counts: Numbers) -> NDArray[np.float64] | None:
        """The chance (n,) that one of each image's free cells says a class, as cells of images without it do.

        None of a class that every image is labelled with.
        """
        others = ~self.are_of(label)
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
        labels=_labels(index, images),
        cells=images[places] * free.shape[1] + cells,
        classes=before[kept][stays],
        places=places,
        is_free=free[stays],
    )


def _labels(index: Index, images: Numbers) -> Numbers:
    pairs = index.query(LABELS)
    chosen = np.isin(pairs["image"], images)
    classes = np.asarray(pairs["class"][chosen], dtype=np.int64)
    return np.unique(classes * len(images) + np.searchsorted(images, pairs["image"][chosen]))


def _explain(index: Index, foreground: Flags, after: Numbers) -> str:
    if foreground.all():  # of no cell too
        return explain_no_background(index)
    if (after < 0).all():
        return f"no image of {index.name} was ever seen with its objects covered: what stays is not known"
    return (
        f"every background cell of {index.name} touches an object, whose outline it sees even where it is "
        "covered; a backbone with a finer grid may have others: audit models"
    )
