"""Indexed images scored again by the model: as they are, or with their foreground under any fill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from auditor.data.load import Loaded
from auditor.data.shown import unpack_mask
from auditor.errors import DatasetError
from auditor.explain.indexed import load_indexed
from auditor.explain.live import reopen
from auditor.grids import Mask
from auditor.indexing.extract import Extractor
from auditor.indexing.score import CellScores, score_grid
from auditor.models.backbone import Grid
from auditor.records import Fill, Foreground
from auditor.store import Index

Folds = Sequence[int | None]


class Scorer:
    """The backbone, head and readout that made an index, on loaded images."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.backbone, head = reopen(index)
        if head is None:
            raise DatasetError(
                f"{index.name} has no head, so no cell has a class; index it with --head probe"
            )
        self.head = head

    def original(self, loaded: Sequence[Loaded], folds: Folds) -> list[CellScores]:
        """The unmodified images; `folds` says which of a probe's heads scores each."""
        return self._score(self._extractor().original(loaded), folds)

    def occluded(self, loaded: Sequence[Loaded], folds: Folds, fill: Fill) -> list[CellScores]:
        """The images with their foreground's pixels filled."""
        return self._score(self._extractor(fill).occluded(loaded, "without_fg"), folds)

    def _extractor(self, fill: Fill | None = None) -> Extractor:
        return Extractor.of(self.index.manifest, self.backbone, fill)

    def _score(self, grid: Grid, folds: Folds) -> list[CellScores]:
        given = [fold for fold in folds if fold is not None]
        chosen = torch.tensor(given) if len(given) == len(folds) else None
        return score_grid(self.head, grid, self.index.manifest.readout, chosen)


def load_annotated(index: Index, path: str, packed: str, content_hash: str) -> Loaded:
    """An indexed image read again, with the foreground (packed) that the index holds."""
    loaded = load_indexed(index, path, content_hash)
    return cover(loaded, unpack_mask(packed)) if loaded.is_ok else loaded


def cover(loaded: Loaded, mask: Mask) -> Loaded:
    """The image with these pixels (S, S) as what an occlusion covers."""
    return replace(loaded, foreground=Foreground((0,), mask[None]))
