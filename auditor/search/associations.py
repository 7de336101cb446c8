"""Which values of which columns the images of a group have more often: exact tests over images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.measure.significance import over_represented
from auditor.search.class_shares import ImageClasses
from auditor.store import Index

LEAST = 3  # images of a value or a group that is tested, and images without it

Flags = NDArray[np.bool_]

COLUMNS = """
SELECT coalesce(split, '') AS split, coalesce(metadata, '') AS metadata FROM images WHERE usable ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one column: which images (n,) say anything, and which have each value (v, n)."""

    column: str
    names: tuple[str, ...]
    has: Flags

    @property
    def known(self) -> Flags:
        """The images (n,) that say anything."""
        return np.asarray(self.has.any(axis=0), dtype=np.bool_)

    def shuffled(self, rng: np.random.Generator) -> Values:
        """The same values, exchanged among the images that say anything."""
        known = np.flatnonzero(self.known)
        has = self.has.copy()
        has[:, known] = self.has[:, rng.permutation(known)]
        return Values(self.column, self.names, has)


def columns_of_images(index: Index, images: NDArray[np.int64]) -> tuple[Values, ...]:
    """Label, split and metadata of these images (n,), those with a value that enough of them have."""
    classes = ImageClasses.of(index)
    is_usable = np.isin(classes.images, images)
    place = np.searchsorted(images, classes.images[is_usable])
    has = np.zeros((len(classes.names), len(images)), np.bool_)
    has[classes.classes[is_usable], place] = True
    rows = index.query(COLUMNS)
    texts = [json.loads(text) if text else {} for text in rows["metadata"].tolist()]
    said = {"split": rows["split"].tolist()}
    said |= {name: [text.get(name) for text in texts] for name in sorted({k for text in texts for k in text})}
    found = [Values("label", classes.names, has), *(_of_column(name, each) for name, each in said.items())]
    kept = (_tested(values) for values in found)
    return tuple(values for values in kept if values.names)


def _of_column(column: str, said: Sequence[object]) -> Values:
    names = sorted({str(each) for each in said if each not in (None, "")})
    texts = np.array([str(each) for each in said], dtype=object)
    return Values(column, tuple(names), np.array([texts == name for name in names], np.bool_))


def _tested(values: Values) -> Values:
    """Without the values of too few or of nearly all images."""
    if not values.names:
        return values
    counts, known = values.has.sum(axis=1), int(values.known.sum())
    kept = np.flatnonzero((counts >= LEAST) & (known - counts >= LEAST))
    return Values(values.column, tuple(values.names[k] for k in kept), values.has[kept])


@dataclass(frozen=True, slots=True)
class Tests:
    """Groups (g) against all values (v): images with both, of the value, of the group, of all; p and q.

    `hits` and `drawn` are (g, v), `totals` and `everything` (v,). p is the chance that so many or more of a
    group's images have the value by drawing as many at random (Fisher's exact test, one-sided); q is
    Benjamini and Hochberg's, over all groups and values of all columns.
    """

    hits: NDArray[np.int64]
    totals: NDArray[np.int64]
    drawn: NDArray[np.int64]
    everything: NDArray[np.int64]
    p_values: NDArray[np.float64]
    q_values: NDArray[np.float64]


def compare_groups(members: Flags, columns: Sequence[Values]) -> Tests:
    """Every group of images (g, n) against every value of every column."""
    has = np.concatenate([values.has for values in columns]).astype(np.float32)
    known = np.concatenate([np.broadcast_to(values.known, values.has.shape) for values in columns])
    groups = members.astype(np.float32)
    hits, drawn = (np.rint(groups @ part.T).astype(np.int64) for part in (has, known.astype(np.float32)))
    totals, everything = has.sum(axis=1).astype(np.int64), known.sum(axis=1).astype(np.int64)
    return Tests(hits, totals, drawn, everything, *over_represented(hits, totals, drawn, everything))


def odds_ratio(hits: int, total: int, drawn: int, everything: int) -> float:
    """Odds of a group's images to have the value over those of the others; half an image added to each."""
    inside, outside = (hits + 0.5) / (drawn - hits + 0.5), total - hits + 0.5
    return inside / (outside / (everything - total - drawn + hits + 0.5))
