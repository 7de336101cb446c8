"""Indexes whose features mean something: each class is a direction, an affine head reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from auditor.files import digest
from auditor.records import ClassName
from auditor.store import HeadFacts, IndexWriter, write_shard
from indexes import FakeImage, manifest

GRID, DIM = (3, 3), 12
NAMES = ("ant", "bee", "cow", "dog")


@dataclass
class World:
    """Images: raw features (n, 9, C), labels, which classes are in each cell; the head (K, C) and (K,)."""

    features: NDArray[np.float32]
    labels: list[tuple[int, ...]]
    present: list[list[set[int]]]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    names: tuple[str, ...] = NAMES
    splits: tuple[str | None, ...] = ()
    prefix: str = ""

    @property
    def paths(self) -> list[str]:
        return [f"{self.prefix}img{number:03d}.jpg" for number in range(len(self.labels))]

    @property
    def hashes(self) -> list[str]:
        return [hashlib.blake2b(path.encode(), digest_size=16).hexdigest() for path in self.paths]

    @property
    def scores(self) -> NDArray[np.float32]:
        """The head's scores of every cell (n, 9, K)."""
        return self.features @ self.weight.T + self.bias


def make_world(seed: int, count: int, *, noise: float = 0.6, labels: int = 2, prefix: str = "") -> World:
    """Cells of a class lie around its direction, background around none, every cell with its own length."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).standard_normal((len(NAMES), DIM))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    features, chosen, present = [], [], []
    for _ in range(count):
        own = tuple(
            sorted(int(k) for k in rng.choice(len(NAMES), rng.integers(1, labels + 1), replace=False))
        )
        here = [{int(rng.choice(own))} if rng.random() < 0.5 else set() for _ in range(9)]
        cells = [sum((directions[k] for k in cell), np.zeros(DIM)) for cell in here]
        cells = np.array(cells) + noise * rng.standard_normal((9, DIM)) / np.sqrt(DIM)
        features.append(cells * rng.uniform(0.5, 4.0, (9, 1)))
        chosen.append(own)
        present.append(here)
    head = 3 * directions + 0.3 * rng.standard_normal(directions.shape)
    return World(
        np.array(features, np.float32), chosen, present, head.astype(np.float32),
        rng.standard_normal(len(NAMES)).astype(np.float32) / 4, prefix=prefix,
    )  # fmt: skip


def softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    values = np.exp(scores.astype(np.float64) - scores.max(-1, keepdims=True))
    return np.asarray(values / values.sum(-1, keepdims=True))


def write_world(path: Path, world: World, **changes: Any) -> Path:
    """The index of a world, in two shards; `changes` go to the manifest."""
    count, half = len(world.labels), len(world.labels) // 2
    base = replace(
        manifest(GRID, dim=DIM),
        classes=tuple(ClassName(name) for name in world.names),
        backbone=replace(manifest().backbone, weights_sha256="w" * 64),
    )
    (path / "heads").mkdir(parents=True)
    file = path / "heads" / "own.safetensors"
    said = {"kind": "own", "classes": [[name, None] for name in world.names]}
    save_file({"weight": world.weight, "bias": world.bias}, file, metadata={"audit_head": json.dumps(said)})
    facts = HeadFacts("own", "heads/own.safetensors", digest(file, "sha256"))
    with IndexWriter.create(path, replace(base, head=facts, **changes)) as writer:
        for rows in (range(half), range(half, count)):
            writer.add(_write_shard(path, world, rows))
        writer.finish()
    return path


def _write_shard(path: Path, world: World, rows: Sequence[int]) -> Any:
    features = world.features[list(rows)]
    norms = np.linalg.norm(features, axis=-1)
    scores = world.scores[list(rows)]
    p = softmax(scores)
    order = np.argsort(-scores, axis=-1)
    image = np.argsort(-scores.mean(axis=1), axis=-1)
    cells = features.shape[1]
    ids = np.array(rows)
    images = {
        "id": ids,
        "path": [world.paths[row] for row in rows],
        "hash": [world.hashes[row] for row in rows],
        "label": [min(world.labels[row], default=None) for row in rows],
        "labels": [world.labels[row] for row in rows],
        "split": [world.splits[row] if world.splits else None for row in rows],
        "status": ["ok"] * len(ids),
        "top5_original": image[:, :5],
    }
    here = [cell for row in rows for cell in world.present[row]]
    columns = {
        "image": np.repeat(ids, cells),
        "variant": np.zeros(len(here), np.uint8),
        "cell": np.tile(np.arange(cells), len(ids)),
        "foreground": [bool(cell) for cell in here],
        "present": [sorted(cell) for cell in here],
        "top5": order.reshape(len(here), -1)[:, :5],
        "top5_p": np.take_along_axis(p, order, -1).reshape(len(here), -1)[:, :5],
        "entropy": -(p * np.log(p)).sum(-1).ravel(),
    }
    arrays = {
        "features": (features / norms[..., None]).reshape(-1, *GRID, DIM),
        "norms": norms.reshape(-1, *GRID),
        "pooled": features.mean(axis=1),
    }
    return write_shard(path, f"{rows[0]:09d}", **arrays, images=images, cells=columns)


def fake_images(world: World, scores: NDArray[Any], image_scores: NDArray[Any]) -> list[FakeImage]:
    """The world as the metrics' reference reads it, under any scores of cells (n, 9, K) and images (n, K)."""
    return [
        FakeImage(
            path=world.paths[row],
            label=min(own, default=None),
            labels=own,
            present=world.present[row],
            foreground=[bool(cell) for cell in world.present[row]],
            shown=np.argsort(-scores[row], axis=-1)[None, :, :5].repeat(3, axis=0),
            guesses=np.argsort(-image_scores[row])[None, :5].repeat(3, axis=0),
        )
        for row, own in enumerate(world.labels)
    ]
