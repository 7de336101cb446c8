"""An index as large as one likes, of made-up features and scores, through the project's own writer.

    python benchmarks/big.py FOLDER --images 100000 --dim 64

Every image has one of the classes, one object in its middle cells, and cells that show its class more often
than chance where the object is; so every question has something to count.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from auditor.files import digest
from auditor.records import VARIANTS, Certificate, ClassName, Preprocess
from auditor.store import BackboneFacts, DatasetFacts, HeadFacts, IndexWriter, Manifest, Placed, write_shard
from auditor.store.columns import Ragged

SHARD = 2000


def make_big(
    path: Path,
    images: int,
    *,
    dim: int = 64,
    grid: tuple[int, int] = (7, 7),
    classes: int = 1000,
    clusters: int = 0,
) -> Path:
    """The index of `images` images; the same arguments give the same content.

    With `clusters`, every cell is one of so many centres and as much noise again; else noise alone.
    """
    names = tuple(ClassName(f"class {k}") for k in range(classes))
    described = Manifest(
        dataset=DatasetFacts("/nowhere/photos", "folder", None, names),
        backbone=BackboneFacts("made up", "none", "none", "hub", "0" * 64),
        preprocess=Preprocess(),
        grid=grid,
        dim=dim,
        head=_write_head(path, dim, names),
        classes=names,
        certificate=Certificate("gap", "linear", "exact", 1e-7, 1e-7, "linear", 8),
    )
    with IndexWriter.create(path, replace(described, options={"readout": "pointwise"})) as writer:
        firsts = range(0, images, SHARD)
        sizes = [min(SHARD, images - first) for first in firsts]
        writer.place(
            [
                Placed(
                    f"{first:09d}",
                    first,
                    tuple(f"{i % 100:02d}/{i:07d}.jpg" for i in range(first, first + n)),
                )
                for first, n in zip(firsts, sizes, strict=True)
            ]
        )
        for placed in writer.missing():
            rng = np.random.default_rng(placed.first)
            content = _shard(rng, placed, dim, grid, classes, clusters)
            write_shard(path, writer.manifest, placed.name, **content)
        writer.finish()
    return path


def _write_head(path: Path, dim: int, names: tuple[ClassName, ...]) -> HeadFacts:
    """A linear head as an index keeps it."""
    file = "heads/own.safetensors"
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((len(names), dim), dtype=np.float32) / dim**0.5
    header = {"kind": "own", "classes": [[known.name, None] for known in names]}
    (path / file).parent.mkdir(parents=True)
    tensors = {"weight": weight, "bias": np.zeros(len(names), np.float32)}
    save_file(tensors, path / file, metadata={"audit_head": json.dumps(header)})
    return HeadFacts("own", file, digest(path / file, "sha256"))


def _shard(
    rng: np.random.Generator,
    placed: Placed,
    dim: int,
    grid: tuple[int, int],
    classes: int,
    clusters: int,
) -> dict[str, Any]:
    count, cells = len(placed.paths), grid[0] * grid[1]
    labels = rng.integers(0, classes, count)
    features = rng.standard_normal((count, *grid, dim), dtype=np.float32)
    if clusters:
        centres = np.random.default_rng(0).standard_normal((clusters, dim), dtype=np.float32)
        features += centres[rng.integers(0, clusters, (count, *grid))]
    norms = np.linalg.norm(features, axis=-1)
    row, col = np.divmod(np.arange(cells), grid[1])
    inside = (abs(row - grid[0] // 2) <= 1) & (abs(col - grid[1] // 2) <= 1)
    return {
        "features": (features / norms[..., None]).astype(np.float16),
        "norms": norms,
        "pooled": features.mean((1, 2)),
        "images": {
            "id": np.arange(placed.first, placed.first + count),
            "path": placed.paths,
            "hash": [f"{placed.first + i:032x}" for i in range(count)],
            "width": np.full(count, 224),
            "height": np.full(count, 224),
            "label": labels,
            "labels": labels[:, None],
            "true_name": [f"class {label}" for label in labels],
            "status": ["ok"] * count,
            "split": [("train", "test")[i % 5 == 0] for i in range(count)],
            **{f"top5_{variant}": _top5(rng, labels, 0.6, classes) for variant in VARIANTS},
        },
        "cells": _cells(rng, placed.first, labels, np.tile(inside, count), classes),
    }


def _cells(
    rng: np.random.Generator, first: int, labels: np.ndarray, inside: np.ndarray, classes: int
) -> dict[str, Any]:
    """One row per image, variant and cell, in this order."""
    count, cells = len(labels), len(inside) // len(labels)
    image = np.repeat(np.arange(first, first + count), cells)
    shape = (count, len(VARIANTS), cells)
    here = np.broadcast_to(inside.reshape(count, 1, cells), shape).ravel()
    of_class = np.broadcast_to(labels[:, None, None], shape).ravel()
    chance = np.where(here, 0.5, 0.1)
    top5 = _top5(rng, of_class, chance, classes)
    probabilities = np.sort(rng.random((len(here), 5), dtype=np.float32))[:, ::-1] / 5
    return {
        "image": np.broadcast_to(image.reshape(count, 1, cells), shape).ravel(),
        "variant": np.broadcast_to(np.arange(3)[None, :, None], shape).ravel(),
        "cell": np.broadcast_to(np.arange(cells), shape).ravel(),
        "foreground": here,
        "present": Ragged(of_class[here], here.astype(np.int64)),
        "top5": top5,
        "top5_p": probabilities,
        "entropy": rng.random(len(here), dtype=np.float32),
        "target_rank": rng.integers(0, classes, (len(here), 1)),
        "target_logit": rng.random((len(here), 1), dtype=np.float32),
    }


def _top5(rng: np.random.Generator, labels: np.ndarray, chance: Any, classes: int) -> np.ndarray:
    """Five distinct classes (n, 5), the label first with this chance."""
    start = rng.integers(0, classes, len(labels))
    top5 = (start[:, None] + np.arange(5) * 7) % classes
    hit = rng.random(len(labels)) < chance
    top5[hit] = (labels[hit, None] + np.arange(5) * 7) % classes
    return top5


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--clusters", type=int, default=0)
    words = parser.parse_args()
    make_big(words.folder, words.images, dim=words.dim, clusters=words.clusters)
