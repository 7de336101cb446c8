"""An index's backbone and head, opened again for images that are not in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.build.extract import Extractor
from auditor.build.load import load
from auditor.build.score import summarise
from auditor.errors import CellError, DatasetError, IndexMismatch
from auditor.grids import check_cell
from auditor.models.backbone import Backbone, Grid
from auditor.models.heads import Head, load_head
from auditor.models.weights import load_backbone
from auditor.records import Dataset, ImageGrids, Sample
from auditor.store import Index


def reopen(index: Index, device: str = "auto") -> tuple[Backbone, Head | None]:
    """The backbone and head that made the index; IndexMismatch where the weights are others by now."""
    facts, preprocess = index.manifest.backbone, index.manifest.preprocess
    backbone = load_backbone(
        facts.name,
        weights=None if facts.weights in ("hub", "package") else facts.weights,
        model_args=facts.model_args,
        size=preprocess.crop,
        mean=preprocess.mean,
        std=preprocess.std,
        interpolation=preprocess.interpolation,
        device=device,
    )
    if backbone.weights_sha256 != facts.weights_sha256:
        raise IndexMismatch(
            f"{index.name} was made with other weights of {facts.name} than those found now "
            f"({facts.weights}); bring the old file back, or index again under another --name"
        )
    head = index.manifest.head.file
    return backbone, load_head(index.path / head, backbone) if head else None


def grids_of_file(index: Index, path: Path) -> ImageGrids:
    """The prediction grid of an image file that is not indexed: the original alone, nothing annotated."""
    backbone, head = reopen(index)
    if head is None:
        raise DatasetError(f"{index.name} has no head, so no cell has a class; index it with --head probe")
    grid, fold = _extract(backbone, index, path)
    scores = summarise(head.scores(grid.features, fold), head.image_scores(grid, fold), [[]])[0]
    labels = scores.top5[:, 0].astype(np.int64).reshape(1, *index.grid)
    probabilities = scores.probabilities[:, 0].astype(np.float64).reshape(1, *index.grid)
    names = {int(label): index.manifest.classes[label].name for label in np.unique(labels)}
    return ImageGrids(str(path), None, ("original",), labels, probabilities, None, names)


def vector_of_file(index: Index, path: Path, row: int, col: int) -> NDArray[np.float32]:
    """The feature (C,) of a cell of an image file that is not indexed."""
    check_cell(row, col, index.grid)
    grid, _ = _extract(reopen(index)[0], index, path)
    vector: NDArray[np.float32] = grid.features[0, row, col].cpu().numpy()
    return vector


def _extract(backbone: Backbone, index: Index, path: Path) -> tuple[Grid, None]:
    alone = Dataset(path.parent, "file", (), ())
    loaded = load(alone, Sample(path.name), index.manifest.preprocess)
    if not loaded.is_ok:
        raise CellError(loaded.error or f"{path} cannot be read")
    options = index.manifest.options
    extractor = Extractor(backbone, index.manifest.fill, options["precision"], options["seed"])
    return extractor.original([loaded]), None
