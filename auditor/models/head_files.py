"""Heads in files: written beside an index, read again without the model where they are affine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from auditor.errors import BackboneError
from auditor.models.backbone import Backbone
from auditor.models.catalog import read_header
from auditor.models.heads import AnyProbe, Head, LinearHead, OwnHead, TextHead
from auditor.models.probe import MlpHead, ProbeHead, make_mlp
from auditor.records import ClassName

HEADER = "audit_head"
"""Where a head that audit wrote describes itself, in the header of its file."""


def save_head(head: Head, path: Path, weights_sha256: str | None = None) -> None:
    """Write the head; an affine own head as its W and b, so that it is used again without the model.

    `weights_sha256` are those of the backbone whose features it reads.
    """
    header: dict[str, Any] = {
        "kind": head.name,
        "classes": [[class_.name, class_.synset] for class_ in head.classes],
        "weights_sha256": weights_sha256,
    }
    tensors: dict[str, Tensor] = {}
    if isinstance(head, TextHead):
        header |= {"scale": head.scale, "bias": head.bias}
        tensors = {"text": head.text}
    elif isinstance(head, ProbeHead | LinearHead):
        tensors = {"weight": head.weight, "bias": head.bias}
    elif isinstance(head, MlpHead):
        tensors = {
            f"{fold}.{name}": value
            for fold, network in enumerate(head.networks)
            for name, value in network.state_dict().items()
        }
    elif isinstance(head, OwnHead) and head.backbone.anatomy.readout == "linear":
        affine = head.backbone.anatomy.affine
        tensors = {} if affine is None else {"weight": affine[0], "bias": affine[1]}
    ready = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    save_file(ready, path, metadata={HEADER: json.dumps(header)})


def load_head(path: Path, backbone: Backbone | None = None) -> Head:
    """The head in a file; BackboneError where it needs the backbone and none is given."""
    saved = _read(path)
    if saved.kind in ("probe", "mlp"):
        return _restore_probe(path, saved)
    if saved.kind in ("own", "linear") and saved.tensors:
        return LinearHead(saved.tensors["weight"], saved.tensors["bias"], saved.classes, saved.kind)
    if backbone is None:
        raise BackboneError(f"the head in {path} works through its model: load the backbone first")
    if saved.kind == "text":
        text = saved.tensors["text"].to(backbone.device)
        return TextHead(backbone, text, saved.header["scale"], saved.header["bias"], saved.classes)
    return OwnHead(backbone)


def load_probe(path: Path, backbone: Backbone) -> AnyProbe | LinearHead:
    """The probe or linear head in a file by audit; BackboneError where it was trained on other features."""
    saved = _read(path)
    if saved.kind not in ("probe", "mlp", "linear"):
        raise BackboneError(
            f"{path} holds no probe but the {saved.kind} head of an index: use --head {saved.kind}"
        )
    head: AnyProbe | LinearHead
    if saved.kind == "linear":
        head = LinearHead(saved.tensors["weight"], saved.tensors["bias"], saved.classes, "linear")
    else:
        head = _restore_probe(path, saved)
    weights = saved.header.get("weights_sha256")
    if head.dim != backbone.dim:
        raise BackboneError(
            f"the head in {path} reads features of {head.dim} numbers, and those of {backbone.name} have "
            f"{backbone.dim}; name the backbone that it was trained on"
        )
    if weights not in (None, backbone.weights_sha256):
        raise BackboneError(
            f"the head in {path} was trained on features of other weights than these of {backbone.name}; "
            "name the backbone and weights that it was trained on"
        )
    return head


@dataclass(frozen=True, slots=True)
class _Saved:
    """A head's file: its header, of which `kind` and `classes` are read already, and its tensors."""

    kind: str
    classes: tuple[ClassName, ...]
    header: Mapping[str, Any]
    tensors: dict[str, Tensor]


def _read(path: Path) -> _Saved:
    if not path.is_file():
        raise BackboneError(f"no head at {path}")
    metadata = read_header(path)
    if HEADER not in metadata:
        raise BackboneError(f"{path} holds no head that audit wrote: those are in heads/ of an index")
    try:
        header = json.loads(metadata[HEADER])
        classes = tuple(ClassName(name, synset) for name, synset in header["classes"])
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
        return _Saved(header["kind"], classes, header, tensors)
    except (KeyError, TypeError, ValueError, OSError, SafetensorError) as problem:
        raise BackboneError(f"the head in {path} is damaged: {problem}") from problem


def _restore_probe(path: Path, saved: _Saved) -> AnyProbe:
    try:
        if not all(value.isfinite().all() for value in saved.tensors.values()):
            raise ValueError("some of its numbers are not finite")
        if saved.kind == "mlp":
            return _restore_mlp(saved.tensors, saved.classes)
        weight, bias = saved.tensors["weight"], saved.tensors["bias"]
        if weight.ndim != 3 or bias.shape != weight.shape[:2] or bias.shape[1] != len(saved.classes):
            raise ValueError(
                f"shapes {tuple(weight.shape)}, {tuple(bias.shape)} of {len(saved.classes)} classes"
            )
        return ProbeHead(weight, bias, saved.classes)
    except (KeyError, ValueError, IndexError, RuntimeError) as problem:
        raise BackboneError(f"the head in {path} is damaged: {problem}") from problem


def _restore_mlp(tensors: dict[str, Tensor], classes: tuple[ClassName, ...]) -> MlpHead:
    dim, networks = tensors["0.0.weight"].shape[1], []
    for fold in range(1 + max(int(name.split(".")[0]) for name in tensors)):
        state = {
            name.split(".", 1)[1]: value for name, value in tensors.items() if name.startswith(f"{fold}.")
        }
        network = make_mlp(dim, len(classes))
        network.load_state_dict(state)
        networks.append(network)
    return MlpHead(networks, classes)
