"""Reading images ahead of the model: files into pixels and foreground, in threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.data.foreground import project
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
    try:
        return project(sample, preprocess.geometry, size, dataset.min_area), None
    except DatasetError as error:
        return None, str(error)


def load_ahead(
    dataset: Dataset, samples: Iterable[Sample], preprocess: Preprocess, *, workers: int, ahead: int
) -> Iterator[Loaded]:
    """Load samples in order, up to `ahead` of them before they are asked for."""
    yield from map_ahead(lambda sample: load(dataset, sample, preprocess), samples, workers, ahead)


def map_ahead(
    function: Callable[[Any], Any], items: Iterable[Any], workers: int, ahead: int
) -> Iterator[Any]:
    """Like map, in threads and in order, never more than `ahead` results waiting."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Any]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
