"""Class maps: one class's score of every cell (Figure 7, A.5).

Z[k] = W[k] h + b[k] is CAM itself. Where the head is affine it comes from the index's stored features,
without a model and without torch; any other head, and an image that is not indexed, needs the live backbone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auditor.errors import CellError
from auditor.measure.scores import require_scores
from auditor.questions.cam.record import ClassMap, ClassMaps
from auditor.questions.grid.ask import spread
from auditor.records import Readout
from auditor.report.wish import Answer, Wish
from auditor.store import Index
from auditor.store.scores import stored_scores

if TYPE_CHECKING:
    from torch import Tensor

MAPPED = 4  # classes of an image on a page, each with its map

Scores = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Scores of the cells (H, W, L) and of the image (L,) for L classes."""


def cam(index: Index, image: str, labels: Sequence[int] = ()) -> ClassMaps:
    """The maps of some classes for an indexed image or an image file, in the index's own readout.

    Without `labels`, of the classes that an indexed image has and of the one that it is taken for.
    """
    readout, certificate = index.manifest.readout, index.manifest.certificate
    try:
        identifier = index.image(image)
    except CellError:
        if not Path(image).is_file():
            raise
        if not labels:
            raise CellError(f"{image} is not indexed, so it has no class: name one with --class") from None
        path, scores = image, live_scores(index, image, labels, readout)
    else:
        labels = labels or _classes_of(index, identifier)
        path, scores = index.path_of(identifier), _indexed_scores(index, identifier, labels, readout)
    cells, whole = scores
    maps = tuple(
        ClassMap(label, index.manifest.classes[label].name, float(whole[i]), cells[..., i])
        for i, label in enumerate(labels)
    )
    is_exact = readout == "exact" or (certificate is not None and certificate.verdict == "exact")
    return ClassMaps(index.name, path, readout, is_exact, maps)


def _indexed_scores(index: Index, image: int, labels: Sequence[int], readout: Readout) -> Scores:
    stored = stored_scores(index)
    if stored is None:
        return live_scores(index, index.path_of(image), labels, readout)
    cells, whole = (
        scores[..., list(labels)].astype(np.float64) for scores in (stored.cells(image), stored.image(image))
    )
    return cells.reshape(*index.grid, -1), whole


def live_scores(index: Index, image: str, labels: Sequence[int], readout: Readout) -> Scores:
    """The scores of an image's cells and of itself from the model that made the index."""
    import torch

    from auditor.explain.live import open_image
    from auditor.models.heads import dense_scores

    opened, chosen = open_image(index, image), list(labels)
    with torch.no_grad():
        grid = opened.grid_of(opened.pixels)
        cells = dense_scores(opened.head, grid, readout, opened.fold)
        whole = opened.head.image_scores(grid, opened.fold)
    return _as_floats(cells[0, ..., chosen]), _as_floats(whole[0, chosen])


def _as_floats(scores: Tensor) -> NDArray[np.float64]:
    return scores.cpu().numpy().astype(np.float64)


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: the maps of one image."""
    require_scores(index)  # else the map would be asked of the model, which this page does not load
    for path in spread(index, 1):
        yield Answer(cam(index, path), (path,))


def _classes_of(index: Index, image: int) -> list[int]:
    rows = index.query(
        "SELECT list_append(coalesce(labels, [])[:?], top5_original[1]) AS classes FROM images WHERE id = ?",
        [MAPPED - 1, image],
    )
    return [int(label) for label in dict.fromkeys(rows["classes"][0])]
