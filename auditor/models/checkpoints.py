"""Weight files: reading them without running anything that they carry, and their hashes."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from auditor.errors import BackboneError

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")  # timm's order: the averaged weights first
_PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")  # torch.compile and DataParallel, either way round
_PLAIN_TYPES = (
    argparse.Namespace,
    np.dtype,
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    np.dtypes.Int64DType,
)
"""What training scripts put beside the weights (options, best loss): data, not code."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors or torch file by name; BackboneError for what needs code to be read."""
    if not path.is_file():
        raise BackboneError(f"no weights at {path}")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    tensors = {_unprefixed(str(key)): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise BackboneError(f"{path} holds no weights")
    return tensors


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as problem:
        raise BackboneError(f"{path} is not a safetensors file, or is damaged: {problem}") from problem


def _read_pickle(path: Path) -> Mapping[str, Any]:
    try:
        with torch.serialization.safe_globals(list(_PLAIN_TYPES)):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as problem:
        raise BackboneError(_why_refused(path)) from problem
    if not isinstance(content, Mapping):
        raise BackboneError(f"{path} holds a {type(content).__name__}, not a state dict")
    return content


def _why_refused(path: Path) -> str:
    """The sentence for a file that does not load with weights_only=True, naming the code it asks for."""
    try:
        wanted = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # damaged files fail here in many ways; the sentence below then covers them
        wanted = []
    if not wanted:
        return f"{path} is damaged, a compiled script or no file of weights at all; give a state dict"
    return (
        f"{path} asks to run code when it is read ({', '.join(sorted(wanted)[:3])}) and was refused; "
        "save its state_dict alone, best as safetensors"
    )


def _unprefixed(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key
