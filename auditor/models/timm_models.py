"""timm models by name, with weights from a file, in timm's or the upstream project's layout, or random."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from auditor.errors import BackboneError
from auditor.models.hub import HubFile
from auditor.models.probe import make_mlp
from auditor.models.quiet import quietly
from auditor.records import Interpolation, Preprocess

_HEADS = ("head.fc", "head", "fc", "classifier", "last_linear")
"""Where upstream projects keep their classifiers, beside the name that timm gives its own."""


class TimmSource:
    """A timm model that is not built yet: what timm's registry says of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.config = _config(name)

    @property
    def hub_file(self) -> HubFile:
        """Where its weights are published; BackboneError where they are on no hub."""
        if not self.config.hf_hub_id:
            where = f": get {self.config.url} and" if self.config.url else "; train it, or"
            raise BackboneError(f"timm has no weights of {self.name} on the hub{where} give --weights FILE")
        repository, _, revision = self.config.hf_hub_id.partition("@")
        return HubFile(repository, _file_names(self.config.hf_hub_filename), revision or None)

    @property
    def preprocess(self) -> Preprocess:
        """Its own mean, std and interpolation."""
        way: Interpolation = "bilinear" if self.config.interpolation == "bilinear" else "bicubic"
        return Preprocess(mean=tuple(self.config.mean), std=tuple(self.config.std), interpolation=way)

    @property
    def classes(self) -> int:
        """Outputs of its published head, 0 where it has none."""
        return int(self.config.num_classes)

    @property
    def native_size(self) -> int | None:
        """The side of the only image that it takes as it is, None where any will do."""
        return int(self.config.input_size[-1]) if self.config.fixed_input_size else None

    def build(self, size: int, model_args: Mapping[str, Any], state: dict[str, Tensor] | None) -> nn.Module:
        """The model for images of `size` pixels, with the weights in `state` or, without it, random ones."""
        arguments = dict(model_args)
        if self.config.fixed_input_size and size != self.native_size:
            arguments.setdefault("img_size", size)
        if state is None:
            return _redraw_zero_heads(self._create(arguments))
        return self._load(arguments, state)

    def _load(self, arguments: dict[str, Any], state: dict[str, Tensor]) -> nn.Module:
        if f"{self.config.classifier}.6.weight" in state:
            return self._load_mlp(arguments, state)
        state, heads = dict(state), self._heads(state)
        wanted = arguments.get("num_classes")
        if wanted == 0 or not heads:  # a file's head is left aside, one that it lacks is not made up
            for head in heads:
                state.pop(f"{head}.weight")
                state.pop(f"{head}.bias", None)
            heads, count = (), 0
        else:
            count = len(state[f"{heads[0]}.weight"])
        if wanted not in (None, 0, count):
            raise BackboneError(
                f"the weights have {count} classes, not the {wanted} of --model-arg num_classes"
            )
        arguments["num_classes"] = count
        overlay = {"state_dict": state, "num_classes": count}
        model = self._create(arguments, pretrained=True, pretrained_cfg_overlay=overlay)
        model.pretrained_cfg.pop("state_dict", None)  # type: ignore[operator, union-attr]
        _check_head(model, [state[f"{head}.weight"] for head in heads])
        return model

    def _load_mlp(self, arguments: dict[str, Any], state: dict[str, Tensor]) -> nn.Module:
        """A file by `audit train --head mlp`: its last layer, the seventh of the head, counts the classes."""
        arguments["num_classes"] = len(state[f"{self.config.classifier}.6.weight"])
        model = replace_classifier(self._create(arguments))
        try:
            model.load_state_dict(state)
        except RuntimeError as problem:
            raise BackboneError(f"{self.name} does not fit its weights or arguments: {problem}") from problem
        return model.eval()

    def _heads(self, state: Mapping[str, Tensor]) -> tuple[str, ...]:
        """The classifiers that the file has, by the names they have there."""
        names = self.config.classifier or ()
        names = (names,) if isinstance(names, str) else tuple(names)
        present = tuple(name for name in names if f"{name}.weight" in state)
        return present or tuple(name for name in _HEADS if f"{name}.weight" in state)[:1]

    def _create(self, arguments: Mapping[str, Any], **loading: Any) -> nn.Module:
        try:
            with quietly():
                model: nn.Module = timm.create_model(self.name, **arguments, **loading)
        except (RuntimeError, TypeError, ValueError, AssertionError, KeyError) as problem:
            raise BackboneError(f"{self.name} does not fit its weights or arguments: {problem}") from problem
        return model.eval()


def _config(name: str) -> Any:
    base = name.partition(".")[0]
    if not timm.is_model(base):
        close = difflib.get_close_matches(base, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise BackboneError(f"timm has no model {base}{hint}")
    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as problem:
        tags = [model.partition(".")[2] for model in timm.list_pretrained(f"{base}.*")]
        raise BackboneError(f"{problem} It has {', '.join(tags) or 'none'}") from problem
    return config


def _file_names(name: str | None) -> tuple[str, ...]:
    if name is None:
        return "model.safetensors", "pytorch_model.bin"
    return (f"{Path(name).with_suffix('.safetensors')}", name) if name.endswith((".bin", ".pth")) else (name,)


def _check_head(model: nn.Module, heads: list[Tensor]) -> None:
    """Refuse a model that does not hold the file's classifiers: a head left random is silent otherwise."""
    weights = [value for value in model.state_dict().values() if value.ndim >= 2]
    for head in heads:
        same_size = [weight for weight in weights if weight.numel() == head.numel()]
        if not any(torch.equal(weight.flatten(), head.to(weight.dtype).flatten()) for weight in same_size):
            raise BackboneError("the classifier in the weights did not reach the model; it would be random")


def replace_classifier(model: nn.Module) -> nn.Module:
    """The model with A.4's three layers for its linear classifier; BackboneError where that is not one."""
    name = model.pretrained_cfg.get("classifier")  # type: ignore[operator, union-attr]
    linear = model.get_submodule(name) if isinstance(name, str) else None
    if not isinstance(linear, nn.Linear):
        raise BackboneError(f"the classifier of {type(model).__name__} is not one linear layer")
    model.set_submodule(name, make_mlp(linear.in_features, linear.out_features))
    return model


def _redraw_zero_heads(model: nn.Module) -> nn.Module:
    """Some of timm's classifiers start at zero: all scores would be equal, and so would all readouts."""
    for parameter in model.parameters():
        if parameter.ndim >= 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return model
