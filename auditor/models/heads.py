"""Heads: what turns a grid of features into class scores, for the image and for every cell.

`scores` of a cell never depend on another cell: the paper's metrics use those. `exact` gives the split of the
image's scores that adds up, and `certify` measures both. Probes live beside their training, in `probe`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.errors import BackboneError
from auditor.models.backbone import Backbone, Grid, image_output
from auditor.models.probe import MlpHead, ProbeHead
from auditor.models.readout import relative_error
from auditor.records import Certificate, ClassName, Readout, Verdict

AnyProbe = ProbeHead | MlpHead


class Head(Protocol):
    """Class scores from features; `folds` (B,) says which of a probe's heads an image is scored by."""

    @property
    def name(self) -> str:
        """own, linear, text, probe or mlp."""
        ...

    @property
    def classes(self) -> tuple[ClassName, ...]:
        """What the K scores are of."""
        ...

    @property
    def readout(self) -> str | None:
        """The kind of `exact`, None where there is none."""
        ...

    @property
    def verdict(self) -> Verdict:
        """What `exact` makes of the head."""
        ...

    def scores(self, features: Tensor, folds: Tensor | None = None) -> Tensor:
        """Cells (B, H, W, C), each by itself: (B, H, W, K)."""
        ...

    def image_scores(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """The image's own scores (B, K)."""
        ...

    def exact(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """Scores (B, H, W, K) whose mean over cells is the image's; BackboneError where there are none."""
        ...


def dense_scores(head: Head, grid: Grid, readout: Readout, folds: Tensor | None = None) -> Tensor:
    """Scores (B, H, W, K) of the cells; BackboneError where the head has no exact readout and it is asked."""
    return head.exact(grid, folds) if readout == "exact" else head.scores(grid.features, folds)


class OwnHead:
    """The class head that the backbone came with."""

    name = "own"

    def __init__(self, backbone: Backbone) -> None:
        if not backbone.classes:
            raise BackboneError(
                f"{backbone.name} has no class head of its own; use a probe or, for CLIP models, a text head"
            )
        self.backbone = backbone
        self.classes = backbone.classes
        self.readout = backbone.anatomy.readout
        self.verdict: Verdict = backbone.anatomy.verdict

    def scores(self, features: Tensor, folds: Tensor | None = None) -> Tensor:
        """Its scores of every cell by itself."""
        return self.backbone.pointwise(features)

    def image_scores(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """The model's own logits."""
        return image_output(grid)

    def exact(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """The backbone's exact readout."""
        return self.backbone.exact(grid)


class LinearHead:
    """An affine head without its model: the model's own (`own`), or anybody's (`linear`)."""

    readout = "linear"
    verdict: Verdict = "exact"

    def __init__(
        self, weight: Tensor, bias: Tensor, classes: tuple[ClassName, ...], name: str = "own"
    ) -> None:
        self.weight, self.bias, self.classes, self.name = weight, bias, classes, name

    @property
    def dim(self) -> int:
        """The length C of the features that it reads."""
        return self.weight.shape[-1]

    def scores(self, features: Tensor, folds: Tensor | None = None) -> Tensor:
        """W h + b."""
        return F.linear(features.to(self.weight), self.weight, self.bias)

    def image_scores(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """W of the mean + b, which is the mean of the cells' scores."""
        return self.scores(grid.pooled)

    def exact(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """The same as scores."""
        return self.scores(grid.features)


class TextHead:
    """Zero-shot: scaled cosines with the embeddings (K, D) of the class names, unit length."""

    name = "text"

    def __init__(
        self, backbone: Backbone, text: Tensor, scale: float, bias: float, classes: tuple[ClassName, ...]
    ) -> None:
        self.backbone, self.text, self.scale, self.bias = backbone, text, scale, bias
        self.classes = classes

    @property
    def readout(self) -> str | None:
        """A division by one length, where the backbone's own output can be split."""
        return "pooled_norm" if self.backbone.anatomy.readout else None

    @property
    def verdict(self) -> Verdict:
        """The backbone's, but never exact for each cell by itself: lengths differ from cell to cell."""
        verdict = self.backbone.anatomy.verdict
        return "exact-affine" if verdict == "exact" else verdict

    def scores(self, features: Tensor, folds: Tensor | None = None) -> Tensor:
        """Each cell's embedding divided by its own length, as the paper does with features."""
        return self._cosines(F.normalize(self.backbone.pointwise(features), dim=-1))

    def image_scores(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """The model's own zero-shot scores."""
        return self._cosines(F.normalize(image_output(grid), dim=-1))

    def exact(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """Exact cells divided by the length of the image's embedding."""
        length = image_output(grid).norm(dim=-1)[:, None, None, None]
        return self._cosines(self.backbone.exact(grid) / length)

    def _cosines(self, embeddings: Tensor) -> Tensor:
        return self.scale * F.linear(embeddings, self.text.to(embeddings)) + self.bias


def make_text_head(
    backbone: Backbone, classes: Sequence[ClassName], template: str = "a photo of a {}."
) -> TextHead:
    """A zero-shot head from class names; BackboneError for a backbone without a text tower."""
    if "{}" not in template:
        raise BackboneError(f"the template {template!r} has no {{}} where the class name goes")
    embeddings = backbone.encode_text([template.replace("{}", class_.name) for class_ in classes])
    text = backbone.text
    scale, bias = (1.0, 0.0) if text is None else (text.scale, text.bias)
    return TextHead(backbone, F.normalize(embeddings, dim=-1), scale, bias, tuple(classes))


@torch.no_grad()
def certify(backbone: Backbone, head: Head | None, images: Tensor) -> Certificate:
    """How far the mean of the cells' scores is from the image's, on preprocessed images (B, 3, S, S).

    In float32 and eager mode, autocast and TF32 off. Without a head the backbone's own output is measured.
    """
    with torch.autocast(backbone.device.type, enabled=False), torch.backends.cudnn.flags(allow_tf32=False):
        grid = backbone.grid_of(images.float())
        if head is None:
            wanted = _measured(lambda: image_output(grid))
            pointwise = _error(lambda: backbone.pointwise(grid.features), wanted)
            exact = _error(lambda: backbone.exact(grid), wanted)
        else:
            wanted = _measured(lambda: head.image_scores(grid))
            pointwise = _error(lambda: head.scores(grid.features), wanted)
            exact = _error(lambda: head.exact(grid), wanted)
    anatomy = backbone.anatomy
    probe = {ProbeHead: "linear", LinearHead: "linear", MlpHead: "mlp"}.get(type(head))
    return Certificate(
        aggregation="gap" if probe else anatomy.aggregation,
        head=probe or anatomy.head,
        verdict=anatomy.verdict if head is None else head.verdict,
        pointwise_error=pointwise,
        exact_error=exact,
        exact_readout=anatomy.readout if head is None else head.readout,
        images=len(images),
        note=anatomy.note,
    )


def _error(cells: Callable[[], Tensor], wanted: Tensor | None) -> float | None:
    scores = None if wanted is None else _measured(cells)
    return None if scores is None or wanted is None else relative_error(scores.mean((1, 2)), wanted)


def _measured(scores: Callable[[], Tensor]) -> Tensor | None:
    """The scores, None where the model has no such readout."""
    try:
        return scores()
    except BackboneError:
        return None
