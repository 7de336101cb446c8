"""Layer-wise relevance propagation of one cell's score to pixels (Figure 8, A.7)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditor.errors import BackboneError
from auditor.explain.live import OpenImage, open_image
from auditor.explain.rules import linearise
from auditor.grids import cell_box, check_cell
from auditor.models.heads import dense_scores
from auditor.questions.relevance.record import Box, Relevance
from auditor.records import Readout
from auditor.report.wish import Answer, Subject, Wish
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
    readout: Readout = "pointwise" if opened.head.verdict == "exact" else index.manifest.readout
    with torch.no_grad():
        grid = opened.grid_of(opened.pixels)
        scores = dense_scores(opened.head, grid, readout, opened.fold)[0, row, col]
    label = int(scores.argmax()) if label is None else label
    found, score, method = explain(opened, (row, col), label, readout)
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
    opened: OpenImage, cell: tuple[int, int], label: int, readout: Readout = "pointwise"
) -> tuple[Tensor, Tensor, str]:
    """Relevance (1, 3, S, S) of the normalised input for a cell's score of a class, the score, the method."""
    module, images = opened.backbone.anatomy.tower.module, opened.normalise(opened.pixels)

    def run(moving: Tensor) -> Tensor:
        grid = opened.backbone.grid_of(moving)
        grid = grid._replace(pooled=grid.pooled.detach())  # frozen norms take the pooled vector as given
        return dense_scores(opened.head, grid, readout, opened.fold)[0, cell[0], cell[1], label]

    gradient, score, method = linearise(run, module, images)
    return gradient * images, score, method


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


# ------------------------------------------------------------------------------------- on a page


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: Figure 8, for the cell of its image that shows the class most surely."""
    if wish.subject is not None:
        path, label = wish.subject.path, wish.subject.label
        row, col = _surest_cell(index, wish.subject)
        words = (path, "--cell", f"{row},{col}", "--class", str(label))
        yield Answer(relevance(index, path, row, col, label), words)


def _surest_cell(index: Index, subject: Subject) -> tuple[int, int]:
    """A foreground cell if there is one, predicted as the class if there is one, with most confidence."""
    cells = index.query(
        "SELECT cell FROM cells WHERE image = $image AND variant = 0 "
        "ORDER BY coalesce(foreground, false) DESC, top1 = $label DESC, top5_p[1] DESC, cell LIMIT 1",
        {"image": index.image(subject.path), "label": subject.label},
    )
    row, col = divmod(int(cells["cell"][0]), index.grid[1])
    return row, col
