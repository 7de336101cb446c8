"""What loading needs of a library, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from auditor.models.hub import HubFile
from auditor.records import Preprocess


class Source(Protocol):
    """A model that is not built yet: what its library's registry says of it."""

    @property
    def hub_file(self) -> HubFile:
        """Where its weights are published; BackboneError where they are on no hub."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """Its own mean, std and interpolation."""
        ...

    @property
    def native_size(self) -> int | None:
        """The side of the only image that it takes as it is, None where any will do."""
        ...

    @property
    def classes(self) -> int:
        """Outputs of its published head, 0 where it has none."""
        ...

    def build(self, size: int, model_args: Mapping[str, Any], state: dict[str, Tensor] | None) -> nn.Module:
        """The model for images of `size` pixels, with the weights in `state` or, without it, random ones."""
        ...
