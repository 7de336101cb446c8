"""One image inpainted and occluded, and the cells whose class that changed (Figures 2 and 12)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auditor.records import ImageGrids, Rate
from auditor.report.metric import metric
from auditor.report.record import NOT_WRITTEN, Record

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Guess:
    """A class that the whole image is taken for."""

    label: int
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Flip:
    """A cell whose class changed once the foreground of the image, or of its inpainted self, was occluded."""

    image: str  # the variant before: original or inpainted
    row: int
    col: int
    is_background: bool
    was: int
    was_name: str
    became: int
    became_name: str


@dataclass(frozen=True, slots=True)
class Shift:
    """What the occlusion of one image did to its cells: all of them, those of the background, those to K."""

    image: str
    flipped: Rate = field(metadata=metric("Cells that flipped", "cells whose class changed ÷ cells"))
    flipped_background: Rate = field(
        metadata=metric("BG cells", "background cells whose class changed ÷ background cells")
    )
    flipped_to_class: Rate = field(
        metadata=metric("BG cells to K", "background cells whose class became K ÷ background cells")
    )
    flips: tuple[Flip, ...]


@dataclass(frozen=True, slots=True)
class ImageContext(Record):
    """`audit occlude`: an image, the same inpainted, and both with the foreground occluded.

    `grids` holds the variants original, without_fg and, where there is an inpainting, inpainted and
    inpainted_without_fg; `guesses` the five likeliest classes of each as a whole. `grids.label` is K.
    `inpainting` says whose it is; `outside_change` is how much it changed the pixels outside the mask, on
    average and in levels of 255: none where OpenCV painted, some where a generative model did. `inputs`
    (S, S, 3) are the variants as a person sees them, for drawing.
    """

    index: str
    fill: str
    inpainting: str
    outside_change: float | None
    grids: ImageGrids
    guesses: tuple[tuple[Guess, ...], ...]
    shifts: tuple[Shift, ...]
    inputs: tuple[Pixels, ...] = field(default=(), metadata=NOT_WRITTEN)
