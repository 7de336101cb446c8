"""Scores of all classes in every stored cell, from features and the head's matrix: no model is needed.

The index keeps the five best classes of a cell; whatever needs all of them comes from here.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import BackboneError
from auditor.measure.counts import require_head
from auditor.store import Index

Scores = NDArray[np.float32]


class StoredScores:
    """The index's own readout of its features; BackboneError where the head is not affine.

    weight (F, K, C) and bias (F, K): F heads, one for each fold of a probe, else one.
    """

    def __init__(self, index: Index) -> None:
        self.index = index
        self.is_probe, self.weight, self.bias = _read_affine(index)
        self.is_exact = index.manifest.options.get("readout") == "exact"
        self.heads = _heads_of_images(index, len(self.weight))

    def cells(self, image: int) -> Scores:
        """Class scores (H * W, K) of an image's cells."""
        features = self.index.features(image).reshape(-1, self.index.manifest.dim)
        head = self.heads[image]
        scores: Scores = features * self._lengths(image)[:, None] @ self.weight[head].T + self.bias[head]
        return scores

    def image(self, image: int) -> Scores:
        """The image's own class scores (K,), from its pooled vector."""
        pooled, head = self.index.pooled(image), self.heads[image]
        vector = pooled / np.linalg.norm(pooled) if self.is_probe else pooled
        scores: Scores = self.weight[head] @ vector + self.bias[head]
        return scores

    def _lengths(self, image: int) -> Scores:
        """What unit-length cells (H * W,) are multiplied by: a probe reads directions (4.3)."""
        norms = self.index.norms(image).ravel()
        if not self.is_probe:
            return norms
        if not self.is_exact:
            return np.ones_like(norms)
        return np.asarray(norms / np.linalg.norm(self.index.pooled(image)), dtype=np.float32)


def softmax(scores: Scores) -> NDArray[np.float64]:
    """Probabilities over the last axis."""
    shifted = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def _read_affine(index: Index) -> tuple[bool, Scores, Scores]:
    """Whether the head is a probe, its weight (F, K, C) and bias (F, K)."""
    from safetensors import SafetensorError, safe_open

    require_head(index)
    path = index.path / (index.manifest.head.file or "")
    try:
        with safe_open(path, "np") as file:
            kind = json.loads(file.metadata()["audit_head"])["kind"]
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as problem:
        raise BackboneError(
            f"{path} holds no head, or is damaged: {problem}; see: audit check --index {index.name}"
        ) from None
    if kind not in ("own", "probe") or not {"weight", "bias"} <= tensors.keys():
        raise BackboneError(
            f"the {kind} head of {index.name} is not affine, so the stored features alone do not give the "
            "scores of all classes; index with --head probe for one that is"
        )
    weight, bias = (np.asarray(tensors[name], dtype=np.float32) for name in ("weight", "bias"))
    return kind == "probe", *((weight, bias) if weight.ndim == 3 else (weight[None], bias[None]))


def _heads_of_images(index: Index, count: int) -> NDArray[np.int64]:
    """Which head scores an image, by its id: its fold's."""
    folds = index.query("SELECT fold FROM images ORDER BY id")["fold"]
    return np.clip(np.ma.filled(folds, 0).astype(np.int64), 0, count - 1)
