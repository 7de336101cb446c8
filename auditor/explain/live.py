"""An index's backbone and head, opened again: for images that are not in it, and to look inside the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditor.data.load import Loaded
from auditor.errors import CellError, DatasetError, IndexMismatch
from auditor.explain.indexed import load_file, load_named
from auditor.files import is_file
from auditor.indexing.extract import Extractor
from auditor.indexing.score import score_grid
from auditor.models.backbone import Backbone, Grid
from auditor.models.head_files import load_head
from auditor.models.heads import Head
from auditor.models.weights import load_backbone
from auditor.records import ImageGrids
from auditor.store import Index
from auditor.store.manifest import head_path


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
    head = head_path(index.path, index.manifest)
    return backbone, None if head is None else load_head(head, backbone)


@dataclass(frozen=True, slots=True)
class OpenImage:
    """One image in front of the model that made the index, ready for gradients.

    pixels (1, 3, S, S) are in [0, 1]; fold (1,) names the probe's head that never saw the image, where the
    image is indexed and the head is a probe.
    """

    path: str
    pixels: Tensor
    backbone: Backbone
    head: Head
    fold: Tensor | None

    def normalise(self, pixels: Tensor) -> Tensor:
        """The network's input (B, 3, S, S) from pixels in [0, 1]."""
        facts = self.backbone.preprocess
        mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (facts.mean, facts.std))
        return (pixels - mean) / std

    def grid_of(self, pixels: Tensor) -> Grid:
        """The grid of pixels in [0, 1]."""
        return self.backbone.grid_of(self.normalise(pixels))


def open_image(index: Index, image: str, device: str = "auto") -> OpenImage:
    """An indexed image, or an image file of its own, in front of the model; DatasetError without a head."""
    path, fold = locate(index, image)
    backbone, head = reopen(index, device)
    if head is None:
        raise _headless(index)
    loaded = _check(load_named(index, path))
    pixels = torch.tensor(loaded.pixels).permute(2, 0, 1)[None].to(backbone.device)
    return OpenImage(path, pixels.to(torch.float32) / 255, backbone, head, fold)


def locate(index: Index, image: str) -> tuple[str, Tensor | None]:
    """What the image is called and its fold (1,); CellError for no indexed image and no file."""
    try:
        identifier = index.image(image)
    except CellError:
        if not is_file(Path(image)):
            raise
        return image, None
    path = index.path_of(identifier)
    folds = np.ma.filled(index.query("SELECT fold FROM images WHERE id = ?", [identifier])["fold"], 255)
    fold = None if folds[0] == 255 else torch.tensor([int(folds[0])])
    return path, fold


def grids_of_file(index: Index, path: Path) -> ImageGrids:
    """The prediction grid of an image file that is not indexed: the original alone, nothing annotated."""
    backbone, head = reopen(index)
    if head is None:
        raise _headless(index)
    grid = _extract(backbone, index, path)
    scores = score_grid(head, grid)[0]
    labels = scores.top5[:, 0].astype(np.int64).reshape(1, *index.grid)
    probabilities = scores.probabilities[:, 0].astype(np.float64).reshape(1, *index.grid)
    names = {int(label): index.manifest.classes[label].name for label in np.unique(labels)}
    return ImageGrids(str(path), None, ("original",), labels, probabilities, None, names)


def features_of_files(index: Index, paths: Sequence[Path]) -> list[NDArray[np.float32]]:
    """The features (H, W, C) of image files that are not indexed."""
    backbone, _ = reopen(index)
    return [_extract(backbone, index, path).features[0].cpu().numpy() for path in paths]


def _extract(backbone: Backbone, index: Index, path: Path) -> Grid:
    return Extractor.of(index.manifest, backbone).original([_check(load_file(index, path))])


def _check(loaded: Loaded) -> Loaded:
    if not loaded.is_ok:
        raise CellError(loaded.error or f"{loaded.sample.path} cannot be read")
    return loaded


def _headless(index: Index) -> DatasetError:
    return DatasetError(f"{index.name} has no head, so no cell has a class; index it with --head probe")
