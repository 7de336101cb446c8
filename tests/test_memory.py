"""Nothing is kept of what was read: ten thousand images, as many questions, a thousand indexes opened."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from photos import write_photo

from auditor.data.ahead import load_ahead
from auditor.records import Dataset, Preprocess, Sample
from auditor.store import Index
from indexes import make_world, write_world

pytestmark = pytest.mark.slow
MORE = 8 << 20  # bytes: what a kilobyte for each of ten thousand would be


def resident() -> int:
    """Bytes of memory that this process has now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def assert_flat(once: Callable[[int], object], count: int = 10_000) -> None:
    """The last four fifths take nothing more."""
    before = 0
    for number in range(count):
        if number == count // 5:
            before = resident()
        once(number)
    assert resident() - before < MORE


def test_images_are_not_kept(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(8)]
    for number, name in enumerate(names):
        write_photo(tmp_path / name, number)
    (tmp_path / names[3]).write_bytes(b"no image")
    dataset = Dataset(tmp_path, "folder", (), ())
    samples = (Sample(name) for name in itertools.islice(itertools.cycle(names), 10_000))
    loaded = load_ahead(dataset, samples, Preprocess(64, 64), workers=2, ahead=16)
    assert_flat(lambda number: next(loaded))


def test_answers_are_not_kept(tmp_path: Path) -> None:
    path = write_world(tmp_path / "index", make_world(3, 20))
    with Index.open(path) as index:
        assert_flat(
            lambda number: (
                index.query("SELECT count(*) FROM cells WHERE image = ?", [number % 20]),
                index.vectors(np.arange(9) + number % 20 * 9),
            )
        )


def test_open_indexes_are_let_go(tmp_path: Path) -> None:
    path = write_world(tmp_path / "index", make_world(3, 4))

    def once(number: int) -> None:
        with Index.open(path) as index:
            index.features(number % 4)

    assert_flat(once, 1_000)
