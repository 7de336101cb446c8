"""Layer-wise relevance propagation of one cell's score to pixels (Figure 8, A.7)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditor.errors import BackboneError
from auditor.explain.convolutions import explain_convolutions
from auditor.explain.live import OpenImage, open_image
from auditor.explain.rules import explain_tokens, family_of
from auditor.grids import cell_box, check_cell
from auditor.models.heads import LinearHead, OwnHead
from auditor.models.probe import ProbeHead
from auditor.records import Box, Relevance
from auditor.store import Index

FIELD = 0.99  # of the absolute relevance lies in the box that is called the field
_AGREES = 1e-3  # of the score's own size: how far the model under the rules may be from the model itself
_METHODS = {
    "convolutional": "LRP: z+ in convolutions, epsilon in the head",
    "transformer": "CP-LRP: attention weights, deviations and slopes held constant",
}


def relevance(index: Index, image: str, row: int, col: int, label: int | None = None) -> Relevance:
    """Relevance of the pixels for a cell's score of a class, by default of its top-1.

    BackboneError for a backbone whose layers have no rule, and for a head that is not linear.
    """
    check_cell(row, col, index.grid)
    opened = open_image(index, image)
    family = family_of(opened.backbone.anatomy.tower.module)
    with torch.no_grad():
        grid = opened.grid_of(opened.pixels)
        scores = opened.head.scores(grid.features, opened.fold)[0, row, col]
    label = int(scores.argmax()) if label is None else label
    found, score = explain(opened, family, (row, col), label)
    _check_agreement(float(score), scores, label)
    pixels = found[0].sum(0).cpu().numpy().astype(np.float64)
    box = cell_box(row, col, index.grid, pixels.shape[0])
    name = index.manifest.classes[label].name
    return Relevance(
        index=index.name,
        path=opened.path,
        row=row,
        col=col,
        label=label,
        name=name,
        score=float(score),
        method=_METHODS[family],
        box=box,
        field=find_field(pixels),
        inside=_share_inside(pixels, box),
        pixels=pixels,
    )


def explain(opened: OpenImage, family: str, cell: tuple[int, int], label: int) -> tuple[Tensor, Tensor]:
    """Relevance (1, 3, S, S) of the normalised input for the cell's score of a class, and the score."""
    tower, layout = opened.backbone.anatomy.tower, opened.backbone.anatomy.layout
    images = opened.normalise(opened.pixels)
    if family == "transformer":

        def run(moving: Tensor) -> Tensor:
            return score_cell(opened, layout.split(tower.features(moving))[0][0, cell[0], cell[1]], label)

        return explain_tokens(run, tower.module, images)
    with torch.no_grad():
        feature = layout.split(tower.features(images))[0][0, cell[0], cell[1]]
    weight, bias = _linear_row(opened, feature, label)
    return explain_convolutions(tower.features, tower.module, images, cell, weight, bias)


def score_cell(opened: OpenImage, feature: Tensor, label: int) -> Tensor:
    """The score of a class from one cell's feature (C,), through the model's own head if need be."""
    function = opened.backbone.anatomy.function
    if isinstance(opened.head, OwnHead) and function is not None:
        score: Tensor = function(feature[None])[0, label]
        return score
    weight, bias = _linear_row(opened, feature, label)
    return feature @ weight + bias


def _linear_row(opened: OpenImage, feature: Tensor, label: int) -> tuple[Tensor, Tensor]:
    """w (C,) and b with score = w h + b; a probe's division by the feature's length is held constant."""
    head = opened.head
    if isinstance(head, LinearHead):
        return head.weight[label].to(feature), head.bias[label].to(feature)
    if isinstance(head, ProbeHead):
        folds = (
            range(len(head.weight)) if opened.fold is None else [min(int(opened.fold), len(head.weight) - 1)]
        )
        weight, bias = head.weight[list(folds), label].mean(0), head.bias[list(folds), label].mean(0)
        return weight.to(feature) / feature.norm().detach().clamp_min(1e-12), bias.to(feature)
    raise BackboneError(
        f"the {head.name} head of {opened.backbone.name} is not linear in a cell's feature, "
        "so relevance has no rule for it; index with --head probe"
    )


def _check_agreement(score: float, scores: Tensor, label: int) -> None:
    """The rules must not change what they explain: a layer that they rewrote wrongly would show here."""
    expected, size = float(scores[label]), float(scores.abs().max())
    if abs(score - expected) > _AGREES * max(size, 1e-6):
        raise BackboneError(
            f"under the relevance rules this backbone scores {score:.4g}, by itself {expected:.4g}: "
            "its layers do more than the rules know, so no map is given"
        )


def find_field(pixels: NDArray[np.float64]) -> Box:
    """A box that holds 99 % of the absolute relevance: at most a quarter of the rest is cut at each side."""
    weights = np.abs(pixels)
    left, right = _trim(weights.sum(axis=0))
    top, bottom = _trim(weights.sum(axis=1))
    return left, top, right, bottom


def _trim(weights: NDArray[np.float64]) -> tuple[int, int]:
    """First and past-the-last position after cutting (1 - FIELD) / 4 of the total from either end."""
    allowed = weights.sum() * (1 - FIELD) / 4
    first = int(np.searchsorted(weights.cumsum(), allowed, side="right"))
    last = int(np.searchsorted(weights[::-1].cumsum(), allowed, side="right"))
    return min(first, len(weights) - 1), max(len(weights) - last, 1)


def _share_inside(pixels: NDArray[np.float64], box: Box) -> float:
    left, top, right, bottom = box
    total = float(np.abs(pixels).sum())
    return float(np.abs(pixels[top:bottom, left:right]).sum()) / total if total else 0.0
