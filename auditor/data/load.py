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
from auditor.data.pixels import load_hashed
from auditor.errors import DatasetError
from auditor.records import Dataset, Foreground, Preprocess, Sample


@dataclass(frozen=True, slots=True)
class Loaded:
    """One image read, or why it was not: status is ok, broken or filtered."""

    sample: Sample
    status: str
    error: str | None = None
    hash: str | None = None
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
        pixels, size, digest = load_hashed(dataset.root / sample.path, preprocess)
        foreground = project(sample, preprocess.geometry, size, dataset.min_area)
    except (DatasetError, OSError) as error:
        return Loaded(sample, "broken", str(error))
    if dataset.min_area and (foreground is None or not foreground.labels):
        reason = f"no annotation covers {dataset.min_area:.0%} of the crop"
        return Loaded(sample, "filtered", reason, digest, size)
    return Loaded(sample, "ok", None, digest, size, pixels, foreground)


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
