"""A backbone whose grid OpenVINO computes, on the CPU; its head, and all that needs gradients, are torch's.

What is exported is a deep copy of the model, which therefore stays as it is. Before it is used, its features
of drawn images are compared with eager torch's in float32, so that only rounding is left to differ.
"""

from __future__ import annotations

import sys
import warnings
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from auditor.errors import BackboneError, first_line
from auditor.models.backbone import Backbone
from auditor.models.quiet import quietly
from auditor.models.runtime import check_runtime
from auditor.models.towers import IntermediatesTower, Tower
from auditor.models.weights import draw_images
from auditor.records import Precision

_TOLERANCE = 1e-3  # of the features' spread over cells; rounding is below 1e-5
_TYPES = {"float32": "f32", "bfloat16": "bf16"}

_made: WeakKeyDictionary[Backbone, dict[Precision, Backbone]] = WeakKeyDictionary()


def compiled(backbone: Backbone, precision: Precision) -> Backbone:
    """The backbone with a grid by OpenVINO, made once for each precision.

    BackboneError where OpenVINO is missing, cannot take the model or computes another grid of it, or where
    this processor lacks the precision.
    """
    made = _made.setdefault(backbone, {})
    if precision not in made:
        check_runtime("openvino")
        made[precision] = _compile(backbone, precision)
    return made[precision]


class CompiledTower(Tower):
    """A tower whose features come from a compiled model, without a graph of gradients."""

    def __init__(self, inner: Tower, model: Any) -> None:
        super().__init__(inner.module, inner.hints)
        self._inner, self._model = inner, model

    def features(self, images: Tensor) -> Tensor:
        """The features, in the inner tower's layout."""
        (raw,) = self._model(images.to("cpu", torch.float32).contiguous().numpy()).values()
        return torch.from_numpy(raw).to(images.device)

    def head(self, raw: Tensor) -> Any:
        """The inner tower's head."""
        return self._inner.head(raw)

    def run(self, images: Tensor) -> tuple[Tensor, Any]:
        """Features and output; no output where the inner tower has none."""
        raw = self.features(images)
        return raw, None if isinstance(self._inner, IntermediatesTower) else self.head(raw)


class _Features(nn.Module):
    """A tower's features as a module, which is what can be exported."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.tower, self.module = tower, tower.module

    def forward(self, images: Tensor) -> Any:
        return self.tower.features(images)


def _compile(backbone: Backbone, precision: Precision) -> Backbone:
    tower, size = backbone.anatomy.tower, backbone.preprocess.crop
    try:
        exported = _export(tower, size)
        exact = CompiledTower(tower, _load(exported, "float32"))
        error = _error(exact, tower, backbone)
    except Exception as problem:  # torch and OpenVINO raise whatever they meet
        raise _refusal(backbone, _reason(problem)) from problem
    if not error <= _TOLERANCE:  # nor a NaN
        raise _refusal(backbone, f"its features there are off by {error:.1e} of their spread")
    chosen = exact if precision == "float32" else CompiledTower(tower, _load(exported, precision))
    made = copy(backbone)
    made.anatomy = replace(backbone.anatomy, tower=chosen)
    return made


def _refusal(backbone: Backbone, why: str) -> BackboneError:
    return BackboneError(f"{backbone.name} cannot be exported to OpenVINO: {why}; leave out --runtime")


def _reason(problem: Exception) -> str:
    """What is in the way, in one line of the many that OpenVINO says."""
    said = problem.__cause__ or problem
    rules = (line.removeprefix("-- ") for line in str(said).splitlines() if "No conversion rule" in line)
    return next(rules, first_line(said))


def _error(exported: Tower, tower: Tower, backbone: Backbone) -> float:
    """How far grids of drawn images, one more than were traced, are apart relative to their spread."""
    images, split = draw_images(backbone.preprocess.crop, 3), backbone.anatomy.layout.split
    with torch.no_grad():
        found, wanted = (split(each.features(images.to(backbone.device)))[0] for each in (exported, tower))
    return float((found - wanted).norm() / (wanted - wanted.mean((0, 1, 2))).norm())


def _export(tower: Tower, size: int) -> Any:
    """OpenVINO's model of a tower's features, for any number of images."""
    openvino, module = import_openvino(), _Features(deepcopy(tower)).cpu()
    with warnings.catch_warnings(), quietly(), torch.no_grad():
        warnings.simplefilter("ignore")  # of what depends on the example; the comparison sees that
        return openvino.convert_model(module, example_input=draw_images(size), input=[-1, 3, size, size])


def _load(exported: Any, precision: Precision) -> Any:
    """The model ready to run, on as many threads as torch has; BackboneError without the precision."""
    settings = {
        "INFERENCE_PRECISION_HINT": _TYPES[precision],  # by itself OpenVINO takes what is fastest
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "ENABLE_CPU_PINNING": False,  # or several processes would share one core
        "PERFORMANCE_HINT": "LATENCY",  # all threads for one batch
    }
    loaded = import_openvino().compile_model(exported, "CPU", settings)
    if loaded.get_property("INFERENCE_PRECISION_HINT").to_string() != _TYPES[precision]:
        raise BackboneError(
            f"OpenVINO has no {precision} on this processor; leave out --precision {precision}, or --runtime"
        )
    return loaded


def import_openvino() -> Any:
    """The package, without the one that would tell its makers of each import, by the network, unasked."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
