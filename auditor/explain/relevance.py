"""Layer-wise relevance propagation of one cell's score to pixels (Figure 8, A.7)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from auditor.errors import BackboneError
from auditor.explain.convolutions import explain_convolutions, is_plain_resnet
from auditor.explain.live import OpenImage, open_image
from auditor.explain.rules import linearise
from auditor.grids import cell_box, check_cell
from auditor.models.backbone import Grid, image_output
from auditor.models.heads import OwnHead, TextHead
from auditor.records import Box, Relevance
from auditor.store import Index

FIELD = 0.99  # of the absolute relevance lies in the box that is called the field
_AGREES = 1e-3  # of the score's own size: how far the model under the rules may be from the model itself


def relevance(index: Index, image: str, row: int, col: int, label: int | None = None) -> Relevance:
    """Relevance of the pixels for a cell's score of a class, by default of its top-1.

    The score is the one that `audit grid` shows. BackboneError for a backbone that computes what no rule
    makes linear.
    """
    check_cell(row, col, index.grid)
    opened = open_image(index, image)
    is_exact = index.manifest.options["readout"] == "exact" and opened.head.verdict != "exact"
    with torch.no_grad():
        grid, head = opened.grid_of(opened.pixels), opened.head
        cells = head.exact(grid, opened.fold) if is_exact else head.scores(grid.features, opened.fold)
        scores = cells[0, row, col]
    label = int(scores.argmax()) if label is None else label
    found, score, method = explain(opened, (row, col), label, is_exact)
    _check_agreement(float(score), scores, label)
    pixels = found[0].sum(0).cpu().numpy().astype(np.float64)
    box = cell_box(row, col, index.grid, pixels.shape[0])
    return Relevance(
        index=index.name,
        path=opened.path,
        row=row,
        col=col,
        label=label,
        name=index.manifest.classes[label].name,
        score=float(score),
        method=method,
        box=box,
        field=find_field(pixels),
        inside=_share_inside(pixels, box),
        pixels=pixels,
    )


def explain(
    opened: OpenImage, cell: tuple[int, int], label: int, is_exact: bool = False
) -> tuple[Tensor, Tensor, str]:
    """Relevance (1, 3, S, S) of the normalised input for a cell's score of a class, the score, the method."""
    module, images = opened.backbone.anatomy.tower.module, opened.normalise(opened.pixels)
    if is_plain_resnet(module) and not is_exact:
        return _explain_resnet(opened, images, cell, label)

    def run(moving: Tensor) -> Tensor:
        return read_cells(opened, _see(opened, moving), is_exact)[0, cell[0], cell[1], label]

    gradient, score, method = linearise(run, module, images)
    return gradient * images, score, method


def _explain_resnet(
    opened: OpenImage, images: Tensor, cell: tuple[int, int], label: int
) -> tuple[Tensor, Tensor, str]:
    """By zennit's rules below the cell's feature h; the head above it as w h + b."""
    tower, layout = opened.backbone.anatomy.tower, opened.backbone.anatomy.layout
    with torch.no_grad():
        feature = layout.split(tower.features(images))[0][:, cell[0], cell[1]]

    def run(moving: Tensor) -> Tensor:
        alone = Grid(moving[None, None], moving, None, None)
        return read_cells(opened, alone, is_exact=False)[0, 0, 0, label]

    weight, score, _ = linearise(run, tower.module, feature)
    bias = score - (weight * feature).sum()
    found = explain_convolutions(tower.features, tower.module, images, cell, weight[0], bias)
    return *found, "LRP: z+ in convolutions, epsilon in the head"


def _see(opened: OpenImage, images: Tensor) -> Grid:
    """The grid of normalised images, with gradients; the pooled vector is what frozen norms take as given."""
    grid = opened.read(images)
    return grid._replace(pooled=grid.pooled.detach())


def read_cells(opened: OpenImage, grid: Grid, is_exact: bool) -> Tensor:
    """Scores (1, H, W, K) of the cells, with gradients: a model's own head lets none through."""
    head = opened.head
    if not isinstance(head, OwnHead | TextHead):
        return head.exact(grid, opened.fold) if is_exact else head.scores(grid.features, opened.fold)
    own = _split_own(opened, grid) if is_exact else _apply_own(opened, grid.features)
    if isinstance(head, OwnHead):
        return own
    length = (
        image_output(grid).norm(dim=-1)[:, None, None, None] if is_exact else own.norm(dim=-1, keepdim=True)
    )
    return head.scale * F.linear(own / length, head.text.to(own)) + head.bias


def _split_own(opened: OpenImage, grid: Grid) -> Tensor:
    anatomy = opened.backbone.anatomy
    raw = anatomy.layout.join(grid.features, grid.prefix)
    return anatomy.split(raw, grid.features, grid.pooled)


def _apply_own(opened: OpenImage, features: Tensor) -> Tensor:
    function = opened.backbone.anatomy.function
    if function is None:
        raise BackboneError(f"{opened.backbone.name} has no head on its cells; index it with --head probe")
    return function(features.flatten(0, 2)).reshape(*features.shape[:3], -1)


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
