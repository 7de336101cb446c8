"""Class maps: one class's score of every cell (Figure 7, A.5).

Z[k] = W[k] h + b[k] is CAM itself. Where the head is affine it comes from the index's stored features,
without a model and without torch; any other head, and an image that is not indexed, needs the live backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.errors import CellError
from auditor.records import ClassMap, ClassMaps
from auditor.store import Index
from auditor.store.scores import stored_scores

Scores = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Scores of the cells (H, W, L) and of the image (L,) for L classes."""


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
    stored = stored_scores(index)
    if stored is None:
        return _live_scores(index, index.path_of(image), labels, readout)
    cells, whole = (
        scores[..., list(labels)].astype(np.float64) for scores in (stored.cells(image), stored.image(image))
    )
    return cells.reshape(*index.grid, -1), whole


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
