"""The prediction grid of an image, from the index or from the backbone that made it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from auditor.explain.crops import is_outside
from auditor.measure.images import grids_of
from auditor.questions.grid.record import PredictionGrid
from auditor.records import ImageGrids
from auditor.store import Index


def grid(index: Index, image: str) -> PredictionGrid:
    """The class of every cell of an indexed image, in its variants, or of an image file of its own."""
    if is_outside(index, image):
        from auditor.explain.live import grids_of_file

        return _answer(grids_of_file(index, Path(image)))
    return _answer(grids_of(index, index.image(image)))


def _answer(grids: ImageGrids) -> PredictionGrid:
    return PredictionGrid(**{each.name: getattr(grids, each.name) for each in fields(ImageGrids)})


def spread(index: Index, count: int) -> list[str]:
    """The paths of so many usable images, evenly over the index."""
    usable: list[str] = index.query("SELECT path FROM images WHERE usable ORDER BY id")["path"].tolist()
    return usable[:: max(1, len(usable) // max(1, count))][:count]
