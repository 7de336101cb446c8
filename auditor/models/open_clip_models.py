"""open_clip models by NAME:TAG, with weights from a file or random ones, and their text towers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from torch import Tensor, nn

from auditor.errors import BackboneError
from auditor.models.hub import HubFile
from auditor.models.quiet import quietly
from auditor.models.towers import Tower, open_clip_tower
from auditor.records import Interpolation, Preprocess

_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")  # numbers in OpenAI's state dicts
_TEXTS_AT_ONCE = 256


class OpenClipSource:
    """An open_clip model that is not built yet: what its registry says of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.model, _, self.tag = name.partition(":")
        if self.model not in open_clip.list_models():
            close = difflib.get_close_matches(self.model, open_clip.list_models(), n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise BackboneError(f"open_clip has no model {self.model}{hint}")
        self.config: Mapping[str, Any] = (
            open_clip.get_pretrained_cfg(self.model, self.tag) if self.tag else {}
        )
        if self.tag and not self.config:
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(self.model)) or "none"
            raise BackboneError(f"open_clip's {self.model} has no tag {self.tag}; it has {tags}")

    @property
    def hub_file(self) -> HubFile:
        """Where the tag's weights are published; BackboneError where they are on no hub."""
        if not self.tag:
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(self.model))
            hint = f"name a tag ({tags}) or " if tags else ""
            raise BackboneError(f"{self.name} names no weights: {hint}give --weights FILE")
        if not self.config.get("hf_hub"):
            where = self.config.get("url", "its authors")
            raise BackboneError(f"{self.name} is on no hub: get it from {where} and give --weights FILE")
        path = PurePosixPath(self.config["hf_hub"])
        if self.config["hf_hub"].endswith("/"):
            return HubFile(str(path), ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"))
        return HubFile(str(path.parent), (path.with_suffix(".safetensors").name, path.name))

    @property
    def preprocess(self) -> Preprocess:
        """The tag's mean, std and interpolation, OpenAI's where it says nothing."""
        mean, std = self.config.get("mean", OPENAI_DATASET_MEAN), self.config.get("std", OPENAI_DATASET_STD)
        way: Interpolation = "bilinear" if self.config.get("interpolation") == "bilinear" else "bicubic"
        return Preprocess(mean=tuple(mean), std=tuple(std), interpolation=way)

    @property
    def classes(self) -> int:
        """None: its output is an embedding."""
        return 0

    @property
    def native_size(self) -> int | None:
        """The side of the only image that it takes as it is, None where any will do."""
        vision = open_clip.get_model_config(self.model)["vision_cfg"]
        return None if "timm_model_name" in vision else int(vision["image_size"])

    def build(self, size: int, model_args: Mapping[str, Any], state: dict[str, Tensor] | None) -> nn.Module:
        """The whole model for images of `size` pixels, with the weights in `state` or random ones."""
        resized = {} if self.native_size in (None, size) else {"force_image_size": size}
        try:
            with quietly():
                model: nn.Module = open_clip.create_model(
                    self.model,
                    pretrained_text=False,
                    force_quick_gelu=bool(self.config.get("quick_gelu")),  # as the tag was trained
                    **resized,
                    **model_args,
                )
        except (
            Exception
        ) as problem:  # open_clip raises whatever it meets, a missing tokenizer repository included
            raise BackboneError(f"open_clip cannot build {self.name}: {problem}") from problem
        if state is not None:
            _load(model, state, self.name)
        return model.eval()


def _load(model: Any, state: dict[str, Tensor], name: str) -> None:
    """Fill the model; every weight of the image tower must be in the file, and fit."""
    weights = {key: value.float() for key, value in state.items() if key not in _NOT_WEIGHTS}
    try:
        weights = convert_state_dict(model, weights)
        if "positional_embedding" in weights and not hasattr(model, "positional_embedding"):
            weights = convert_to_custom_text_state_dict(weights)
        resize_pos_embed(weights, model)
        resize_text_pos_embed(weights, model)
        for key in ("logit_scale", "logit_bias"):
            if key in weights and getattr(model, key, None) is not None:
                weights[key] = weights[key].reshape(getattr(model, key).shape)
        result = model.load_state_dict(weights, strict=False)
    except (RuntimeError, KeyError, ValueError) as problem:
        raise BackboneError(f"the weights do not fit open_clip's {name}: {problem}") from problem
    wrong = [key for key in (*result.missing_keys, *result.unexpected_keys) if key.startswith("visual.")]
    if wrong:
        raise BackboneError(f"the weights do not fit open_clip's {name}: {', '.join(wrong[:3])} differ")
    model.has_text = all(key.startswith(("visual.", "logit_")) for key in result.missing_keys)


def image_tower(model: Any) -> Tower:
    """The image side of an open_clip model."""
    return open_clip_tower(model.visual)


def text_tower(model: Any, name: str) -> OpenClipText | None:
    """The text side, None where the weights brought none."""
    return OpenClipText(model, name.partition(":")[0]) if getattr(model, "has_text", True) else None


class OpenClipText:
    """The text side of an open_clip model."""

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        self._name = name
        self.scale = float(model.logit_scale.detach().exp())
        self.bias = 0.0 if model.logit_bias is None else float(model.logit_bias.detach())

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (T, D), not normalised."""
        device = self._model.logit_scale.device
        tokens = self._tokenize(texts).to(device)
        return torch.cat([self._model.encode_text(part) for part in torch.split(tokens, _TEXTS_AT_ONCE)])

    def _tokenize(self, texts: Sequence[str]) -> Tensor:
        try:
            tokens: Tensor = open_clip.get_tokenizer(self._name)(list(texts))
        except Exception as problem:  # tokenizers of the hub fail in their client's many ways
            raise BackboneError(f"the tokenizer of {self._name} could not be loaded: {problem}") from problem
        return tokens
