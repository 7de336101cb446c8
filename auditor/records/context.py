"""What covering the object does to its surroundings: in one image (Figures 2, 12), under every fill (A.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from auditor.records.answers import ImageGrids, Rate


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
    flipped: Rate
    flipped_background: Rate
    flipped_to_class: Rate
    flips: tuple[Flip, ...]


@dataclass(frozen=True, slots=True)
class ImageContext:
    """`audit context --image`: an image, the same inpainted, and both with the foreground occluded.

    `grids` holds the variants original, without_fg and, where there is an inpainting, inpainted and
    inpainted_without_fg; `guesses` the five likeliest classes of each as a whole. `grids.label` is K.
    `inpainting` says whose it is; `outside_change` is how much it changed the pixels outside the mask, on
    average and in levels of 255: none where OpenCV painted, some where a generative model did.
    """

    index: str
    fill: str
    inpainting: str
    outside_change: float | None
    grids: ImageGrids
    guesses: tuple[tuple[Guess, ...], ...]
    shifts: tuple[Shift, ...]


Mark = Literal["mask", "object", "unclear"]


@dataclass(frozen=True, slots=True)
class Placebo:
    """The foreground's mask against the same shape laid over background, in the images where it fits.

    All three rates are over cells that neither mask touches, so that they are of the same cells.
    `left_out` counts the images where the shape fits nowhere, or leaves no such cell. `only_object` counts
    the images whose background shows the class with the foreground covered but not with the placebo,
    `only_placebo` the reverse; `p_value` is McNemar's exact test on the two.
    """

    left_out: int
    bg_act: Rate
    bg_act_without_fg: Rate
    bg_act_without_placebo: Rate
    only_object: int
    only_placebo: int
    p_value: float | None
    q_value: float | None

    @property
    def delta(self) -> float | None:
        """What covering the foreground adds, as a share."""
        return _difference(self.bg_act_without_fg, self.bg_act)

    @property
    def delta_placebo(self) -> float | None:
        """What covering as much of the background adds, as a share."""
        return _difference(self.bg_act_without_placebo, self.bg_act)

    @property
    def mark(self) -> Mark | None:
        """Whose doing Delta is.

        object: the test tells the two masks apart (q < 0.05). mask: it does not, and the placebo shows at
        least half of Delta, in the same direction. unclear: neither. None without Delta.
        """
        if not self.delta or self.delta_placebo is None or self.q_value is None:
            return None
        if self.q_value < 0.05:
            return "object"
        return "mask" if self.delta_placebo / self.delta >= 0.5 else "unclear"


@dataclass(frozen=True, slots=True)
class FillRow:
    """One class under one fill, or all classes where `label` is None.

    Rates are over (image, class) pairs, tests McNemar's, corrected over the rows of the table.
    """

    label: int | None
    name: str
    fill: str
    images: int
    bg_act: Rate
    bg_act_without_fg: Rate
    gained: int
    lost: int
    p_value: float | None
    q_value: float | None
    placebo: Placebo | None

    @property
    def delta(self) -> float | None:
        """BG Act. (w/o FG) - BG Act., as a share."""
        return _difference(self.bg_act_without_fg, self.bg_act)


@dataclass(frozen=True, slots=True)
class FillTable:
    """`audit context --fill`: all classes, then each by its largest Delta under any fill; fill by fill."""

    index: str
    fills: tuple[str, ...]
    rows: tuple[FillRow, ...]


def _difference(after: Rate, before: Rate) -> float | None:
    return None if after.value is None or before.value is None else after.value - before.value
