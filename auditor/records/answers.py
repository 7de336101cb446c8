"""What several questions answer with, and what lists of indexes and backbones hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.grids import Mask
from auditor.records.inputs import Certificate, Precision, Runtime


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
class Agreement:
    """How far an index's cells are from those of eager torch in float32, on the certificate's images.

    `changed` counts the cells that have another top-1 class, None without a head; `cosine` is that of the two
    features of the cell where it is lowest.
    """

    runtime: Runtime
    precision: Precision
    images: int
    changed: Rate | None
    cosine: float


@dataclass(frozen=True, slots=True)
class BadImage:
    """An image that could not be read: `code` is one of `ImageError`'s, `error` a sentence."""

    path: str
    code: str | None
    error: str


@dataclass(frozen=True, slots=True)
class SearchLists:
    """How a large index is searched: its cells lie in `lists`, of which `probed` are looked into.

    Of the cells found there by their codes, `reranked` are compared by their stored features. `recall` is the
    share of the 20 nearest cells, one of each other image, that this finds: measured on `asked` cells of the
    index that had no part in choosing `probed`, when it had `measured` cells; `trained` is how many it had
    when the lists were made.
    """

    cells: int
    lists: int
    probed: int
    reranked: int
    recall: float
    asked: int
    trained: int
    measured: int = 0


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """One row of `audit list`: `images` lie in the dataset, of which `broken` and `filtered` have no cells.

    images + removed were listed; images = indexed + broken + filtered. `empty_cells` have features of zeros.
    The counts are None while the index is unfinished, or where it is older than they are; `caveats` are
    sentences that every answer of the index begins with. When an index has just been made, `bad` lists the
    broken images and `unclear` counts those whose foreground is unknown; else they are empty and None.

    `weights` is a file's path, "hub", "package" or "random:SEED"; `created` and `modified` are ISO times in
    UTC; `problem` says why the index cannot be opened; where its manifest is damaged, nothing else is known.
    `evidence` is the sentence on whether its cells carry the class; `audit list` alone asks for it,
    and for `hygiene`, the verdict on its cells in a few words. `part` is "3/16" of an index; `search` says
    how it is searched where that is not exact, `agreement` how its cells differ from eager torch's in float32
    where they are not those.
    """

    name: str
    dataset: str
    backbone: str
    images: int
    cells: int
    bytes: int
    head: str
    certificate: Certificate | None
    is_complete: bool
    caveats: tuple[str, ...] = ()
    broken: int | None = None
    filtered: int | None = None
    removed: int = 0
    empty_cells: int | None = None
    images_with_empty_cells: int | None = None
    weights: str = ""
    created: str = ""
    modified: str = ""
    is_newest: bool = False
    problem: str | None = None
    bad: tuple[BadImage, ...] = ()
    unclear: int | None = None
    evidence: str | None = None
    hygiene: str | None = None
    part: str | None = None
    search: SearchLists | None = None
    agreement: Agreement | None = None

    @property
    def indexed(self) -> int | None:
        """Images that have cells."""
        known = self.broken is not None and self.filtered is not None
        return self.images - (self.broken or 0) - (self.filtered or 0) if known else None


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

    def name_of(self, label: int) -> str:
        """A class by its name, or by its id where it has none."""
        return self.names.get(label, f"class {label}")

    def rank_classes(self) -> list[int]:
        """The class ids seen in any variant, by number of cells, then by id."""
        labels, cells = np.unique(self.labels, return_counts=True)
        return [int(labels[place]) for place in np.lexsort((labels, -cells))]


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
class Check:
    """What `audit check` found: files verified, what is damaged, what was repaired, how to repair the rest.

    `repair` holds commands, to be run one after another. `changed` and `gone` are images of the dataset that
    are not what was indexed any more, or not there: None where the dataset was not compared.
    """

    index: str
    files: int
    bytes: int
    problems: tuple[str, ...]
    repaired: tuple[str, ...]
    repair: tuple[str, ...] = ()
    changed: tuple[str, ...] | None = None
    gone: tuple[str, ...] | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong now."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Estimate:
    """`audit plan`: what an index would take, measured on `probed` of its images.

    Of the disk `bytes_per_image` and `fixed_bytes` whatever their number, of which `free_bytes` are there; at
    most about `memory_bytes`, of which the machine has `machine_bytes`, None where it does not say. A large
    index is searched by lists of `lists_bytes`, which those on the disk include.
    `images` and `cells` are all that are listed: those that cannot be read have none.
    """

    index: str
    images: int
    grid: tuple[int, int]
    dim: int
    size: int
    head: str
    variants: tuple[str, ...]
    bytes_per_image: float
    lists_bytes: int
    fixed_bytes: int
    free_bytes: int
    memory_bytes: int
    machine_bytes: int | None
    seconds_per_image: float
    probed: int

    @property
    def cells(self) -> int:
        """Of the original images, as `audit list` counts them."""
        return self.images * self.grid[0] * self.grid[1]

    @property
    def bytes(self) -> int:
        """What the index takes on the disk."""
        return self.fixed_bytes + round(self.images * self.bytes_per_image)

    @property
    def seconds(self) -> float:
        """What indexing takes, but for loading the model and building what is derived."""
        return self.images * self.seconds_per_image

    @property
    def is_possible(self) -> bool:
        """Whether disk and memory hold it."""
        is_small = self.machine_bytes is None or self.memory_bytes <= self.machine_bytes
        return is_small and self.bytes <= self.free_bytes


@dataclass(frozen=True, slots=True)
class BackboneRow:
    """One row of `audit models`: a catalog entry with the grid and dim of its default input.

    `parameters` are those of the published weights, which take 4 bytes each.
    """

    name: str
    library: str
    model: str
    grid: tuple[int, int]
    dim: int
    aggregation: str
    readout: str
    note: str = ""
    parameters: int = 0
