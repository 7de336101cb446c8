"""Whether a library has a model, read from its files: importing timm or open_clip takes seconds."""

from __future__ import annotations

import difflib
import functools
import re
from importlib.util import find_spec
from pathlib import Path

from auditor.errors import BackboneError
from auditor.models.catalog import CATALOG, BackboneSpec

_REGISTERED = re.compile(r"^@register_model\s*\n(?:@[^\n]*\n)*def (\w+)\(", re.MULTILINE)


def check_name(spec: BackboneSpec) -> None:
    """BackboneError with close matches where the library has no model of this name.

    Tags, and whatever these files do not tell, are left to the library itself, when it is loaded.
    """
    if spec.name in CATALOG:
        return
    if spec.library == "timm":
        name, known = spec.model.partition(".")[0], timm_names()
        is_known = not known or name in known or _is_former(name)
    else:
        name, known = spec.model.partition(":")[0], open_clip_names()
        is_known = not known or name in known
    if not is_known:
        close = difflib.get_close_matches(name, sorted(known), n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise BackboneError(f"{spec.library} has no model {name}{hint}")


def timm_names() -> frozenset[str]:
    """The architectures that timm registers."""
    return frozenset(_REGISTERED.findall(_timm_source()))


def _is_former(name: str) -> bool:
    """Whether timm translates the name of an earlier version: it stands quoted beside the models."""
    return re.search(rf"""["']{re.escape(name)}["']""", _timm_source()) is not None


def open_clip_names() -> frozenset[str]:
    """The models that open_clip has a configuration of."""
    return frozenset(path.stem for path in _folder("open_clip", "model_configs").glob("*.json"))


@functools.cache
def _timm_source() -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(_folder("timm", "models").glob("*.py")))


def _folder(package: str, name: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    return Path(spec.origin).parent / name
