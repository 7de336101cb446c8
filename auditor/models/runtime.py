"""Whether a runtime can be had here, without loading it."""

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
