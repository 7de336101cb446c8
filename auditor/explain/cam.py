"""Class maps: one class's score of every cell (Figure 7, A.5).

Z[k] = W[k] h + b[k] is CAM itself. Where the head is affine it comes from the index's stored features,
without a model and without torch; any other head, and an image that is not indexed, needs the live backbone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from auditor.errors import BackboneError, CellError
from auditor.models.catalog import read_header
from auditor.records import ClassMap, ClassMaps
from auditor.store import Index

Scores = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Scores of the cells (H, W, L) and of the image (L,) for L classes."""


@dataclass(frozen=True, slots=True)
class _Affine:
    """A head as arrays: weight (F, K, C) and bias (F, K), F = 1 unless it is a probe with folds."""

    is_probe: bool
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def class_maps(index: Index, image: str, labels: Sequence[int]) -> ClassMaps:
    """The maps of some classes for an indexed image or an image file, in the index's own readout."""
    options, certificate = index.manifest.options, index.manifest.certificate
    readout = str(options.get("readout", "pointwise"))
    try:
        known = index.image(image)
    except CellError:
        if not Path(image).is_file():
            raise
        path, scores = image, _live_scores(index, image, labels, readout)
    else:
        path, scores = index.path_of(known), _indexed_scores(index, known, labels, readout)
    cells, whole = scores
    maps = tuple(
        ClassMap(label, index.manifest.classes[label].name, float(whole[i]), cells[..., i])
        for i, label in enumerate(labels)
    )
    is_exact = readout == "exact" or (certificate is not None and certificate.verdict == "exact")
    return ClassMaps(index.name, path, readout, is_exact, maps)


def _indexed_scores(index: Index, image: int, labels: Sequence[int], readout: str) -> Scores:
    head = _read_affine(index)
    if head is None:
        return _live_scores(index, index.path_of(image), labels, readout)
    return _stored_scores(index, image, labels, head, readout)


def _read_affine(index: Index) -> _Affine | None:
    """The index's head where its file holds W and b: an affine own head, or a linear probe."""
    if index.manifest.head.file is None:
        return None
    path = index.path / index.manifest.head.file
    try:
        kind = json.loads(read_header(path)["audit_head"])["kind"]
        tensors = load_file(path)
    except (KeyError, ValueError, OSError, SafetensorError) as problem:
        raise BackboneError(f"{path} holds no head, or is damaged: {problem}; see: audit check") from problem
    if set(tensors) != {"weight", "bias"} or kind not in ("own", "probe"):
        return None
    folds = (1,) if kind == "own" else ()
    weight, bias = tensors["weight"], tensors["bias"]
    return _Affine(kind == "probe", weight.reshape(*folds, *weight.shape), bias.reshape(*folds, *bias.shape))


def _stored_scores(index: Index, image: int, labels: Sequence[int], head: _Affine, readout: str) -> Scores:
    """W h + b on what is stored; a probe sees unit vectors, or cells over the pooled length (exact)."""
    unit, norms = index.features(image).astype(np.float64), index.norms(image)[..., None]
    pooled = index.pooled(image).astype(np.float64)
    cells = unit * norms
    if head.is_probe:
        length = float(np.linalg.norm(pooled)) or 1.0
        cells = cells / length if readout == "exact" else unit
        pooled = pooled / length
    weight, bias = _of_fold(index, image, head)
    chosen = list(labels)
    return cells @ weight[chosen].T + bias[chosen], pooled @ weight[chosen].T + bias[chosen]


def _of_fold(index: Index, image: int, head: _Affine) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """W (K, C) and b (K,) of the head that did not see this image; a head without folds is the only one."""
    fold = index.query("SELECT fold FROM images WHERE id = ?", [image])["fold"]
    row = min(int(np.ma.filled(fold, 0)[0]), len(head.weight) - 1)
    return head.weight[row].astype(np.float64), head.bias[row].astype(np.float64)


def _live_scores(index: Index, image: str, labels: Sequence[int], readout: str) -> Scores:
    import torch

    from auditor.explain.live import open_image

    opened, chosen = open_image(index, image), list(labels)
    with torch.no_grad():
        grid = opened.grid_of(opened.pixels)
        is_exact = readout == "exact"
        cells = (
            opened.head.exact(grid, opened.fold)
            if is_exact
            else opened.head.scores(grid.features, opened.fold)
        )
        whole = opened.head.image_scores(grid, opened.fold)
    found = (scores[0][..., chosen].cpu().numpy().astype(np.float64) for scores in (cells, whole))
    return next(found), next(found)
