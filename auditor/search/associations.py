"""Which values of which columns the images of a group have more often: exact tests over images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auditor.measure.significance import over_represented
from auditor.search.class_shares import ImageClasses
from auditor.store import Index

LEAST = 3  # images of a value or a group that is tested, and images without it

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

COLUMNS = """
SELECT coalesce(split, '') AS split, coalesce(metadata, '') AS metadata FROM images WHERE usable ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one column, and who has them: image `images[k]` (of n) has value `values[k]`.

    Pairs, no table: of 100,000 images and 1,000 classes a table takes more memory than all else.
    """

    column: str
    names: tuple[str, ...]
    values: Numbers
    images: Numbers
    count: int

    @property
    def known(self) -> Flags:
        """The images (n,) that say anything."""
        return np.bincount(self.images, minlength=self.count) > 0

    @property
    def totals(self) -> Numbers:
        """How many images have each value (v,)."""
        return np.bincount(self.values, minlength=len(self.names))

    @property
    def table(self) -> csr_array:
        """The images by their values (n, v)."""
        return _table(self.images, self.values, (self.count, len(self.names)))

    def shuffled(self, rng: np.random.Generator) -> Values:
        """The same values, exchanged among the images that say anything."""
        known = np.flatnonzero(self.known)
        other = np.arange(self.count)
        other[rng.permutation(known)] = known
        return replace(self, images=other[self.images])


def columns_of_images(index: Index, images: Numbers) -> tuple[Values, ...]:
    """Label, split and metadata of these images (n,), those with a value that enough of them have."""
    classes = ImageClasses.of(index)
    is_usable = np.isin(classes.images, images)
    place = np.searchsorted(images, classes.images[is_usable])
    rows = index.query(COLUMNS)
    texts = [json.loads(text) if text else {} for text in rows["metadata"].tolist()]
    said = {"split": rows["split"].tolist()}
    said |= {name: [text.get(name) for text in texts] for name in sorted({k for text in texts for k in text})}
    labels = Values("label", classes.names, classes.classes[is_usable], place, len(images))
    found = [labels, *(_of_column(name, each) for name, each in said.items())]
    kept = (_tested(values) for values in found)
    return tuple(values for values in kept if values.names)


def _of_column(column: str, said: Sequence[object]) -> Values:
    named = [(str(each), image) for image, each in enumerate(said) if each not in (None, "")]
    names, values = np.unique(np.array([name for name, _ in named], dtype=object), return_inverse=True)
    images = np.array([image for _, image in named], dtype=np.int64)
    return Values(column, tuple(names.tolist()), np.asarray(values, dtype=np.int64), images, len(said))


def _tested(values: Values) -> Values:
    """Without the values of too few or of nearly all images."""
    known = int(values.known.sum())
    kept = np.flatnonzero((values.totals >= LEAST) & (known - values.totals >= LEAST))
    is_kept = np.isin(values.values, kept)
    return replace(
        values,
        names=tuple(values.names[k] for k in kept),
        values=np.searchsorted(kept, values.values[is_kept]),
        images=values.images[is_kept],
    )


def _table(rows: Numbers, columns: Numbers, shape: tuple[int, int]) -> csr_array:
    """Ones at these places, of which none is twice."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape)


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


def compare_groups(groups: csr_array, columns: Sequence[Values], level: float = 1.0) -> Tests:
    """Every group of images, ones in (g, n), against every value of every column.

    A p whose q is not below `level` may be given as 1.
    """
    hits = [(groups @ values.table).toarray() for values in columns]
    sizes = [len(values.names) for values in columns]
    known = [groups @ values.known.astype(np.int64) for values in columns]
    everything = np.repeat([int(values.known.sum()) for values in columns], sizes)
    of_values = np.concatenate([values.totals for values in columns])
    drawn = np.repeat(np.stack(known, axis=1), sizes, axis=1)
    together = np.concatenate(hits, axis=1)
    p_and_q = over_represented(together, of_values, drawn, everything, level)
    return Tests(together, of_values, drawn, everything, *p_and_q)


def group_table(groups: NDArray[np.int16]) -> csr_array:
    """Which images (n) hold a cell of each group, ones in (g, n), from the groups (n, N) of their cells.

    A cell of group -1 is of none.
    """
    from scipy.sparse import csr_array

    ordered = np.sort(groups, axis=1)
    is_first = ordered >= 0
    is_first[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    held, ends = ordered[is_first].astype(np.int32), np.append(0, is_first.sum(axis=1)).cumsum()
    ones = np.ones(len(held), np.int32)
    shape = (len(groups), int(groups.max()) + 1)
    return csr_array((ones, held, ends.astype(np.int32)), shape=shape).T.tocsr()


def odds_ratio(hits: int, total: int, drawn: int, everything: int) -> float:
    """Odds of a group's images to have the value over those of the others; half an image added to each."""
    inside, outside = (hits + 0.5) / (drawn - hits + 0.5), total - hits + 0.5
    return inside / (outside / (everything - total - drawn + hits + 0.5))
