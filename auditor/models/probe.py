"""Training probes on frozen, pooled features, out of fold: linear (section 4.3) and MLP (A.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from auditor.errors import BackboneError
from auditor.models.backbone import Grid
from auditor.records import ClassName, Verdict
from auditor.records.watch import Silence, Watch

_DROPOUT = 0.3  # section 4.3
_BATCH = 256
_EPOCHS, LINEAR_STEPS = 60, 1000  # at least so many of each: a small set needs more epochs to converge
_RATE = 0.05  # features have unit length, so weights must grow large; not given in the paper
_MLP_RATE, MLP_STEPS = 0.001, 200  # BatchNorm takes care of the lengths


class ProbeHead:
    """Linear heads on unit-length features, weight (F, K, C) and bias (F, K): one per fold (4.3).

    An image is scored by the head of its fold, which was trained without it; where no folds are given, by the
    mean of all heads, for images that none of them saw.
    """

    name = "probe"
    readout = "pooled_norm"
    verdict: Verdict = "exact-affine"

    def __init__(self, weight: Tensor, bias: Tensor, classes: tuple[ClassName, ...]) -> None:
        self.weight, self.bias, self.classes = weight, bias, classes

    @property
    def folds(self) -> int:
        """How many heads there are."""
        return len(self.weight)

    @property
    def dim(self) -> int:
        """The length C of the features that they read."""
        return self.weight.shape[-1]

    def scores(self, features: Tensor, folds: Tensor | None = None) -> Tensor:
        """W h / |h| + b."""
        return self._apply(F.normalize(features.to(self.weight), dim=-1), folds)

    def image_scores(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """The same on the pooled feature, whatever the backbone itself pools by."""
        return self.scores(grid.pooled, folds)

    def exact(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """Cells divided by the length of the pooled feature instead of their own."""
        length = grid.pooled.norm(dim=-1)[:, None, None, None]
        return self._apply((grid.features / length).to(self.weight), folds)

    def _apply(self, unit: Tensor, folds: Tensor | None) -> Tensor:
        if folds is None:
            return F.linear(unit, self.weight.mean(0), self.bias.mean(0))
        # folds without a head were not trained on at all, so any head will do
        rows = folds.to(self.weight.device).long().clamp(0, len(self.weight) - 1)
        cells = unit.flatten(1, -2) if unit.ndim > 2 else unit[:, None]
        scores = torch.baddbmm(self.bias[rows][:, None], cells, self.weight[rows].transpose(1, 2))
        return scores.reshape(*unit.shape[:-1], -1)


class MlpHead:
    """Three-layer heads on unit-length features (A.4), one per fold; otherwise like `ProbeHead`.

    Nothing that it says of cells adds up to what it says of the image.
    """

    name = "mlp"
    readout = None
    verdict: Verdict = "pointwise-only"

    def __init__(self, networks: Sequence[nn.Sequential], classes: tuple[ClassName, ...]) -> None:
        self.networks = [network.eval().requires_grad_(False) for network in networks]
        self.classes = classes

    @property
    def folds(self) -> int:
        """How many heads there are."""
        return len(self.networks)

    @property
    def dim(self) -> int:
        """The length C of the features that they read."""
        return self._first.shape[1]

    @property
    def _first(self) -> Tensor:
        return next(self.networks[0].parameters())

    def scores(self, features: Tensor, folds: Tensor | None = None) -> Tensor:
        """f(h / |h|), by the head of the image's fold or the mean of all."""
        unit = F.normalize(features.to(self._first), dim=-1)
        if folds is None:
            return torch.stack([_per_cell(network, unit) for network in self.networks]).mean(0)
        rows = folds.long().clamp(0, len(self.networks) - 1).tolist()
        return torch.stack(
            [_per_cell(self.networks[row], cells) for row, cells in zip(rows, unit, strict=True)]
        )

    def image_scores(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """The same on the pooled feature."""
        return self.scores(grid.pooled, folds)

    def exact(self, grid: Grid, folds: Tensor | None = None) -> Tensor:
        """BackboneError: there is none."""
        raise BackboneError("an MLP probe is not linear: no split over cells adds up to its image score")


def make_mlp(dim: int, classes: int) -> nn.Sequential:
    """Linear, BatchNorm, ReLU, twice, and a last Linear: the head of A.4."""
    hidden = [layer for _ in range(2) for layer in (nn.Linear(dim, dim), nn.BatchNorm1d(dim), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(dim, classes))


def _per_cell(network: nn.Sequential, unit: Tensor) -> Tensor:
    scores: Tensor = network(unit.reshape(-1, unit.shape[-1]))
    return scores.reshape(*unit.shape[:-1], -1)


def train_probe(
    pooled: NDArray[np.float32],
    positives: Sequence[tuple[int, ...]],
    classes: Sequence[ClassName],
    folds: NDArray[np.integer],
    *,
    seed: int = 0,
    epochs: int | None = None,
    watch: Watch | None = None,
) -> ProbeHead:
    """One linear head per fold on pooled features (n, C); head f is trained without the images of fold f.

    Unit-length features, dropout 0.3, cross-entropy on one of an image's positives, drawn anew each epoch.
    Images of fold -1 are in every training set (all -1: one head, trained on all). Images without positives
    are left out.
    """
    features, labels, seen = _prepare(pooled, positives, folds)
    epochs, watch = epochs or default_epochs(len(features), LINEAR_STEPS), watch or Silence()
    watch.start("training a probe, epochs", epochs)
    generator = torch.Generator().manual_seed(seed)
    weight, bias = _fit(features, labels, seen, len(classes), epochs, generator, watch)
    return ProbeHead(weight, bias, tuple(classes))


def train_mlp_probe(
    pooled: NDArray[np.float32],
    positives: Sequence[tuple[int, ...]],
    classes: Sequence[ClassName],
    folds: NDArray[np.integer],
    *,
    seed: int = 0,
    epochs: int | None = None,
    watch: Watch | None = None,
) -> MlpHead:
    """Like `train_probe` with A.4's three-layer head."""
    features, labels, seen = _prepare(pooled, positives, folds)
    epochs, watch = epochs or default_epochs(len(features), MLP_STEPS), watch or Silence()
    watch.start("training a probe, epochs", epochs * seen.shape[1])
    networks = []
    for fold in range(seen.shape[1]):
        rows = seen[:, fold].nonzero()[:, 0]
        labels_seen = [labels[row] for row in rows.tolist()]
        networks.append(_fit_mlp(features[rows], labels_seen, len(classes), epochs, seed, watch))
    return MlpHead(networks, tuple(classes))


def default_epochs(images: int, steps: int) -> int:
    """How often a probe sees each of so many training images."""
    return max(_EPOCHS, steps // _batches(images))


def _prepare(
    pooled: NDArray[np.float32], positives: Sequence[tuple[int, ...]], folds: NDArray[np.integer]
) -> tuple[Tensor, list[tuple[int, ...]], Tensor]:
    """Unit-length features (n, C) and positives of labelled images, and (n, F) which head may see them."""
    labelled = [index for index, classes in enumerate(positives) if classes]
    features = F.normalize(torch.from_numpy(np.asarray(pooled[labelled], dtype=np.float32)), dim=-1)
    fold = torch.from_numpy(np.asarray(folds[labelled], dtype=np.int64))
    count = max(int(np.max(folds, initial=-1)) + 1, 1)
    seen = fold[:, None] != torch.arange(count)
    if not seen.any(0).all():
        raise BackboneError(
            "a probe needs labelled images outside every fold; give it more images or fewer folds"
        )
    return features, [positives[index] for index in labelled], seen


def _fit(
    features: Tensor,
    labels: Sequence[tuple[int, ...]],
    seen: Tensor,
    classes: int,
    epochs: int,
    generator: torch.Generator,
    watch: Watch,
) -> tuple[Tensor, Tensor]:
    """Adam with cosine decay over all folds at once: weight (F, K, C) and bias (F, K)."""
    folds = seen.shape[1]
    weight = nn.Parameter(torch.zeros(folds, classes, features.shape[1]))
    bias = nn.Parameter(torch.zeros(folds, classes))
    optimizer = torch.optim.Adam([weight, bias], lr=_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * _batches(len(features)))
    for rows, targets in _draw_batches(labels, epochs, generator, watch):
        optimizer.zero_grad()
        dropped = _drop(features[rows], generator)
        scores = F.linear(dropped, weight.flatten(0, 1), bias.flatten()).view(-1, *bias.shape)
        loss = _loss(scores, targets, seen[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return weight.detach(), bias.detach()


def _fit_mlp(
    features: Tensor,
    labels: Sequence[tuple[int, ...]],
    classes: int,
    epochs: int,
    seed: int,
    watch: Watch,
) -> nn.Sequential:
    """Adam with cosine decay on one fold's images."""
    if len(features) < 2:
        raise BackboneError("an MLP probe needs at least two labelled images: BatchNorm has nothing to norm")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make_mlp(features.shape[1], classes).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=_MLP_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * _batches(len(features)))
    for rows, targets in _draw_batches(labels, epochs, generator, watch):
        if len(rows) == 1:  # the last batch: BatchNorm needs two
            continue
        optimizer.zero_grad()
        loss = F.cross_entropy(network(_drop(features[rows], generator)), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network


def _draw_batches(
    labels: Sequence[tuple[int, ...]], epochs: int, generator: torch.Generator, watch: Watch
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows and targets of every batch, shuffled and drawn anew in each epoch; `watch` is told of each."""
    for _ in range(epochs):
        targets = _draw_targets(labels, generator)
        for rows in torch.split(torch.randperm(len(labels), generator=generator), _BATCH):
            yield rows, targets[rows]
        watch.advance(1)


def _batches(images: int) -> int:
    return -(-images // _BATCH)


def _draw_targets(labels: Sequence[tuple[int, ...]], generator: torch.Generator) -> Tensor:
    """One positive of every image (n,), each as likely as the others."""
    draws = torch.rand(len(labels), generator=generator).tolist()
    return torch.tensor(
        [classes[int(draw * len(classes))] for classes, draw in zip(labels, draws, strict=True)]
    )


def _drop(features: Tensor, generator: torch.Generator) -> Tensor:
    kept = torch.rand(features.shape, generator=generator) >= _DROPOUT
    return features * kept / (1 - _DROPOUT)


def _loss(scores: Tensor, targets: Tensor, seen: Tensor) -> Tensor:
    """Cross-entropy of scores (n, F, K): each head's mean over the images that it may see, summed."""
    each = targets[:, None].expand(seen.shape)
    losses = F.cross_entropy(scores.flatten(0, 1), each.flatten(), reduction="none").view(seen.shape)
    return ((losses * seen).sum(0) / seen.sum(0).clamp_min(1)).sum()
