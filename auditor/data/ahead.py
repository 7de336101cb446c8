"""Reading images ahead of the model, in threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from auditor.data.load import Loaded, load
from auditor.records import Dataset, Preprocess, Sample


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
