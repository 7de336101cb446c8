"""The five best classes that an index keeps of every cell, some images at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.store import Index

TOP = 5
CELLS = """
SELECT image, {columns} FROM cells JOIN images ON images.id = image
WHERE usable AND variant = $variant AND image BETWEEN $first AND $last ORDER BY image, cell
"""
READ = 5_000  # images whose cells are read at a time

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Guesses:
    """The first classes (..., T) and their probabilities; what is left is spread over the other classes."""

    classes: int
    top: NDArray[np.int32]
    p: NDArray[np.float32]

    def of(self, wanted: NDArray[np.integer], where: Numbers | None = None) -> NDArray[np.float64]:
        """The probability of a class at each place."""
        top, p = (self.top, self.p) if where is None else (self.top[where], self.p[where])
        p = p.astype(np.float64)
        rest = (1 - p.sum(axis=-1)).clip(0) / max(self.classes - top.shape[-1], 1)
        is_wanted = top == wanted[..., None]
        return np.asarray(np.where(is_wanted.any(axis=-1), (p * is_wanted).sum(axis=-1), rest))


def read_guesses(index: Index, images: Numbers, variant: int, first: int = TOP) -> tuple[Numbers, Guesses]:
    """Those of usable images (in order) that have the variant; the `first` guesses (n, N) of their cells."""
    which = {"variant": variant, "first": int(images[0]), "last": int(images[-1])}
    rows = index.query(CELLS.format(columns=guess_columns(index, "top5", first)), which)
    found, cells = guesses_of(index, rows, first), index.manifest.cells_per_image
    shape = (-1, cells, found.top.shape[-1])
    guesses = Guesses(found.classes, found.top.reshape(shape), found.p.reshape(shape))
    return np.asarray(rows["image"], dtype=np.int64)[::cells], guesses


def guess_columns(index: Index, name: str, first: int = TOP) -> str:
    """What a query selects for `guesses_of`, of the columns NAME and NAME_p: one column for each position."""
    return ", ".join(f"{name}[{n}] AS k{n}, {name}_p[{n}] AS p{n}" for n in _positions(index, first))


def guesses_of(index: Index, rows: dict[str, NDArray[np.generic]], first: int = TOP) -> Guesses:
    """The guesses of a query's rows; class -1 where there is none."""
    top = np.stack([np.ma.filled(rows[f"k{n}"], -1) for n in _positions(index, first)], axis=-1)
    p = np.stack([np.ma.filled(rows[f"p{n}"], 0.0) for n in _positions(index, first)], axis=-1)
    return Guesses(len(index.manifest.classes), top.astype(np.int32), p.astype(np.float32))


def _positions(index: Index, first: int) -> range:
    return range(1, min(first, len(index.manifest.classes)) + 1)
