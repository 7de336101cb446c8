"""Scores of all classes in every stored cell, from features and the head's matrix: no model is needed.

The index keeps the five best classes of a cell; whatever needs all of them comes from here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from auditor.errors import IndexDamaged
from auditor.store.index import Index
from auditor.store.manifest import head_path

Scores = NDArray[np.float32]

BLOCK = 32  # images of one product


@dataclass(frozen=True, slots=True)
class AffineHead:
    """weight (F, K, C) and bias (F, K): F heads, one for each fold of a probe, else one."""

    is_probe: bool
    weight: Scores
    bias: Scores


class StoredScores:
    """The index's own readout of its features; an image is scored by the head of its fold."""

    def __init__(self, index: Index, head: AffineHead) -> None:
        self.index, self.head = index, head
        self.is_exact = index.manifest.readout == "exact"
        folds = index.query("SELECT fold FROM images ORDER BY id")["fold"]
        # folds without a head were not trained on at all, so any head will do
        self.heads = np.clip(np.ma.filled(folds, 0).astype(np.int64), 0, len(head.weight) - 1)

    def cells(self, image: int) -> Scores:
        """Class scores (H * W, K) of an image's cells."""
        return self._apply(self._scaled([image])[0], image)

    def each(self, images: Sequence[int] | NDArray[np.integer]) -> Iterator[Scores]:
        """Class scores (H * W, K) of one image after another; one product for each block of them."""
        for block in self.blocks(images):
            yield from block

    def blocks(self, images: Sequence[int] | NDArray[np.integer]) -> Iterator[Scores]:
        """Class scores (n, H * W, K) of some images at a time, in order."""
        wanted = np.asarray(images, dtype=np.int64)
        for block in np.split(wanted, range(BLOCK, len(wanted), BLOCK)):
            vectors, heads = self._scaled(block), self.heads[block]
            scores = np.empty((*vectors.shape[:2], self.head.bias.shape[-1]), np.float32)
            for head in np.unique(heads):
                places = np.flatnonzero(heads == head)
                product = self._apply(vectors[places].reshape(-1, vectors.shape[-1]), block[places[0]])
                scores[places] = product.reshape(len(places), *scores.shape[1:])
            yield scores

    def image(self, image: int) -> Scores:
        """The image's own class scores (K,), from its pooled vector."""
        pooled = self.index.pooled(image)
        return self._apply(pooled / self._pooled_length(image) if self.head.is_probe else pooled, image)

    def parts(self, images: NDArray[np.int64], masks: NDArray[np.floating]) -> Scores:
        """What weighted sums of cells, masks (n, P, H * W), add to every class (n, P, K); the bias aside.

        Where the readout is exact and each column of the masks sums to 1 / (H * W), all of it is the image's.
        One product for all images of a head: one for each takes ten times as long. Of a single sum of each
        image BLAS rounds that otherwise, and is as fast with one for each.
        """
        heads = self.heads[images]
        vectors = np.asarray(masks, dtype=np.float32) @ self._scaled(images)
        added = np.empty((*vectors.shape[:2], self.head.bias.shape[-1]), np.float32)
        for head in np.unique(heads):
            chosen = vectors[heads == head]
            if chosen.shape[1] > 1:
                chosen = chosen.reshape(1, -1, chosen.shape[-1])
            product = chosen @ self.head.weight[head].T
            added[heads == head] = product.reshape(-1, *added.shape[1:])
        return added

    def _scaled(self, images: Sequence[int] | NDArray[np.integer]) -> Scores:
        """What the head reads of each cell of images (n, H * W, C)."""
        wanted = np.asarray(images, dtype=np.int64)
        return np.asarray(self.index.grids(wanted) * self._lengths(wanted)[..., None], dtype=np.float32)

    def _apply(self, vectors: Scores, image: int) -> Scores:
        """W h + b of vectors (..., C), by the image's head."""
        head = self.heads[image]
        return np.asarray(vectors @ self.head.weight[head].T + self.head.bias[head], dtype=np.float32)

    def _lengths(self, images: NDArray[np.int64]) -> Scores:
        """What unit-length cells (n, H * W) are multiplied by: a probe reads directions (4.3)."""
        norms = self.index.lengths(images)
        if not self.head.is_probe:
            return norms
        if not self.is_exact:
            return np.ones_like(norms)
        pooled = np.array([self._pooled_length(int(image)) for image in images], np.float32)
        return np.asarray(norms / pooled[:, None], dtype=np.float32)

    def _pooled_length(self, image: int) -> float:
        """The length of the pooled vector, 1 where that is zero."""
        return float(np.linalg.norm(self.index.pooled(image))) or 1.0


def stored_scores(index: Index) -> StoredScores | None:
    """The scores that the index's features give; None where its head is not affine, or there is none."""
    head = _read_affine(index)
    return None if head is None else StoredScores(index, head)


def _read_affine(index: Index) -> AffineHead | None:
    path = head_path(index.path, index.manifest)
    if path is None:
        return None
    try:
        with safe_open(path, "np") as file:
            kind = json.loads(file.metadata()["audit_head"])["kind"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as problem:
        raise IndexDamaged(
            f"{path} holds no head, or is damaged: {problem}; see: audit check --index {index.name}"
        ) from None
    if kind not in ("own", "linear", "probe") or set(tensors) != {"weight", "bias"}:
        return None
    weight, bias = (np.asarray(tensors[name], dtype=np.float32) for name in ("weight", "bias"))
    stacked = (weight, bias) if weight.ndim == 3 else (weight[None], bias[None])
    return AffineHead(kind == "probe", *stacked)
