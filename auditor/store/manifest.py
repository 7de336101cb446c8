"""The manifest: what does not change with a shard, in `index.json`, whose presence means that it exists.

Every shard keeps a copy of it, so that it can be made again from any one of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from auditor.errors import IndexDamaged, IndexMismatch, IndexMissing
from auditor.files import digest, index_word
from auditor.records import (
    VARIANTS,
    Agreement,
    Certificate,
    ClassName,
    Fill,
    Precision,
    Preprocess,
    Readout,
    Runtime,
)
from auditor.store.part import Part, Planned
from auditor.store.places import MANIFEST, SHARDS, inside
from auditor.store.sealed import checksum, decode_as, read_content, write_sealed

SCHEMA = 2
FIRST_EDITION = 1

HOW_MANY = ("limit", "sample")
"""Options that an index may be continued without."""

NOT_CONTENT = (*HOW_MANY, "part")
"""Options that say which images, not what becomes of one."""

HeadName = Literal["own", "linear", "text", "probe", "none"]


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """Where the images came from; `classes` are the dataset's own.

    `is_synthetic`: whether `audit synth` made them, None in an index that is older than the question.
    """

    root: str
    kind: str
    annotations: str | None = None
    classes: tuple[ClassName, ...] = ()
    min_area: float = 0.0
    notes: tuple[str, ...] = ()
    is_synthetic: bool | None = None


@dataclass(frozen=True, slots=True)
class BackboneFacts:
    """Which network made the features: `weights` is a file's path or "hub"."""

    name: str
    library: str
    model: str
    weights: str
    weights_sha256: str | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """Which head scored the cells; `file` lies in the index, for example heads/probe.safetensors."""

    name: HeadName
    file: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of every image that was listed, and how many indexed cells have features of zeros."""

    indexed: int
    broken: int
    filtered: int
    removed: int
    empty_cells: int
    images_with_empty_cells: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index is, whichever shards it has.

    `classes` are the head's (class ids are positions in it), `options` the settings that decide content and,
    of those, `limit` and `sample` how much of the dataset was wanted, `part` which shards are made here.
    `agreement` is known where another runtime than torch, or another precision than float32, made the cells.
    """

    dataset: DatasetFacts
    backbone: BackboneFacts
    preprocess: Preprocess
    grid: tuple[int, int]
    dim: int
    head: HeadFacts
    classes: tuple[ClassName, ...] = ()
    certificate: Certificate | None = None
    agreement: Agreement | None = None
    variants: tuple[str, ...] = VARIANTS
    fill: Fill = "mean"
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    schema: int = SCHEMA

    @property
    def identity(self) -> str:
        """A digest of all that decides what a shard of these images holds."""
        options = {name: value for name, value in self.options.items() if name not in NOT_CONTENT}
        backbone, head = self.backbone, self.head
        content = {
            "backbone": [
                backbone.library,
                backbone.model,
                backbone.weights_sha256,
                dict(backbone.model_args),
            ],
            "head": [head.name, head.sha256],
            "input": [asdict(self.preprocess), self.fill, list(self.variants)],
            "cells": [*self.grid, self.dim],
            "classes": [[class_.name, class_.synset] for class_ in self.classes],
            "options": options,
        }
        return checksum(content)[:32]

    @property
    def readout(self) -> Readout:
        """How the head scores the cells."""
        readout: Readout = self.options.get("readout", "pointwise")
        return readout

    @property
    def runtime(self) -> Runtime:
        """What computed the cells."""
        runtime: Runtime = self.options.get("runtime", "torch")
        return runtime

    @property
    def precision(self) -> Precision:
        """What the cells were computed in."""
        precision: Precision = self.options.get("precision", "float32")
        return precision

    @property
    def has_own_probe(self) -> bool:
        """Whether the head is a probe of these images, each scored by one that did not see it."""
        return self.head.name == "probe" and not self.options.get("head_file")

    @property
    def part(self) -> Part | None:
        """Which part of an index this is; None for a whole one."""
        text = self.options.get("part")
        return Part.parse(text) if text else None

    @property
    def whole(self) -> Manifest:
        """The index that this is a part of."""
        return replace(self, options=dict(self.options) | {"part": None}) if self.part else self

    def own(self, shards: Sequence[Planned]) -> tuple[Planned, ...]:
        """Of all that was planned what is made here."""
        return self.part.select(shards) if self.part else tuple(shards)

    @property
    def cells_per_image(self) -> int:
        """H * W."""
        return self.grid[0] * self.grid[1]

    @property
    def caveats(self) -> tuple[str, ...]:
        """What every answer of this index must say of its network: () for a trained one of the user's."""
        found = []
        weights = self.backbone.weights_sha256 or ""
        if weights.startswith("random:"):
            seed = weights.removeprefix("random:")
            found.append(f"random weights (seed {seed}): what a metric says of it is the metric's zero")
        elif (self.backbone.name, self.backbone.weights) == ("symbols", "package"):
            elsewhere = self.dataset.is_synthetic is False
            where = ", on images that audit synth did not make" if elsewhere else ""
            found.append(f"the demo's network, which knows 20 drawn shapes{where}")
        return tuple(found)


def has_manifest(index: Path) -> bool:
    """Whether the folder is an index."""
    return (index / MANIFEST).is_file()


def is_index(index: Path) -> bool:
    """Whether the folder is an index, also where its manifest was lost."""
    return (index / MANIFEST).exists() or (index / SHARDS).is_dir()


def write_manifest(index: Path, manifest: Manifest) -> None:
    """Replace index.json atomically."""
    write_sealed(index / MANIFEST, manifest)


def read_manifest(index: Path) -> Manifest:
    """Read index.json; IndexMissing, IndexMismatch (another schema) or IndexDamaged where that cannot be."""
    if not is_index(index):
        raise IndexMissing(f"no index at {index}; build one with: audit index IMAGES --name {index.name}")
    if not has_manifest(index):
        raise IndexDamaged(f"{index / MANIFEST} is missing; {repair_sentence(index)}")
    try:
        content, is_whole = read_content(inside(index, MANIFEST))
        if not is_whole:
            raise IndexDamaged(f"{index / MANIFEST} is damaged: its checksum does not hold")
        _check_schema(index, content.get("schema"))
        return decode_as(index / MANIFEST, Manifest, content)
    except IndexDamaged as error:
        raise IndexDamaged(f"{error}; {repair_sentence(index)}") from None


def head_path(index: Path, manifest: Manifest) -> Path | None:
    """The head's file, which lies in the index and is what it was; IndexDamaged otherwise, None for none."""
    if manifest.head.file is None:
        return None
    path = inside(index, *PurePosixPath(manifest.head.file).parts)
    if not path.is_file() or digest(path, "sha256") != manifest.head.sha256:
        raise IndexDamaged(
            f"{path} is missing or damaged, and nothing in the index can make it again; see: "
            f"{check_command(index)}"
        )
    return path


def _check_schema(index: Path, schema: Any) -> None:
    if schema == FIRST_EDITION:
        raise IndexMismatch(
            f"{index} was written in version 1 of the index format; bring it to version {SCHEMA}, in place "
            f"and without the images, with: {repair_command(index)}"
        )
    if schema != SCHEMA:
        raise IndexMismatch(
            f"{index} was written in version {schema} of the index format and this audit reads version "
            f"{SCHEMA}; use the audit that wrote it, or build the index again"
        )


def check_command(path: Path) -> str:
    """Says what is wrong with an index, and which commands end it."""
    return shlex.join(["audit", "check", "--index", index_word(path)])


def repair_command(path: Path) -> str:
    """Makes again what can be made from the shards."""
    return f"{check_command(path)} --repair"


def repair_sentence(path: Path) -> str:
    """What an error about files that can be made again ends with."""
    return f"make it again with: {repair_command(path)}"
