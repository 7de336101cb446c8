"""Bits flipped where the questions that read most look: refused, or the answer is what it was."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import auditor.store.index as indexes_module
from auditor.errors import IndexDamaged, IndexMismatch
from auditor.questions.artifacts.ask import artifacts
from auditor.questions.causes.ask import causes
from auditor.questions.hygiene.ask import hygiene
from auditor.questions.ledger.ask import class_ledgers
from auditor.records.watch import Silence
from auditor.search.cluster_facts import count_clusters, images_of_clusters
from auditor.store import Index, IndexWriter, Placed, save_map, stored_map
from auditor.store.check import check
from auditor.store.columns import Columns
from auditor.store.merge import merge
from indexes import FakeImage, make_world, manifest, random_images, shard, write_world

FLIPS = 60


def stored_clusters(index: Index) -> object:
    """The map, as the questions that stand on it count it."""
    path = stored_map(index) or save_map(index, places(index))
    return count_clusters(index, path), images_of_clusters(index, path)


def places(index: Index) -> Columns:
    """A map of every cell at random, in four clusters."""
    chance = np.random.default_rng(1)
    image, cell = (axis.ravel() for axis in np.indices((index.images, index.manifest.cells_per_image)))
    flat = {"x": chance.random(len(cell)), "y": chance.random(len(cell)), "is_sampled": [True] * len(cell)}
    made = {"sample": [9] * len(cell), "seed": [0] * len(cell)}
    return {"image": image, "cell": cell, "cluster": chance.integers(0, 4, len(cell)), **flat, **made}


def worked_out(ask: Any) -> Callable[[Index], object]:
    """The question itself, below what keeps its answer."""
    asked: Callable[[Index], object] = ask.__wrapped__
    return asked


ASKED: dict[str, Callable[[Index], object]] = {
    "map": stored_clusters,
    "artifacts": worked_out(artifacts),
    "causes": worked_out(causes),
    "hygiene": worked_out(hygiene),
    "ledger": worked_out(class_ledgers),
}
READ = {
    "map": ("map.parquet", "audit.duckdb"),
    "artifacts": ("features.npy", "norms.npy", "audit.duckdb"),
    "causes": ("audit.duckdb",),
    "hygiene": ("features.npy", "norms.npy", "audit.duckdb", "counted-*.parquet"),
    "ledger": ("features.npy", "norms.npy", "audit.duckdb", "own.safetensors"),
}
"""What each is computed from, in full."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("asked") / "index", make_world(3, 30))


@pytest.fixture
def index(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of its own that keeps what it counted, as large ones do."""
    monkeypatch.setattr(indexes_module, "KEPT_FROM", 0)
    return Path(shutil.copytree(sound, tmp_path / "index"))


def answer(path: Path, ask: Callable[[Index], object]) -> str:
    with Index.open(path) as index:
        return repr(ask(index))


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in READ.items() for file in files])
def test_no_answer_comes_from_a_flipped_bit(index: Path, name: str, file: str) -> None:
    known = answer(index, ASKED[name])
    assert answer(index, ASKED[name]) == known
    chance, refused = random.Random(f"{name} {file}"), 0
    files = sorted(path for path in index.rglob(file) if path.is_file())
    for _ in range(FLIPS):
        flipped = chance.choice(files)
        whole = flipped.read_bytes()
        flipped.write_bytes(flip(whole, chance))
        try:
            assert answer(index, ASKED[name]) == known
        except (IndexDamaged, IndexMismatch):
            refused += 1
        flipped.write_bytes(whole)
    assert refused >= 0.9 * FLIPS
    assert answer(index, ASKED[name]) == known


def test_no_part_with_a_flipped_bit_is_joined_in_silence(tmp_path: Path) -> None:
    images = random_images(2, 12)
    parts = [make_part(tmp_path / f"part{number}", images, f"{number}/2") for number in (1, 2)]
    whole = tmp_path / "whole"
    merge(parts, whole, Silence())
    known, chance, refused = content(whole), random.Random(4), 0
    left_over = {".lock", ".writer", ".verified"}
    files = sorted(
        each for part in parts for each in part.rglob("*") if each.is_file() and each.name not in left_over
    )
    for number in range(FLIPS):
        flipped, target = files[number % len(files)], tmp_path / f"merged{number}"
        before = flipped.read_bytes()
        flipped.write_bytes(flip(before, chance))
        try:
            merge(parts, target, Silence())
            assert check(target).is_sound
            assert content(target) == known
        except (IndexDamaged, IndexMismatch):
            refused += 1
        flipped.write_bytes(before)
        shutil.rmtree(target, ignore_errors=True)
    assert refused >= 0.9 * FLIPS


def make_part(path: Path, images: list[FakeImage], part: str) -> Path:
    """One of two parts of an index of these images, three to a shard."""
    described = manifest()
    described = replace(described, options=dict(described.options) | {"part": part})
    firsts = range(0, len(images), 3)
    with IndexWriter.create(path, described) as writer:
        writer.place(
            [Placed(f"{f:05d}", f, tuple(image.path for image in images[f : f + 3])) for f in firsts]
        )
        for placed in writer.missing():
            shard(writer, placed.name, images[placed.first : placed.first + 3], placed.first)
    return path


def content(path: Path) -> str:
    with Index.open(path) as index:
        return repr(index.generation.shards) + repr(index.query("FROM images ORDER BY ALL"))


def flip(data: bytes, chance: random.Random) -> bytes:
    turned = bytearray(data)
    turned[chance.randrange(len(turned))] ^= 1 << chance.randrange(8)
    return bytes(turned)
