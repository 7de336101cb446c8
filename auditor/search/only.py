"""Among which cells an answer is sought: of images of a class, or of any other; of a split; on the object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.measure.images import find_class
from auditor.store import Index

if TYPE_CHECKING:
    from auditor.measure.annotations import Place

LABELLED = "SELECT id FROM images WHERE label = $label OR list_contains(labels, $label)"
IN_SPLIT = "SELECT id FROM images WHERE split = $split"
SPLITS = "SELECT DISTINCT split FROM images WHERE split IS NOT NULL ORDER BY split"


@dataclass(frozen=True, slots=True)
class Only:
    """What is asked for; None asks for nothing. Classes by id, name or synset."""

    class_: str | None = None
    not_class: str | None = None
    split: str | None = None
    place: Place | None = None

    def __str__(self) -> str:
        return ", ".join(
            f"{words} {value}"
            for words, value in (
                ("of class", self.class_),
                ("not of class", self.not_class),
                ("of split", self.split),
                ("on the", self.place),
            )
            if value is not None
        )

    def among(self, index: Index, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The allowed cells (images, cells) that are asked for; DatasetError where there are none."""
        for chosen in self._masks(index, allowed):
            allowed = allowed & chosen
        if str(self) and not allowed.any():
            raise DatasetError(f"{index.name} has no cell that is {self}")
        return allowed

    def _masks(self, index: Index, allowed: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
        if self.class_ is not None:
            yield _images(index, LABELLED, label=find_class(index, self.class_))
        if self.not_class is not None:
            yield ~_images(index, LABELLED, label=find_class(index, self.not_class))
        if self.split is not None:
            splits = index.query(SPLITS)["split"].tolist()
            if self.split not in splits:
                known = ", ".join(splits) or "none"
                raise DatasetError(f"{index.name} has no split {self.split!r}; it has: {known}")
            yield _images(index, IN_SPLIT, split=self.split)
        if self.place is not None:
            from auditor.measure.annotations import cells_on  # most answers are not sought by place

            yield cells_on(index, self.place)


ANY = Only()


def _images(index: Index, sql: str, **value: int | str) -> NDArray[np.bool_]:
    """A flag (images, 1) of those that a query names."""
    mask = np.zeros((index.images, 1), dtype=np.bool_)
    mask[index.query(sql, value)["id"]] = True
    return mask
