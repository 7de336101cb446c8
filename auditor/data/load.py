"""Reading images: files into pixels and foreground."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auditor.data.pixels import read_content
from auditor.errors import DatasetError, ImageError
from auditor.records import Dataset, Foreground, Preprocess, Sample


@dataclass(frozen=True, slots=True)
class Loaded:
    """One image read, or why it was not: status is ok, broken or filtered, `error` the reason.

    `code` is the reason in one word: what `ImageError` lists, or `annotation` for an image that is ok and
    whose foreground is unknown.
    """

    sample: Sample
    status: str
    error: str | None = None
    code: str | None = None
    hash: str | None = None
    bytes: int | None = None
    mtime_ns: int | None = None
    size: tuple[int, int] | None = None  # width, height of the upright original
    pixels: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))  # (S, S, 3)
    foreground: Foreground | None = None

    @property
    def is_ok(self) -> bool:
        """Whether the image has pixels and takes part."""
        return self.status == "ok"


def load(dataset: Dataset, sample: Sample, preprocess: Preprocess) -> Loaded:
    """Read one image; a broken one is described, never raised."""
    try:
        content = read_content(dataset.root / sample.path)
    except ImageError as error:
        return Loaded(sample, "broken", str(error), error.code)
    stamp = content.hash, content.size, content.mtime_ns
    try:
        pixels, size = content.decode(preprocess)
    except ImageError as error:
        return Loaded(sample, "broken", str(error), error.code, *stamp)
    foreground, unclear = _project(dataset, sample, preprocess, size)
    if dataset.min_area and not unclear and (foreground is None or not foreground.labels):
        reason = f"no annotation covers {dataset.min_area:.0%} of the crop"
        return Loaded(sample, "filtered", reason, None, *stamp, size)
    code = "annotation" if unclear else None
    return Loaded(sample, "ok", unclear, code, *stamp, size, pixels, foreground)


def _project(
    dataset: Dataset, sample: Sample, preprocess: Preprocess, size: tuple[int, int]
) -> tuple[Foreground | None, str | None]:
    """The foreground, or None and why it is unknown: never one that lacks what is annotated."""
    if sample.unclear:
        return None, sample.unclear
    if not sample.regions:
        return None, None
    from auditor.data.foreground import project  # what draws masks; a photograph alone does not wait for it

    try:
        return project(sample, preprocess.geometry, size, dataset.min_area), None
    except DatasetError as error:
        return None, str(error)
