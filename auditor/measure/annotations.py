"""What is said of images, as one thing that can be exchanged among them: labels, and the cells of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auditor.store import Index

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

LABELS = """
SELECT id AS image, unnest(labels) AS class FROM images WHERE usable ORDER BY image, class
"""
MARKS = """
SELECT image, cell, unnest(present) AS class FROM cells JOIN images ON images.id = image
WHERE usable AND variant = 0 AND cells.foreground IS NOT NULL
"""
FOREGROUND = """
SELECT coalesce(cells.foreground, len(labels) > 0, false) AS foreground, cells.foreground IS NOT NULL AS known
FROM cells JOIN images ON images.id = image WHERE usable AND variant = 0 ORDER BY image, cell
"""


@dataclass(frozen=True, slots=True)
class Annotations:
    """Sorted keys, places being those of the usable images in their order.

    `labels` are place * classes + class, `marks` (place * cells + cell) * classes + class: an object's cells,
    every cell of an image that has labels and no annotation. `foreground` (n, N) are the cells of any object.
    """

    classes: int
    cells: int
    labels: Numbers
    marks: Numbers
    foreground: Flags

    @property
    def is_labelled(self) -> Flags:
        """Which images (n,) have a label."""
        found = np.zeros(len(self.foreground), np.bool_)
        found[self.labels // self.classes] = True
        return found

    def has_label(self, places: Numbers, classes: Numbers) -> Flags:
        """Whether each image is said to hold each class."""
        return holds(self.labels, places * self.classes + classes)

    def has_mark(self, cells: Numbers, classes: Numbers) -> Flags:
        """Whether each cell (place * cells + cell) is said to hold each class; not where the cell is -1."""
        return holds(self.marks, cells * self.classes + classes) & (cells >= 0)

    def shares(self) -> NDArray[np.float64]:
        """How many labelled images hold each class in each cell, (N, K) of all of them."""
        places = self.marks % (self.cells * self.classes)
        counts = np.bincount(places, minlength=self.cells * self.classes).reshape(self.cells, self.classes)
        return np.asarray(counts / max(int(self.is_labelled.sum()), 1))

    def exchanged(self, rng: np.random.Generator) -> Annotations:
        """Every labelled image has label and annotation of one that is drawn, each of them once."""
        order = np.arange(len(self.foreground))
        labelled = np.flatnonzero(self.is_labelled)
        order[labelled] = rng.permutation(labelled)
        given_to = np.empty_like(order)
        given_to[order] = np.arange(len(order))
        return replace(
            self,
            labels=_moved(self.labels, given_to, self.classes),
            marks=_moved(self.marks, given_to, self.cells * self.classes),
            foreground=self.foreground[order],
        )


def read_annotations(index: Index, images: Numbers) -> Annotations:
    """Those of all usable images, whose ids these are."""
    classes, cells = len(index.manifest.classes), index.manifest.cells_per_image
    found = index.query(FOREGROUND)
    foreground, known = (
        np.ma.getdata(found[name]).astype(np.bool_).reshape(-1, cells) for name in ("foreground", "known")
    )
    rows = index.query(LABELS)
    label = np.asarray(rows["class"], dtype=np.int64)
    place = np.searchsorted(images, np.asarray(rows["image"], dtype=np.int64))
    marks = index.query(MARKS)
    marked, inside, shown = (np.asarray(marks[name], dtype=np.int64) for name in ("image", "cell", "class"))
    bare = ~np.asarray(known.any(axis=1))[place]
    everywhere = (place[bare][:, None] * cells + np.arange(cells)) * classes + label[bare][:, None]
    annotated = (np.searchsorted(images, marked) * cells + inside) * classes + shown
    keys = np.unique(np.concatenate([annotated, everywhere.ravel()]))
    return Annotations(classes, cells, np.unique(place * classes + label), keys, foreground)


def holds(keys: Numbers, wanted: Numbers) -> Flags:
    """Which of the wanted keys are among sorted ones."""
    if not len(keys):
        return np.zeros(wanted.shape, np.bool_)
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[found] == wanted, dtype=np.bool_)


def _moved(keys: Numbers, given_to: Numbers, width: int) -> Numbers:
    return np.sort(given_to[keys // width] * width + keys % width)
