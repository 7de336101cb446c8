"""What `audit index` is asked for, without the model: which backbone, which name, what cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from auditor.data.synth import is_synthetic
from auditor.errors import BackboneError
from auditor.models.catalog import CATALOG
from auditor.records import Fill, Interpolation, Precision, Readout, Runtime
from auditor.store.part import Part

HeadChoice = Literal["auto", "own", "text", "probe", "none"]
HEADS: tuple[HeadChoice, ...] = get_args(HeadChoice)
HEAD_FILES = (".safetensors", ".pth", ".pt", ".bin")

DEMO = "symbols"
_SUGGESTED = {
    "resnet50": "ImageNet's 1,000 classes, with evidence of each in every cell, exact",
    "dinov2": "features for similar, match, map, concept and --head probe; no classes of its own",
    "clip_vit": "your own class names, by text: --head text",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What `audit index` was asked for; `head` may be a file that holds one, of the names in `classes`.

    `backbone` None: the demo's for scenes that `audit synth` made, an error for anything else.
    """

    dataset: Path
    backbone: str | None = None
    annotations: Path | None = None
    weights: str | None = None
    model_args: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    interpolation: Interpolation | None = None
    preprocess: Literal["model", "paper"] = "model"
    head: HeadChoice | Path = "auto"
    template: str = "a photo of a {}."
    readout: Readout = "pointwise"
    fill: Fill = "mean"
    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: Precision = "float32"
    runtime: Runtime = "torch"
    batch: int = 32
    workers: int = 2
    classes: Path | None = None
    part: Part | None = None
    engine: Literal["local", "ray"] = "local"
    address: str | None = None

    @property
    def processor(self) -> str:
        """The device that is asked for; that of OpenVINO is the CPU."""
        return "cpu" if self.runtime == "openvino" else self.device


def choose_backbone(request: Request) -> str:
    """The backbone's name; BackboneError, with what to choose from, where none was named for real images."""
    if request.backbone is not None:
        return request.backbone
    if is_synthetic(request.dataset):
        return DEMO
    raise BackboneError(*_suggest(request.dataset))


def _suggest(root: Path) -> tuple[str, ...]:
    rows = (
        f"  --backbone {name:<9} {CATALOG[name].megabytes:>4} MB  {what}" for name, what in _SUGGESTED.items()
    )
    return (
        f"which backbone shall look at {root}? The one that ships with audit, {DEMO}, knows 20 drawn "
        "shapes and is taken only for scenes that audit synth made. Choose by what you want to ask:",
        *rows,
        "The sizes are those of the download; `audit models` lists more, and timm/NAME, "
        "open_clip/NAME:TAG or a file by audit train work too.",
    )


def place_of(request: Request, path: Path | None, folder: Path) -> Path:
    """Where the index lies: at `path`, or below `folder` as DATASET-BACKBONE; a part beside the others."""
    path = path or folder / default_name(request)
    return path.with_name(path.name + request.part.suffix) if request.part else path


def default_name(request: Request) -> str:
    """DATASET-BACKBONE, and the file's name where the head comes from one."""
    backbone = choose_backbone(request)
    is_file = backbone.endswith(".safetensors")
    short = Path(backbone).stem if is_file else backbone.split("/", 1)[-1].replace(":", "-")
    head = [request.head.stem] if isinstance(request.head, Path) else []
    return "-".join([request.dataset.resolve().name, short, *head])
