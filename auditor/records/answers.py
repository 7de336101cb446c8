"""What questions put to an index answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.grids import Mask
from auditor.records.inputs import Certificate


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of counted things: hits of total."""

    hits: int
    total: int

    @property
    def value(self) -> float | None:
        """Hits / total in [0, 1]; None when nothing was counted."""
        return self.hits / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """One row of `audit list`."""

    name: str
    dataset: str
    backbone: str
    images: int
    cells: int
    bytes: int
    head: str
    certificate: Certificate | None
    is_complete: bool


@dataclass(frozen=True, slots=True)
class PresentMetrics:
    """Table 2 among only the classes that the dataset holds, such as ImageNet-A's 200 of 1000."""

    classes: int
    top1: Rate
    top5: Rate
    det_top1: Rate
    det_top5: Rate


@dataclass(frozen=True, slots=True)
class Metrics:
    """Tables 1 to 3 for one index: every rate, those that do not apply with total 0."""

    index: str
    backbone: str
    images: int
    top1: Rate
    top5: Rate
    fg_det: Rate
    loc: Rate
    loc_per_image: float | None
    loc_without_bg: Rate
    bg_act: Rate
    bg_act_without_fg: Rate
    det_top1: Rate
    det_top5: Rate
    real_acc: Rate
    real_rec: Rate
    real_rec_per_image: float | None
    certificate: Certificate | None
    present: PresentMetrics | None = None

    @property
    def delta(self) -> float | None:
        """BG Act. (w/o FG) - BG Act., as a share."""
        before, after = self.bg_act.value, self.bg_act_without_fg.value
        return None if before is None or after is None else after - before


@dataclass(frozen=True, slots=True)
class ImageRow:
    """The counts of one image that every metric adds up (`audit metrics --json`, per image).

    What concerns (image, class) pairs is summed over the image's `classes` evaluation classes, so with one
    class it is 0 or 1; `label` and `predicted` are the image's own.
    """

    path: str
    label: int | None
    predicted: int | None
    top1: int
    top5: int
    fg_cells: int
    bg_cells: int
    fg_hits: int
    fg_cells_without_bg: int
    fg_hits_without_bg: int
    classes: int
    fg_det: int
    bg_act: int
    bg_act_without_fg: int
    det_top1: int
    det_top5: int
    real: int
    real_top1: int
    real_found: int


@dataclass(frozen=True, slots=True)
class ClassContext:
    """One row of Tables 7 and 8, with Wilson 95 % intervals and an exact paired test of Delta.

    `gained` counts the images whose background shows the class only once the foreground is occluded, `lost`
    those that show it only before; `p_value` is McNemar's exact test on the two, `q_value` its
    Benjamini-Hochberg correction over the classes of the table.
    """

    label: int
    name: str
    synset: str | None
    images: int
    loc: Rate
    fg_det: Rate
    bg_act: Rate
    bg_act_interval: tuple[float, float] | None
    bg_act_without_fg: Rate
    bg_act_without_fg_interval: tuple[float, float] | None
    gained: int
    lost: int
    p_value: float | None
    q_value: float | None

    @property
    def delta(self) -> float | None:
        """BG Act. (w/o FG) - BG Act., as a share."""
        before, after = self.bg_act.value, self.bg_act_without_fg.value
        return None if before is None or after is None else after - before


@dataclass(frozen=True, slots=True)
class ContextTable:
    """The classes of an index ranked by context dependence."""

    index: str
    by: str
    rows: tuple[ClassContext, ...]


@dataclass(frozen=True, slots=True)
class ImageGrids:
    """One image's top-1 class and probability in every cell, one grid per variant that was run.

    labels (V, H, W) int, probabilities (V, H, W) float, foreground (H, W) bool or None where nothing is
    annotated.
    """

    path: str
    label: int | None
    variants: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    foreground: Mask | None
    names: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class ClassDetail:
    """`audit context --class K`: the class's row and its images, those that gain the class first."""

    index: str
    row: ClassContext
    images: tuple[ImageGrids, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A retrieved cell and its cosine similarity to the query."""

    path: str
    row: int
    col: int
    cosine: float
    label: str | None
    foreground: bool | None
    predicted: str | None


@dataclass(frozen=True, slots=True)
class Similar:
    """The cells most similar to one cell, best first."""

    index: str
    path: str
    row: int
    col: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two corresponding cells, their cosine, and their share of the cosine of the two mean-pooled vectors."""

    a: tuple[int, int]
    b: tuple[int, int]
    cosine: float
    share: float


@dataclass(frozen=True, slots=True)
class Match:
    """`audit match`: the most similar cell pairs of two images, best first (Figure 9, A.8).

    `cosine` is that of the two mean-pooled vectors; the shares of all H*W * H*W pairs add up to it.
    `explained` is the part of it that the listed pairs account for. `is_exact` says whether the backbone
    pools by the mean, without which the shares do not explain the backbone's own image similarity. `mutual`
    counts the pairs in which each cell is the other's nearest, where only such pairs are listed.
    """

    index: str
    a: str
    b: str
    cosine: float
    explained: float
    is_exact: bool
    pairs: tuple[Pair, ...]
    mutual: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """What `audit check` found: files verified, what is damaged, what was repaired."""

    index: str
    files: int
    bytes: int
    problems: tuple[str, ...]
    repaired: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong now."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class BackboneRow:
    """One row of `audit models`: a catalog entry with the grid and dim of its default input."""

    name: str
    library: str
    model: str
    grid: tuple[int, int]
    dim: int
    aggregation: str
    readout: str
    note: str = ""
