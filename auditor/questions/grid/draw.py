"""The class of every cell, drawn over the image (Figure 0)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auditor.draw.grids import draw_grid
from auditor.explain.crops import crop
from auditor.questions.grid.record import PredictionGrid
from auditor.report.views import Picture
from auditor.store import Index


def draw_prediction(index: Index, grids: PredictionGrid) -> Iterator[Picture]:
    """The original with the class of every cell."""
    drawn = draw_grid(crop(index, grids.path), grids, "original")
    caption = f"{grids.path}: the class predicted in every cell (Figure 0)"
    yield Picture(("grid", Path(grids.path).stem), drawn, caption)


DRAWINGS = {PredictionGrid: draw_prediction}
