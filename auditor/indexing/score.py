"""Class scores of every cell into the columns that the index keeps of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditor.models.backbone import Grid
from auditor.models.heads import Head, dense_scores
from auditor.records import Readout

TOP = 5


@dataclass(frozen=True, slots=True)
class CellScores:
    """One image in one variant: N cells in row-major order, k = min(5, classes), T evaluation classes.

    top5 (N, k), probabilities (N, k), entropy (N,) in nats, target_rank (N, T) with 0 for top-1,
    target_logit (N, T); image_top5 (k,) and image_probabilities (k,) of the image-level scores.
    """

    top5: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    entropy: NDArray[np.float32]
    target_rank: NDArray[np.int32]
    target_logit: NDArray[np.float32]
    image_top5: NDArray[np.int32]
    image_probabilities: NDArray[np.float32]


@torch.no_grad()
def score_grid(
    head: Head,
    grid: Grid,
    readout: Readout = "pointwise",
    folds: Tensor | None = None,
    targets: Sequence[Sequence[int]] | None = None,
) -> list[CellScores]:
    """The columns of every image of a grid by a head, without gradients.

    `folds` (B,) says which of a probe's heads scores each image, `targets` gives each image's evaluation
    classes, none by default. BackboneError where the head lacks the readout.
    """
    cells, image = dense_scores(head, grid, readout, folds), head.image_scores(grid, folds)
    return _summarise(cells, image, [[]] * len(image) if targets is None else targets)


def _summarise(cells: Tensor, image: Tensor, targets: Sequence[Sequence[int]]) -> list[CellScores]:
    """Dense scores (B, H, W, K), image scores (B, K) and each image's evaluation classes into columns."""
    image_p = image.float().softmax(-1)
    image_top = image_p.topk(min(TOP, image.shape[-1]), dim=-1)
    return [
        CellScores(
            *_describe(scores := cells[i].flatten(0, 1).float()),
            *_targets(scores, list(targets[i])),
            _numpy(image_top.indices[i]).astype(np.int32),
            _numpy(image_top.values[i]),
        )
        for i in range(len(cells))
    ]


def _describe(scores: Tensor) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Top classes, their probabilities and entropy of one image's cells (N, K): they fit into the cache."""
    log_p = scores.log_softmax(-1)
    top = scores.topk(min(TOP, scores.shape[-1]), dim=-1).indices
    entropy = -log_p.exp().mul_(log_p).sum(-1)
    return _numpy(top).astype(np.int32), _numpy(log_p.gather(-1, top).exp()), _numpy(entropy)


def _targets(scores: Tensor, labels: list[int]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Rank and score of each label in each cell (N, T): rank counts the classes that score higher."""
    chosen = scores[:, labels]
    rank = (
        torch.stack([(scores > chosen[:, [t]]).sum(-1) for t in range(len(labels))], -1) if labels else chosen
    )
    return _numpy(rank).astype(np.int32), _numpy(chosen)


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.cpu().numpy()
    return array
