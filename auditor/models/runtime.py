"""Whether a runtime can be had here, without loading it, and a precision without emulating it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from auditor.errors import BackboneError
from auditor.records import Runtime


def check_runtime(runtime: Runtime, device: str = "auto") -> None:
    """BackboneError where OpenVINO is asked for and is not installed, or asked for on another device."""
    if runtime != "openvino":
        return
    if device.partition(":")[0] not in ("auto", "cpu"):
        raise BackboneError(
            f"--runtime openvino computes on the CPU, not on {device}; leave out one of the two options"
        )
    try:
        version("openvino")
    except PackageNotFoundError:
        raise BackboneError("--runtime openvino needs OpenVINO: pip install 'auditor[openvino]'") from None


_BFLOAT16 = ("avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16", "sve_bf16")
"""Instructions for bfloat16, by torch's names: one of x86's, or of ARM's, is enough."""


def emulates_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16 by other instructions; False where torch does not know.

    oneDNN's own word for what it supports includes CPUs with AVX-512 alone, on which it emulates too.
    """
    import torch

    able = getattr(torch.cpu, "get_capabilities", dict[str, bool])()  # torch 2.10 does not have it
    told = [able[name] for name in _BFLOAT16 if name in able]
    return bool(told) and not any(told)
