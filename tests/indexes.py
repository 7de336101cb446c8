"""Small synthetic indexes with known content, made through the project's own writer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.records import Certificate, ClassName, Preprocess
from auditor.store import (
    BackboneFacts,
    DatasetFacts,
    HeadFacts,
    IndexWriter,
    Manifest,
    ShardEntry,
    write_shard,
)

CLASSES = 6
DIM = 16


@dataclass
class FakeImage:
    """One image as the tests know it: what is present in each cell, and what each variant's cells show.

    present: a set of classes per cell, None where nothing is annotated; shown: (variants, cells, 5) classes,
    best first; guesses: (variants, 5) of the whole image.
    """

    path: str
    label: int | None
    labels: tuple[int, ...]
    present: list[set[int]] | None
    foreground: list[bool] | None
    shown: NDArray[np.int64]
    guesses: NDArray[np.int64]
    real: tuple[int, ...] | None = None
    status: str = "ok"
    true_name: str | None = None
    features: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    norms: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


def manifest(grid: tuple[int, int] = (3, 3), *, head: str = "own", dim: int = DIM) -> Manifest:
    """A manifest of an index of `CLASSES` classes."""
    return Manifest(
        dataset=DatasetFacts("/data/birds", "folder", None, (ClassName("bird"),), 0.0, ("2 files left out",)),
        backbone=BackboneFacts("fake", "test", "fake.tag", "hub", None, {"pad": "same"}),
        preprocess=Preprocess(),
        grid=grid,
        dim=dim,
        head=HeadFacts(head),  # type: ignore[arg-type]
        classes=tuple(ClassName(f"Class {k}", f"n0000000{k}") for k in range(CLASSES)),
        certificate=Certificate("gap", "linear", "exact", 1e-7, 1e-7, "linear", 8),
        options={"target": "all"},
        versions={"numpy": np.__version__},
    )


def random_images(seed: int, count: int, grid: tuple[int, int] = (3, 3)) -> list[FakeImage]:
    """Images of every kind: annotated or not, without background, several classes, unlabelled, broken."""
    rng = np.random.default_rng(seed)
    return [random_image(rng, f"{'ab'[i % 2]}/img{i:03d}.jpg", grid) for i in range(count)]


def random_image(rng: np.random.Generator, path: str, grid: tuple[int, int]) -> FakeImage:
    """One image; a few classes only, so that hits are common."""
    cells = grid[0] * grid[1]
    labels = tuple(int(k) for k in rng.choice(CLASSES, rng.integers(0, 4), replace=False))
    label = labels[0] if labels and rng.random() < 0.7 else None
    density = rng.choice([0.0, 0.3, 0.6, 1.0])  # 0: nothing of it in the crop, 1: no background
    present: list[set[int]] | None = [{k for k in labels if rng.random() < density} for _ in range(cells)]
    # foreground of a class that the head does not have is in no `present`
    foreground: list[bool] | None = [bool(here) or rng.random() < 0.05 for here in present or ()]
    if rng.random() < 0.2:
        present = foreground = None
    shown = np.array([[rng.permutation(CLASSES)[:5] for _ in range(cells)] for _ in range(3)])
    real = tuple(int(k) for k in rng.choice(CLASSES, rng.integers(0, 4)))
    features = rng.standard_normal((*grid, DIM)).astype(np.float32)
    norms = np.linalg.norm(features, axis=-1)
    return FakeImage(
        path=path,
        label=label,
        labels=labels,
        present=present,
        foreground=foreground,
        shown=shown,
        guesses=np.array([rng.permutation(CLASSES)[:5] for _ in range(3)]),
        real=real if rng.random() < 0.7 else None,
        status=str(rng.choice(["ok", "ok", "ok", "ok", "ok", "ok", "broken", "filtered"])),
        true_name=None if labels else "unmatched thing",
        features=features / norms[..., None],
        norms=norms,
    )


def image_columns(images: Sequence[FakeImage], first: int, head: str = "own") -> dict[str, Any]:
    """Columns of images.parquet."""
    ok = [image.status == "ok" and head != "none" for image in images]
    columns: dict[str, Any] = {
        "id": np.arange(first, first + len(images)),
        "path": [image.path for image in images],
        "hash": [f"h{image.path}" for image in images],
        "label": [image.label for image in images],
        "labels": [image.labels for image in images],
        "true_name": [image.true_name for image in images],
        "real": [image.real for image in images],
        "status": [image.status for image in images],
        "error": [None if image.status == "ok" else "truncated" for image in images],
    }
    for number, variant in enumerate(("original", "without_bg", "without_fg")):
        columns[f"top5_{variant}"] = [
            image.guesses[number].tolist() if fine and (image.present or not number) else None
            for image, fine in zip(images, ok, strict=True)
        ]
    return columns


def cell_columns(images: Sequence[FakeImage], first: int, head: str = "own") -> dict[str, Any]:
    """Columns of cells.parquet; an image without annotations has the original variant only."""
    rows: dict[str, list[Any]] = {
        name: [] for name in ("image", "variant", "cell", "foreground", "present", "top5", "top5_p")
    }
    for number, image in enumerate(images):
        for variant in range(0 if image.status != "ok" else 1 if image.present is None else 3):
            for cell, shown in enumerate(image.shown[variant]):
                rows["image"].append(first + number)
                rows["variant"].append(variant)
                rows["cell"].append(cell)
                rows["foreground"].append(None if image.foreground is None else image.foreground[cell])
                rows["present"].append([] if image.present is None else sorted(image.present[cell]))
                rows["top5"].append(shown.tolist())
                rows["top5_p"].append([0.5, 0.2, 0.15, 0.1, 0.05])
    if head == "none":
        del rows["top5"], rows["top5_p"]
    return rows


def arrays(images: Sequence[FakeImage]) -> dict[str, NDArray[np.float32]]:
    """features, norms and pooled of a shard; zeros where the image is not ok."""
    ok = np.array([image.status == "ok" for image in images])[:, None, None]
    features = np.stack([image.features for image in images]) * ok[..., None]
    norms = np.stack([image.norms for image in images]) * ok
    return {"features": features, "norms": norms, "pooled": (features * norms[..., None]).mean(axis=(1, 2))}


def shard(path: Path, name: str, images: Sequence[FakeImage], first: int, head: str = "own") -> ShardEntry:
    """Write one shard of these images."""
    return write_shard(
        path,
        name,
        **arrays(images),
        images=image_columns(images, first, head),
        cells=cell_columns(images, first, head),
    )


def make_index(
    path: Path,
    images: Sequence[FakeImage],
    *,
    grid: tuple[int, int] = (3, 3),
    head: str = "own",
    size: int = 5,
    removed: Sequence[int] = (),
) -> Path:
    """A complete index of these images, `size` to a shard."""
    with IndexWriter.create(path, manifest(grid, head=head)) as writer:
        for first in range(0, len(images), size):
            writer.add(shard(path, f"{first // size:05d}", images[first : first + size], first, head))
        if removed:
            writer.mark_removed(removed)
        writer.finish()
    return path
