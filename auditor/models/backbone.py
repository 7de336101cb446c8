"""A backbone: images to a grid of features, and what its own head says of the image and of every cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.errors import BackboneError
from auditor.models.anatomy import Anatomy
from auditor.models.catalog import BackboneSpec
from auditor.records import ClassName, Preprocess


class Grid(NamedTuple):
    """A batch of images behind the backbone, in float32.

    `logits` is the output of the model's own head: class scores where the backbone has `classes`, else its
    image embedding (CLIP, DINO); None where no head reads the features.
    """

    features: Tensor  # B, H, W, C
    pooled: Tensor  # B, C: the mean of features, whatever the model itself pools by
    prefix: Tensor | None  # B, P, C: class, distillation and register tokens
    logits: Tensor | None  # B, K


def image_output(grid: Grid) -> Tensor:
    """The model's own output (B, K) for the images; BackboneError where no head reads the features."""
    if grid.logits is None:
        raise BackboneError("this backbone gives features only: no head of its own reads them; use a probe")
    return grid.logits


class TextTower(Protocol):
    """The text side of a CLIP model."""

    scale: float
    bias: float

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (T, D), not normalised."""
        ...


class Backbone:
    """A loaded model, read through its anatomy; nothing here knows what architecture it is.

    Gradients pass through all that it computes: who wants numbers alone asks under `torch.no_grad()`.
    `identity` names everything that decides what is measured of it, "" where that is not known.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        anatomy: Anatomy,
        preprocess: Preprocess,
        *,
        weights_sha256: str,
        classes: tuple[ClassName, ...] = (),
        text: TextTower | None = None,
        identity: str = "",
    ) -> None:
        self.name = spec.name
        self.spec = spec
        self.anatomy = anatomy
        self.preprocess = preprocess
        self.weights_sha256 = weights_sha256
        self.classes = classes
        self.text = text
        self.identity = identity

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.anatomy.layout.grid

    @property
    def dim(self) -> int:
        """Length of a cell's feature."""
        return self.anatomy.layout.dim

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(iter(self.anatomy.tower.module.parameters())).device
        return device

    def grid_of(self, images: Tensor) -> Grid:
        """The grid of preprocessed images (B, 3, S, S) of the size that the backbone was loaded for."""
        raw, logits = self.anatomy.tower.run(images.to(self.device))
        features, prefix = self.anatomy.layout.split(raw)
        features = features.float()
        return Grid(
            features,
            features.mean((1, 2)),
            None if prefix is None else prefix.float(),
            None if logits is None else logits.float(),
        )

    def pointwise(self, features: Tensor) -> Tensor:
        """f(h), the backbone's own head on each cell (..., C) by itself: (..., K), in float32 (A.4)."""
        function, affine = self.anatomy.function, self.anatomy.affine
        if function is None:
            raise BackboneError(f"{self.name} has no head on its cells: {self.anatomy.note}; use a probe")
        cells = features.to(self.device, torch.float32)
        if self.anatomy.head == "none":
            return cells
        if affine is not None and self.anatomy.norm is None:
            return F.linear(cells, *affine)
        return function(cells.flatten(0, -2)).reshape(*cells.shape[:-1], -1)

    def exact(self, grid: Grid) -> Tensor:
        """Scores (B, H, W, K) of the cells whose mean is the image's own output, `grid.logits`.

        Raises BackboneError where no such split exists (class tokens) or the features have no head.
        """
        if self.anatomy.readout is None:
            raise BackboneError(self._why_not_exact())
        features = grid.features.to(self.device, torch.float32)
        prefix = None if grid.prefix is None else grid.prefix.to(self.device, torch.float32)
        raw = self.anatomy.layout.join(features, prefix)
        return self.anatomy.split(raw, features, grid.pooled.to(features))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (T, D) of texts, for backbones that have a text side (open_clip's)."""
        if self.text is None:
            raise BackboneError(
                f"{self.name} has no text tower; take an open_clip model, such as clip_resnet50"
            )
        return self.text.encode(texts)

    def _why_not_exact(self) -> str:
        if self.anatomy.verdict == "features-only":
            return f"{self.name} has no head on its cells: {self.anatomy.note}; use a probe"
        how = {"token": "reads a class token", "attention": "pools by an attention of an unknown kind"}
        reason = how.get(self.anatomy.aggregation, "does not follow from the mean of its cells")
        return f"{self.name} {reason}: no split over cells adds up to its output; use the pointwise readout"
