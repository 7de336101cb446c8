"""The backbones that have a short name, as frozen facts; every other one is named by its library.

Imports neither torch nor timm: `audit models` prints this table and nothing else. Tags are pinned because a
bare timm name loads another checkpoint than the paper's for five of its six ImageNet models.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from auditor.errors import BackboneError
from auditor.records import BackboneRow, Preprocess, Verdict

Library = Literal["timm", "open_clip"]
EMBEDDED = Path(__file__).with_name("embedded")
"""Where the weights that ship with the package lie."""


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """What is known of a backbone before it is loaded; None and "" where only loading it can tell.

    `aggregation` is the paper's word for it, `verdict` and `readout` what the certificate is expected to
    find. `model_args` go to the library's constructor. `weights` is a file that needs no download, `source`
    says where to get a file that no hub of the library has. `parameters` are those of the published weights.
    """

    name: str
    library: Library
    model: str
    model_args: Mapping[str, Any] = field(default_factory=dict)
    grid: tuple[int, int] | None = None
    dim: int | None = None
    aggregation: str = ""
    table: str = ""
    verdict: Verdict | None = None
    readout: str | None = None
    weights: Path | None = None
    source: str = ""
    licence: str = ""
    preprocess: Preprocess | None = None
    classes: tuple[str, ...] = ()
    parameters: int = 0

    @property
    def megabytes(self) -> int:
        """About what its weights take, in float32; 0 where that is not known."""
        return round(self.parameters * 4 / 1e6)


def _timm(name: str, model: str, **facts: Any) -> BackboneSpec:
    return BackboneSpec(name, "timm", model, **facts)


def _open_clip(name: str, model: str, **facts: Any) -> BackboneSpec:
    return BackboneSpec(name, "open_clip", model, **facts)


_EXACT: dict[str, Any] = {"verdict": "exact", "readout": "linear"}
_NORM: dict[str, Any] = {"verdict": "exact-affine", "readout": "norm_linear"}
_TAYLOR: dict[str, Any] = {"verdict": "exact-affine", "readout": "taylor"}
_ATTENTION: dict[str, Any] = {"verdict": "exact-attn", "readout": "attention"}
_POINTWISE: dict[str, Any] = {"verdict": "pointwise-only", "readout": None}

_CNN: dict[str, Any] = {"grid": (7, 7), "aggregation": "GAP"}
_VIT: dict[str, Any] = {"grid": (14, 14), "dim": 768, "aggregation": "[CLS]"}
_T4, _T5, _T6 = ({"table": f"Table {number}"} for number in (4, 5, 6))

# fmt: off
_SPECS = (
    _timm("symbols", "resnet10t", model_args={"output_stride": 16}, dim=512, parameters=4_932_748,
          weights=EMBEDDED / "symbols.safetensors", licence="apache-2.0",
          preprocess=Preprocess(resize=112, crop=112, interpolation="bilinear"), **_CNN, **_EXACT),
    _timm("efficientnet_b0", "efficientnet_b0.ra4_e3600_r224_in1k", licence="apache-2.0",
          dim=1280, parameters=5_288_548, **_CNN, **_EXACT, **_T5),
    _timm("resnet50", "resnet50.tv2_in1k", licence="bsd-3-clause",
          dim=2048, parameters=25_557_032, **_CNN, **_EXACT, **_T5),
    _timm("convnext_base", "convnext_base.fb_in1k", licence="apache-2.0",
          dim=1024, parameters=88_591_464, **_CNN, **_NORM, **_T5),
    _timm("swin_base", "swin_base_patch4_window7_224.ms_in1k", licence="mit",
          dim=1024, parameters=87_768_224, **_CNN, **_EXACT, **_T5),
    _timm("maxvit_base", "maxvit_base_tf_224.in1k", licence="apache-2.0",
          dim=768, parameters=119_467_708, **_CNN, **_TAYLOR, **_T5),
    _timm("resnet18", "resnet18.a1_in1k", licence="apache-2.0",
          dim=512, parameters=11_689_512, **_CNN, **_EXACT, **_T6),
    # timm turns a LayerNorm after the pool on with global_pool='avg'; the paper's model has none
    _timm("vit_small_patch32_gap", "vit_small_patch32_224",
          model_args={"class_token": False, "global_pool": "avg", "fc_norm": False},
          source="the paper trained it and published no checkpoint",
          dim=384, parameters=22_878_184, **_CNN, **_EXACT, **_T6),
    _timm("vit_base_cls", "vit_base_patch16_224.augreg_in1k", licence="apache-2.0",
          parameters=86_567_656, **_VIT, **_POINTWISE, **_T6),
    _open_clip("clip_resnet50", "RN50-quickgelu:openai", licence="mit", grid=(7, 7), dim=2048,
               aggregation="AttnPool", parameters=102_007_137, **_ATTENTION, **_T4),
    _open_clip("clip_convnext", "convnext_base_w:laion2b_s13b_b82k", licence="mit",
               dim=1024, parameters=179_385_345, **_CNN, **_NORM, **_T4),
    _open_clip("clip_vit", "ViT-B-16-quickgelu:openai", licence="mit",
               parameters=149_620_737, **_VIT, **_POINTWISE, **_T4),
    _timm("dinov1_resnet50", "resnet50", model_args={"num_classes": 0}, licence="apache-2.0",
          source="dino_resnet50_pretrain.pth, from github.com/facebookresearch/dino",
          dim=2048, parameters=23_508_032, **_CNN, **_EXACT, **_T4),
    _timm("dinov1_vit", "vit_base_patch16_224.dino", licence="apache-2.0",
          parameters=85_798_656, **_VIT, **_POINTWISE, **_T4),
    _timm("dinov2", "vit_base_patch14_dinov2.lvd142m", licence="apache-2.0",
          parameters=86_579_712, **{**_VIT, "grid": (16, 16)}, **_POINTWISE, **_T4),
    # timm pools DINOv3 by the mean (upstream: [CLS]); the features of the grid are the same
    _timm("dinov3", "vit_base_patch16_dinov3.lvd1689m", licence="dinov3-license",
          parameters=85_641_216, **_VIT, **_EXACT, **_T4),
    _timm("dinov3_convnext", "convnext_base.dinov3_lvd1689m", licence="dinov3-license",
          dim=1024, parameters=87_566_464, **_CNN, **_NORM, **_T4),
    _timm("mae", "vit_base_patch16_224.mae", licence="cc-by-nc-4.0",
          parameters=85_798_656, **_VIT, **_POINTWISE, **_T4),
    # timm pools BEiT-3 by the mean and a LayerNorm (paper: [CLS])
    _timm("beit3", "beit3_base_patch16_224.pt", licence="apache-2.0",
          parameters=85_890_816, **_VIT, **_NORM, **_T4),
    _open_clip("pubmedclip", "RN50-quickgelu", grid=(7, 7), dim=2048, aggregation="AttnPool", table="A.8",
               source="PubMedCLIP_RN50.pth, from huggingface.co/sarahESL/PubMedCLIP",
               preprocess=Preprocess(mean=(0.48145466, 0.4578275, 0.40821073),
                                     std=(0.26862954, 0.26130258, 0.27577711)),
               parameters=102_007_137, **_ATTENTION),
)
# fmt: on

CATALOG: Mapping[str, BackboneSpec] = {spec.name: spec for spec in _SPECS}
"""Every row of the paper's Tables 4 to 6 and A.8, and `symbols`, the model that ships with the package."""


def rows() -> tuple[BackboneRow, ...]:
    """The catalog as `audit models` shows it."""
    return tuple(
        BackboneRow(
            spec.name,
            spec.library,
            spec.model,
            spec.grid or (0, 0),
            spec.dim or 0,
            spec.aggregation,
            f"{spec.verdict} ({spec.readout})" if spec.readout else str(spec.verdict),
            "; ".join(filter(None, (spec.table, spec.licence, spec.source))),
            spec.parameters,
        )
        for spec in CATALOG.values()
    )


def resolve(name: str) -> BackboneSpec:
    """What a short name, `timm/NAME`, `open_clip/NAME:TAG` or the path of a trained file means."""
    if name.endswith(".safetensors"):
        return _from_file(Path(name))
    if name in CATALOG:
        return CATALOG[name]
    library, _, model = name.partition("/")
    if library == "timm" and model:
        return BackboneSpec(name, "timm", model)
    if library == "open_clip" and model:
        return BackboneSpec(name, "open_clip", model)
    raise BackboneError(_unknown(name))


def require_source(spec: BackboneSpec) -> None:
    """BackboneError where the weights are on no hub of the library and must be given."""
    if spec.source:
        raise BackboneError(f"{spec.name} is on no hub: {spec.source}; give it with --weights FILE")


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, CATALOG, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "`audit models` lists those with a short name."
    return f"no backbone is called {name!r}; {hint} Others are timm/NAME or open_clip/NAME:TAG"


def _from_file(path: Path) -> BackboneSpec:
    if not path.is_file():
        raise BackboneError(f"no weights at {path}")
    spec = describe(BackboneSpec(str(path), "timm", "", weights=path), path)
    if not spec.model:
        raise BackboneError(
            f"{path} does not say what model it holds; only files written by `audit train` do. "
            f"Name the model and give the file: --backbone timm/NAME --weights {path}"
        )
    return spec


def describe(spec: BackboneSpec, path: Path) -> BackboneSpec:
    """The spec with what the header of a file by `audit train` adds; unchanged where there is none."""
    text = read_header(path).get("audit")
    if text is None:
        return spec
    try:
        header = json.loads(text)
        if spec.model and spec.model.partition(".")[0] != header["arch"]:
            raise BackboneError(f"{path} holds a {header['arch']}, not the {spec.model} that {spec.name} is")
        return replace(
            spec,
            model=spec.model or header["arch"],
            model_args={**spec.model_args, **header.get("model_args", {})},
            classes=tuple(header["classes"]),
            preprocess=_preprocess(header["preprocess"]),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise BackboneError(f"the description in the header of {path} is damaged: {problem}") from problem


def _preprocess(header: Mapping[str, Any]) -> Preprocess:
    mean, std = (tuple(float(value) for value in header[key]) for key in ("mean", "std"))
    if len(mean) != 3 or len(std) != 3:
        raise ValueError("mean and std need three values")
    return Preprocess(int(header["resize"]), int(header["crop"]), mean, std, header["interpolation"])


def read_header(path: Path) -> dict[str, str]:
    """The free text of a safetensors header (8 bytes of length, then JSON), read without the library."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= 100_000_000:  # the limit of the format
                raise ValueError("no header")
            metadata = json.loads(file.read(length)).get("__metadata__", {})
    except (OSError, ValueError, AttributeError) as problem:
        raise BackboneError(f"{path} is not a safetensors file, or is damaged: {problem}") from problem
    return dict(metadata)
