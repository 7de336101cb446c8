"""The manifest: what an index says about itself, in `index.json`, whose presence means that it exists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from auditor.errors import IndexDamaged, IndexMismatch, IndexMissing
from auditor.files import digest, new_file
from auditor.records import VARIANTS, Certificate, ClassName, Fill, Preprocess, Readout

SCHEMA = 1
MANIFEST = "index.json"

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
class FileFacts:
    """A file's size and checksum."""

    bytes: int
    blake2b: str

    @classmethod
    def of(cls, path: Path) -> FileFacts:
        """Measure the file."""
        return cls(path.stat().st_size, digest(path))

    def hold_for(self, path: Path) -> bool:
        """Whether the file is there and unchanged."""
        return path.is_file() and path.stat().st_size == self.bytes and digest(path) == self.blake2b


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard: image ids first .. first + images - 1, and its files."""

    name: str
    first: int
    images: int
    files: Mapping[str, FileFacts]


@dataclass(frozen=True, slots=True)
class DroppedShard:
    """A shard that was damaged and waits to be made again with the same images under the same ids."""

    name: str
    first: int
    paths: tuple[str, ...]


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
    """What an index is; `shards` are ordered by image id, `derived` is empty while it is being written.

    `classes` are the head's (class ids are positions in it), `options` the settings that decide content.
    `counts` are None while it is being written, and in an index that is older than they are.
    """

    dataset: DatasetFacts
    backbone: BackboneFacts
    preprocess: Preprocess
    grid: tuple[int, int]
    dim: int
    head: HeadFacts
    classes: tuple[ClassName, ...] = ()
    certificate: Certificate | None = None
    variants: tuple[str, ...] = VARIANTS
    fill: Fill = "mean"
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    modified: str = ""
    shards: tuple[ShardEntry, ...] = ()
    dropped: tuple[DroppedShard, ...] = ()
    removed: tuple[int, ...] = ()
    derived: Mapping[str, FileFacts] = field(default_factory=dict)
    is_complete: bool = False
    schema: int = SCHEMA
    counts: Counts | None = None

    @property
    def images(self) -> int:
        """Image ids given out so far, those of dropped shards included."""
        ends = [shard.first + shard.images for shard in self.shards]
        return max([0, *ends, *(lost.first + len(lost.paths) for lost in self.dropped)])

    @property
    def readout(self) -> Readout:
        """How the head scores the cells."""
        readout: Readout = self.options.get("readout", "pointwise")
        return readout

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

    @property
    def fingerprint(self) -> str:
        """A digest of all that the derived files are made from."""
        content = self.grid, self.dim, self.removed, self.shards, self.classes
        return hashlib.blake2b(json.dumps(content, default=asdict).encode()).hexdigest()


def has_manifest(index: Path) -> bool:
    """Whether the folder is an index."""
    return (index / MANIFEST).is_file()


def write_manifest(index: Path, manifest: Manifest) -> None:
    """Replace index.json atomically."""
    content = asdict(manifest)
    text = json.dumps({"checksum": _checksum(content), **content}, indent=1)
    with new_file(index / MANIFEST) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_manifest(index: Path) -> Manifest:
    """Read index.json; IndexMissing, IndexMismatch (another schema) or IndexDamaged where that cannot be."""
    if not has_manifest(index):
        raise IndexMissing(f"no index at {index}; build one with: audit index IMAGES --name {index.name}")
    try:
        content = json.loads((index / MANIFEST).read_text(encoding="utf-8"))
        checksum, schema = content.pop("checksum"), content["schema"]
    except (ValueError, KeyError, AttributeError, TypeError):
        raise IndexDamaged(_damaged(index)) from None
    if schema != SCHEMA and checksum == _checksum(content):
        raise IndexMismatch(
            f"{index} was written in version {schema} of the index format and this audit reads version "
            f"{SCHEMA}; build it again with: audit index {content['dataset']['root']}"
        )
    if checksum != _checksum(content):
        raise IndexDamaged(_damaged(index))
    manifest = _decode(Manifest, content)
    assert isinstance(manifest, Manifest)
    return manifest


def _damaged(index: Path) -> str:
    return f"{index / MANIFEST} is damaged; delete the folder {index} and build it again with: audit index"


def _checksum(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode()).hexdigest()


def _decode(kind: Any, value: Any) -> Any:
    """A JSON value as the annotated type: dataclasses, tuples, mappings and optional ones, nested."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        known = (f for f in fields(kind) if f.name in value)  # an older index lacks what was added since
        return kind(**{f.name: _decode(hints[f.name], value[f.name]) for f in known})
    if origin is UnionType:
        present = next(argument for argument in arguments if argument is not NoneType)
        return None if value is None else _decode(present, value)
    if origin is tuple:
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_decode(item, part) for item, part in zip(kinds, value, strict=True))
    if origin is Mapping:
        return {key: _decode(arguments[1], part) for key, part in value.items()}
    return value
