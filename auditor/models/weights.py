"""Loading: from a backbone's name to a Backbone, with weights from the hub, a file, or a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.errors import BackboneError
from auditor.files import digest
from auditor.models.anatomy import Anatomy, dissect
from auditor.models.backbone import Backbone
from auditor.models.catalog import BackboneSpec, describe, require_source, resolve
from auditor.models.checkpoints import read_checkpoint
from auditor.models.hub import fetch
from auditor.models.imagenet import class_names
from auditor.models.preprocessing import choose_preprocess, override_statistics
from auditor.models.remembered import identify, remember_anatomy
from auditor.models.source import Source
from auditor.models.towers import Tower
from auditor.records import ClassName, Interpolation, Preprocess
from auditor.records.watch import Watch

_CONSTANTS = {"true": True, "false": False, "none": None}


def load_backbone(
    name: str,
    *,
    weights: Path | str | None = None,
    model_args: Mapping[str, Any] = {},
    size: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    interpolation: Interpolation | None = None,
    preprocess: Literal["model", "paper"] = "model",
    device: str = "auto",
    watch: Watch | None = None,
) -> Backbone:
    """A backbone by the names of `resolve`; weights from the hub, a file, or "random[:SEED]" (untrained).

    `size` is the side of the crop, 224 by default. `preprocess="paper"` takes ImageNet's statistics for every
    model. `watch` sees a download. Raises BackboneError, with what to do, where the weights cannot be had or
    do not fit.
    """
    spec, path, seed = _with_weights(resolve(name), weights)
    spec = replace(spec, model_args={**spec.model_args, **parse_model_args(model_args)})
    source = find_source(spec)
    sha256 = None if seed is None else f"random:{seed}"
    if path is None and seed is None:
        require_source(spec)
        fetched = fetch(source.hub_file, spec.name, watch)
        path, sha256 = fetched.path, fetched.sha256
    prepared = choose_preprocess(spec, source, size, preprocess)
    prepared = override_statistics(prepared, mean, std, interpolation)
    model = _build(spec, source, prepared.crop, path, seed)
    if sha256 is None and path is not None:
        sha256 = digest(path, "sha256")
    placed = pick_device(device)
    return assemble(
        spec,
        model.to(placed),
        prepared,
        weights_sha256=sha256 or "",
        classes=_classes(spec, source, model, is_own_file=weights is not None and path is not None),
        identity=identify(spec, prepared.crop, sha256, placed) if sha256 else "",
    )


def assemble(
    spec: BackboneSpec,
    model: nn.Module,
    preprocess: Preprocess,
    *,
    weights_sha256: str,
    classes: tuple[ClassName, ...] = (),
    identity: str = "",
) -> Backbone:
    """A Backbone around a built model: its tower is found, its head taken apart and measured.

    With an `identity` what was measured under it before is taken instead.
    """
    tower, text = Tower(model), None
    if spec.library == "open_clip":
        from auditor.models.open_clip_models import image_tower, text_tower

        tower, text = image_tower(model), text_tower(model, spec.model)
    device = next(model.parameters()).device

    def measure() -> Anatomy:
        return dissect(tower, draw_images(preprocess.crop).to(device))

    try:
        anatomy = remember_anatomy(tower, identity, measure) if identity else measure()
    except (RuntimeError, AssertionError, ValueError) as problem:
        raise BackboneError(
            f"{spec.name} cannot take images of {preprocess.crop} pixels: {problem}"
        ) from problem
    _check_cover(spec, anatomy, preprocess.crop)
    return Backbone(
        spec,
        anatomy,
        preprocess,
        weights_sha256=weights_sha256,
        classes=classes,
        text=text,
        identity=identity,
    )


def _check_cover(spec: BackboneSpec, anatomy: Anatomy, size: int) -> None:
    """Refuse a size whose last pixels fall in no patch: cells would not lie where masks put them."""
    hints, layout = anatomy.tower.hints, anatomy.layout
    if layout.format == "NLC" and hints.token_grid is not None and hints.reduction is not None:
        covered = layout.grid[0] * hints.reduction
        if covered < size:
            raise BackboneError(
                f"{spec.name} would leave out the edge of {size} pixels: "
                f"its patches are {hints.reduction} wide; take {covered} or {covered + hints.reduction}"
            )


def find_source(spec: BackboneSpec) -> Source:
    """The library's side of the spec; each library is imported when first named."""
    if spec.library == "timm":
        from auditor.models.timm_models import TimmSource

        return TimmSource(spec.model)
    from auditor.models.open_clip_models import OpenClipSource

    return OpenClipSource(spec.model)


def parse_model_args(texts: Mapping[str, Any]) -> dict[str, Any]:
    """The values of --model-arg as what they look like: numbers, true, false, none, else text."""
    return {key: _parse(value) for key, value in texts.items()}


def _parse(text: Any) -> Any:
    if not isinstance(text, str):  # from a manifest, where they are parsed already
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return _CONSTANTS.get(text.lower(), text)


def _with_weights(
    spec: BackboneSpec, weights: Path | str | None
) -> tuple[BackboneSpec, Path | None, int | None]:
    """The spec with what its file says of itself, the file, the seed; neither of the two for the hub."""
    if isinstance(weights, str) and weights.partition(":")[0] == "random":
        if spec.weights is not None and spec.weights.is_file():
            spec = describe(spec, spec.weights)
        return spec, None, _seed(weights)
    path = spec.weights if weights is None else Path(weights)
    if path is not None and path.suffix == ".safetensors" and path.is_file():
        spec = describe(spec, path)
    return spec, path, None


def _seed(weights: str) -> int:
    text = weights.partition(":")[2] or "0"
    if not text.isdecimal():
        raise BackboneError(f"--weights {weights} has no seed: write random or random:0")
    return int(text)


def _build(spec: BackboneSpec, source: Source, size: int, path: Path | None, seed: int | None) -> nn.Module:
    state = None if path is None else read_checkpoint(path)
    arguments = dict(spec.model_args)
    if state is None and spec.classes:
        arguments.setdefault("num_classes", len(spec.classes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        model = source.build(size, arguments, state)
    count = getattr(model, "num_classes", None)
    if spec.classes and count != len(spec.classes):
        raise BackboneError(f"{path} names {len(spec.classes)} classes and has weights for {count}")
    return model


def pick_device(name: str) -> torch.device:
    """A device by name; "auto" is the first accelerator there is, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as problem:
        raise BackboneError(f"the device {name!r} cannot be used: {problem}") from problem


def _classes(
    spec: BackboneSpec, source: Source, model: nn.Module, is_own_file: bool
) -> tuple[ClassName, ...]:
    """Names of the model's classes, () where its output is an embedding.

    A count of outputs that is not ImageNet's is the length of an embedding (CLIP's), unless a user's own
    file has as many: then they are classes without names, called by their numbers.
    """
    if spec.classes:
        return tuple(ClassName(name) for name in spec.classes)
    count = int(getattr(model, "num_classes", 0) or 0) if spec.library == "timm" else 0
    names = class_names(count)
    if names is not None or not is_own_file:
        return names or ()
    return () if count == source.classes else tuple(ClassName(str(index)) for index in range(count))


def draw_images(size: int, count: int = 2) -> Tensor:
    """Smooth random images with fine noise, (count, 3, size, size): two are enough to see the layout."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 3, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return smooth + 0.3 * torch.randn(count, 3, size, size, generator=generator)
