"""What was measured of a model before, in the user's cache: its anatomy, and certificates of its heads.

A measurement is found again only under everything that decides it: the weights' hash, the model and its
arguments, the size of its input, the device, the versions of the libraries and the sources of this room. A
file that is damaged, or cannot be read or written, counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from auditor.errors import OutputError
from auditor.files import write_bytes
from auditor.models.anatomy import Anatomy
from auditor.models.backbone import Backbone
from auditor.models.catalog import BackboneSpec
from auditor.models.heads import Head, certify
from auditor.models.layout import Layout
from auditor.models.readout import single_cell_head
from auditor.models.towers import Tower
from auditor.records import Certificate

KEPT = 100  # measurements, of at most 8 MB each (an affine head of 1,000 classes); the oldest go first
_NAME = re.compile(r"[0-9a-f]{32}")  # of a measurement, as `_digest` gives it
_SEAL = 64  # bytes of the digest in front of what it is of


def cache_folder() -> Path:
    """AUDIT_CACHE, else `audit` in the user's folder of caches."""
    if named := os.environ.get("AUDIT_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "audit"


def identify(spec: BackboneSpec, size: int, weights_sha256: str, device: torch.device) -> str:
    """A name for everything that decides what is measured of a model on drawn images."""
    return _digest(
        {
            "model": [spec.library, spec.model, sorted(spec.model_args.items()), len(spec.classes)],
            "size": size,
            "weights": weights_sha256,
            "device": _describe(device),
            "versions": [version(name) for name in ("auditor", "torch", "timm", "open_clip_torch")],
            "sources": _sources(),
        }
    )


def remember_anatomy(tower: Tower, identity: str, measure: Callable[[], Anatomy]) -> Anatomy:
    """The anatomy of a model, measured only where it was not before."""
    remembered = _recall(identity)
    if remembered is not None:
        return _restore(tower, *remembered)
    anatomy = measure()
    if anatomy.tower is tower and anatomy.pool is None and not anatomy.note:  # else its head is a special one
        _remember(identity, *_facts(anatomy))
    return anatomy


def remember_certificate(
    backbone: Backbone, head: Head | None, head_sha256: str | None, images: Tensor
) -> Certificate:
    """The certificate of a head on these very images, measured only where it was not before."""
    if not backbone.identity or (head is not None and head_sha256 is None):
        return certify(backbone, head, images)
    pixels = hashlib.blake2b(images.cpu().numpy().tobytes()).hexdigest()
    identity = _digest([backbone.identity, head and head.name, head_sha256, pixels])
    remembered = _recall(identity)
    if remembered is not None:
        return Certificate(**remembered[0])
    certificate = certify(backbone, head, images)
    _remember(identity, asdict(certificate), {})
    return certificate


def _facts(anatomy: Anatomy) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `_restore` makes the anatomy of again."""
    names: dict[nn.Module | None, str] = {
        module: name for name, module in anatomy.tower.module.named_modules()
    }
    words = ("aggregation", "head", "verdict", "readout", "note")
    facts = {word: getattr(anatomy, word) for word in words}
    facts |= {"layout": asdict(anatomy.layout), "norm": names.get(anatomy.norm)}
    affine = {} if anatomy.affine is None else dict(zip(("weight", "bias"), anatomy.affine, strict=True))
    return facts, {name: tensor.cpu().contiguous() for name, tensor in affine.items()}


def _restore(tower: Tower, facts: dict[str, Any], tensors: Mapping[str, Tensor]) -> Anatomy:
    facts = dict(facts)
    layout, norm = facts.pop("layout"), facts.pop("norm")
    layout = Layout(**layout | {"grid": tuple(layout["grid"])})
    device = next(tower.module.parameters()).device
    affine = (tensors["weight"].to(device), tensors["bias"].to(device)) if tensors else None
    return Anatomy(
        tower,
        layout,
        **facts,
        function=single_cell_head(tower, layout),
        affine=affine,
        norm=None if norm is None else tower.module.get_submodule(norm),
    )


def _recall(identity: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    try:
        sealed = (cache_folder() / identity).read_bytes()
    except (OSError, ValueError, RuntimeError):  # a user may have no home
        return None
    seal, content = sealed[:_SEAL], sealed[_SEAL:]
    if hashlib.blake2b(content).digest() != seal:
        return None
    facts, _, tensors = content.partition(b"\n")
    return json.loads(facts), load(tensors)


def _remember(identity: str, facts: Mapping[str, Any], tensors: dict[str, Tensor]) -> None:
    content = json.dumps(facts).encode() + b"\n" + save(tensors)
    with suppress(OSError, OutputError, RuntimeError):  # it is measured again next time
        folder = cache_folder()
        write_bytes(folder / identity, hashlib.blake2b(content).digest() + content)
        ours = (path for path in folder.iterdir() if _NAME.fullmatch(path.name))  # it may be a shared folder
        files = sorted(ours, key=lambda path: path.lstat().st_mtime)
        for path in files[:-KEPT]:
            path.unlink(missing_ok=True)


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"


@cache
def _sources() -> str:
    """A digest of this room's sources: what measures."""
    sources = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.blake2b(b"\0".join(sources)).hexdigest()


def _digest(facts: Any) -> str:
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()
