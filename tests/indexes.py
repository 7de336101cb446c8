"""Little indexes with known content, made through the project's own writer from images described here.

`random_images` describes images of every kind with arbitrary features; a `World` gives features that mean
something: each class is a direction, and an affine head reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from auditor.files import digest
from auditor.records import VARIANTS, Certificate, ClassName, Preprocess
from auditor.store import (
    BackboneFacts,
    DatasetFacts,
    HeadFacts,
    IndexWriter,
    Manifest,
    Placed,
    Shard,
    read_manifest,
    write_shard,
)
from auditor.store.manifest import write_manifest

CLASSES = 6
DIM = 16
GRID = (3, 3)
CHANCES = [0.5, 0.2, 0.15, 0.1, 0.05]
NAMES, WORLD_DIM = ("ant", "bee", "cow", "dog"), 12


@dataclass
class FakeImage:
    """One image as the tests know it: what is present in each cell, and what each variant's cells show.

    present: a set of classes per cell, None where nothing is annotated; shown: (variants, cells, 5) classes,
    best first; guesses: (variants, 5) of the whole image; chances and entropy, (variants, cells, 5) and
    (variants, cells): those of `shown`; features (H, W, C) of unit length, norms (H, W).
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
    split: str | None = None
    chances: NDArray[np.float64] | None = None
    entropy: NDArray[np.float64] | None = None

    @property
    def hash(self) -> str:
        """What stands for the hash of the file's content."""
        return hash_of(self.path)


def hash_of(path: str) -> str:
    """A 16-byte hash in hexadecimal."""
    return hashlib.blake2b(path.encode(), digest_size=16).hexdigest()


def manifest(grid: tuple[int, int] = GRID, *, head: str = "own", dim: int = DIM) -> Manifest:
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


def random_images(seed: int, count: int, grid: tuple[int, int] = GRID) -> list[FakeImage]:
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
        "hash": [image.hash for image in images],
        "width": [256] * len(images),
        "height": [256] * len(images),
        "label": [image.label for image in images],
        "labels": [image.labels for image in images],
        "true_name": [image.true_name for image in images],
        "real": [image.real for image in images],
        "split": [image.split for image in images],
        "status": [image.status for image in images],
        "error": [None if image.status == "ok" else "truncated" for image in images],
    }
    variants = VARIANTS[: max(len(image.guesses) for image in images)]
    for number, variant in enumerate(variants):
        columns[f"top5_{variant}"] = [
            image.guesses[number].tolist() if fine and (image.present or not number) else None
            for image, fine in zip(images, ok, strict=True)
        ]
    return columns


def cell_columns(images: Sequence[FakeImage], first: int, head: str = "own") -> dict[str, Any]:
    """Columns of cells.parquet; an image without annotations has the original variant only."""
    names = ("image", "variant", "cell", "foreground", "present", "top5", "top5_p", "entropy", "target_rank")
    rows: dict[str, list[Any]] = {name: [] for name in names}
    for number, image in enumerate(images):
        variants = len(image.shown) if image.present is not None else 1
        for variant in range(variants if image.status == "ok" else 0):
            chances = None if image.chances is None else image.chances[variant].tolist()
            for cell, shown in enumerate(image.shown[variant]):
                rows["image"].append(first + number)
                rows["variant"].append(variant)
                rows["cell"].append(cell)
                rows["foreground"].append(None if image.foreground is None else image.foreground[cell])
                rows["present"].append([] if image.present is None else sorted(image.present[cell]))
                rows["top5"].append(shown.tolist())
                rows["top5_p"].append(CHANCES[: len(shown)] if chances is None else chances[cell])
                rows["entropy"].append(None if image.entropy is None else image.entropy[variant][cell])
                rows["target_rank"].append([_rank(shown, label) for label in image.labels])
    if head == "none":
        del rows["top5"], rows["top5_p"], rows["entropy"], rows["target_rank"]
    return rows


def _rank(shown: NDArray[np.int64], label: int) -> int:
    """A class's place in a cell; behind the classes that are known where it is not among them."""
    return [*shown.tolist(), label].index(label)


def arrays(images: Sequence[FakeImage]) -> dict[str, NDArray[np.float32]]:
    """features, norms and pooled of a shard; zeros where the image is not ok."""
    ok = np.array([image.status == "ok" for image in images])[:, None, None]
    features = np.stack([image.features for image in images]) * ok[..., None]
    norms = np.stack([image.norms for image in images]) * ok
    return {"features": features, "norms": norms, "pooled": (features * norms[..., None]).mean(axis=(1, 2))}


def shard(
    writer: IndexWriter, name: str, images: Sequence[FakeImage], first: int, head: str = "own"
) -> Shard:
    """Plan one shard of these images, if it is not planned yet, and write it."""
    if first >= writer.placement.images:
        writer.place([Placed(name, first, tuple(image.path for image in images))])
    return write_shard(
        writer.path,
        writer.manifest,
        name,
        **arrays(images),
        images=image_columns(images, first, head),
        cells=cell_columns(images, first, head),
    )


def make_index(
    path: Path,
    images: Sequence[FakeImage],
    *,
    grid: tuple[int, int] = GRID,
    head: str = "own",
    size: int = 5,
    removed: Sequence[int] = (),
    described: Manifest | None = None,
) -> Path:
    """A complete index of these images, `size` to a shard; its manifest is `described`, if given."""
    with IndexWriter.create(path, described or manifest(grid, head=head)) as writer:
        for first in range(0, len(images), size):
            shard(writer, f"{first // size:05d}", images[first : first + size], first, head)
        if removed:
            writer.set_removed(removed)
        writer.finish()
    return path


# ------------------------------------------------------------------------------------------------ worlds


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
        return [hash_of(path) for path in self.paths]

    @property
    def scores(self) -> NDArray[np.float32]:
        """The head's scores of every cell (n, 9, K)."""
        return self.features @ self.weight.T + self.bias


def make_world(seed: int, count: int, *, noise: float = 0.6, labels: int = 2, prefix: str = "") -> World:
    """Cells of a class lie around its direction, background around none, every cell with its own length."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).standard_normal((len(NAMES), WORLD_DIM))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    features, chosen, present = [], [], []
    for _ in range(count):
        classes = rng.choice(len(NAMES), rng.integers(1, labels + 1), replace=False)
        shown = tuple(sorted(int(k) for k in classes))
        here = [{int(rng.choice(shown))} if rng.random() < 0.5 else set() for _ in range(9)]
        cells = [sum((directions[k] for k in cell), np.zeros(WORLD_DIM)) for cell in here]
        cells = np.array(cells) + noise * rng.standard_normal((9, WORLD_DIM)) / np.sqrt(WORLD_DIM)
        features.append(cells * rng.uniform(0.5, 4.0, (9, 1)))
        chosen.append(shown)
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
    file = path / "heads" / "own.safetensors"
    file.parent.mkdir(parents=True)
    header = {"kind": "own", "classes": [[name, None] for name in world.names]}
    save_file({"weight": world.weight, "bias": world.bias}, file, metadata={"audit_head": json.dumps(header)})
    described = replace(
        manifest(GRID, dim=WORLD_DIM),
        classes=tuple(ClassName(name) for name in world.names),
        backbone=replace(manifest().backbone, weights_sha256="w" * 64),
        head=HeadFacts("own", "heads/own.safetensors", digest(file, "sha256")),
    )
    images = describe(world)
    return make_index(path, images, size=-(-len(images) // 2), described=replace(described, **changes))


def exchange_head(path: Path) -> None:
    """The head that now lies in an index of a world is the one that its manifest means."""
    described = read_manifest(path)
    sha256 = digest(path / "heads" / "own.safetensors", "sha256")
    write_manifest(path, replace(described, head=replace(described.head, sha256=sha256)))


def describe(world: World) -> list[FakeImage]:
    """The images of a world, unmodified, as its own head sees them."""
    norms = np.linalg.norm(world.features, axis=-1)
    chances = softmax(world.scores)
    entropy = -(chances * np.log(chances)).sum(-1)
    best = -np.sort(-chances, axis=-1)[..., :5]
    return [
        replace(
            image,
            shown=image.shown[:1],
            guesses=image.guesses[:1],
            features=(world.features[row] / norms[row][:, None]).reshape(*GRID, -1),
            norms=norms[row].reshape(GRID),
            split=world.splits[row] if world.splits else None,
            chances=best[row][None],
            entropy=entropy[row][None],
        )
        for row, image in enumerate(fake_images(world, world.scores, world.scores.mean(axis=1)))
    ]


def fake_images(world: World, scores: NDArray[Any], image_scores: NDArray[Any]) -> list[FakeImage]:
    """The world as the metrics' reference reads it, under any scores of cells (n, 9, K) and images (n, K)."""
    return [
        FakeImage(
            path=world.paths[row],
            label=min(labels, default=None),
            labels=labels,
            present=world.present[row],
            foreground=[bool(cell) for cell in world.present[row]],
            shown=np.argsort(-scores[row], axis=-1)[None, :, :5].repeat(3, axis=0),
            guesses=np.argsort(-image_scores[row])[None, :5].repeat(3, axis=0),
        )
        for row, labels in enumerate(world.labels)
    ]


class Diary:
    """A watch that keeps the stages, what was counted in each, and the order."""

    def __init__(self) -> None:
        self.stages: dict[str, list[int]] = {}

    def say(self, text: str) -> None:
        raise AssertionError(text)

    def start(self, stage: str, total: int) -> None:
        self.stages[stage] = [0, total]

    def advance(self, count: int) -> None:
        self.stages[list(self.stages)[-1]][0] += count
