"""What is said of images, as one thing that can be exchanged among them: labels, and the cells of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from auditor.store import Index

Place = Literal["foreground", "background"]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

AT_PLACE = "SELECT image, cell FROM cells WHERE variant = 0 AND foreground = $foreground"
LABELS = """
SELECT id AS image, unnest(labels) AS class FROM images WHERE usable ORDER BY image, class
"""
MARKS = """
SELECT image, cell, unnest(present) AS class FROM cells JOIN images ON images.id = image
WHERE usable AND variant = 0 AND cells.foreground IS NOT NULL
"""


def cells_on(index: Index, place: Place) -> Flags:
    """Which cells (images, H * W) hold something annotated, or are known to hold nothing annotated.

    The cells of an image that nobody annotated are neither: what lies in them is unknown.
    """
    rows = index.query(AT_PLACE, {"foreground": place == "foreground"})
    is_there = np.zeros((index.images, index.manifest.cells_per_image), dtype=np.bool_)
    is_there[rows["image"], rows["cell"]] = True
    return is_there


def annotated_images(index: Index) -> Numbers:
    """The ids of the usable images whose foreground is known, in order: of all their cells or of none."""
    rows = index.query(
        "SELECT id FROM images WHERE usable AND id IN "
        "(SELECT image FROM cells WHERE variant = 0 AND cell = 0 AND foreground IS NOT NULL) ORDER BY id"
    )
    return np.asarray(rows["id"], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Annotations:
    """Sorted keys, places being those of the usable images in their order.

    `labels` are place * classes + class, `marks` (place * cells + cell) * classes + class: an object's cells,
    every cell of an image that has labels and no annotation. `foreground` (n, N) are the cells of any object.
    `source` (n,) is the place whose label and annotation an image has: its own, until they are exchanged.
    """

    classes: int
    cells: int
    labels: Numbers
    marks: Numbers
    foreground: Flags
    source: Numbers

    @property
    def is_labelled(self) -> Flags:
        """Which images (n,) have a label."""
        found = np.zeros(len(self.foreground), np.bool_)
        found[self.labels // self.classes] = True
        return found[self.source]

    def has_label(self, places: Numbers, classes: Numbers) -> Flags:
        """Whether each image is said to hold each class."""
        return holds(self.labels, self.source[places] * self.classes + classes)

    def has_mark(self, cells: Numbers, classes: Numbers) -> Flags:
        """Whether each cell (place * cells + cell) is said to hold each class; not where the cell is -1."""
        place, cell = np.divmod(cells, self.cells)
        keys = (self.source[place] * self.cells + cell) * self.classes + classes
        return holds(self.marks, keys) & (cells >= 0)

    def marks_of(self, places: Numbers) -> tuple[Numbers, Numbers]:
        """Every mark of these images in order: its cell (place * cells + cell) and its class."""
        width = self.cells * self.classes
        starts = self.source[places] * width
        firsts, ends = np.searchsorted(self.marks, starts), np.searchsorted(self.marks, starts + width)
        sizes = ends - firsts
        mark = np.arange(sizes.sum()) + np.repeat(firsts - np.cumsum(sizes) + sizes, sizes)
        cell, label = np.divmod(self.marks[mark] - np.repeat(starts, sizes), self.classes)
        return np.repeat(places, sizes) * self.cells + cell, label

    def foreground_of(self, places: Numbers) -> Flags:
        """The cells (n, N) of any object in these images."""
        return self.foreground[self.source[places]]

    def shares(self) -> NDArray[np.float64]:
        """How many labelled images hold each class in each cell, (N, K) of all of them, exchanged or not."""
        places = self.marks % (self.cells * self.classes)
        counts = np.bincount(places, minlength=self.cells * self.classes).reshape(self.cells, self.classes)
        return np.asarray(counts / max(int(self.is_labelled.sum()), 1))

    def exchanged(self, rng: np.random.Generator) -> Annotations:
        """Every labelled image has label and annotation of one that is drawn, each of them once."""
        source, labelled = self.source.copy(), np.flatnonzero(self.is_labelled)
        source[labelled] = self.source[rng.permutation(labelled)]
        return replace(self, source=source)


def read_annotations(index: Index, images: Numbers) -> Annotations:
    """Those of all usable images, whose ids these are."""
    classes, cells = len(index.manifest.classes), index.manifest.cells_per_image
    foreground, is_bare = cells_on(index, "foreground")[images], ~np.isin(images, annotated_images(index))
    rows = index.query(LABELS)
    label = np.asarray(rows["class"], dtype=np.int64)
    place = np.searchsorted(images, np.asarray(rows["image"], dtype=np.int64))
    marks = index.query(MARKS)
    marked, inside, shown = (np.asarray(marks[name], dtype=np.int64) for name in ("image", "cell", "class"))
    bare = is_bare[place]
    foreground[place[bare]] = True
    everywhere = (place[bare][:, None] * cells + np.arange(cells)) * classes + label[bare][:, None]
    annotated = (np.searchsorted(images, marked) * cells + inside) * classes + shown
    keys = np.unique(np.concatenate([annotated, everywhere.ravel()]))
    own = np.arange(len(images))
    return Annotations(classes, cells, np.unique(place * classes + label), keys, foreground, own)


def holds(keys: Numbers, wanted: Numbers) -> Flags:
    """Which of the wanted keys are among sorted ones."""
    if not len(keys):
        return np.zeros(wanted.shape, np.bool_)
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[found] == wanted, dtype=np.bool_)
