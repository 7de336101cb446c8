"""The rows of one shard while they come in: arrays of features, columns of images and cells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditor.data.load import Loaded
from auditor.data.shown import pack_mask
from auditor.grids import Mask, occupancy
from auditor.indexing.plan import LabelFacts
from auditor.indexing.score import CellScores
from auditor.models.backbone import Grid
from auditor.records import VARIANTS, Foreground
from auditor.store.columns import Column, Columns, Ragged


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image without the model; fields are columns of `store.columns.IMAGES`."""

    path: str
    hash: str | None
    size: int | None
    mtime_ns: int | None
    width: int | None
    height: int | None
    split: str | None
    metadata: str
    status: str
    error: str | None
    code: str | None

    @classmethod
    def of(cls, loaded: Loaded) -> ImageFacts:
        """The file, as it was read."""
        width, height = loaded.size or (None, None)
        sample = loaded.sample
        metadata = json.dumps(dict(sample.metadata), sort_keys=True, ensure_ascii=False)
        return cls(
            path=sample.path,
            hash=loaded.hash,
            size=loaded.bytes,
            mtime_ns=loaded.mtime_ns,
            width=width,
            height=height,
            split=sample.split,
            metadata=metadata,
            status=loaded.status,
            error=loaded.error,
            code=loaded.code,
        )


@dataclass(frozen=True, slots=True)
class CellForeground:
    """An image's foreground as a packed mask and on its N cells: all of it (N,) and by class (P, N).

    `classes` (P,) are ids of the head, in ascending order.
    """

    packed: str
    union: Mask
    classes: tuple[int, ...]
    by_class: Mask

    @classmethod
    def of(
        cls, foreground: Foreground, labels: Sequence[int | None], grid: tuple[int, int]
    ) -> CellForeground:
        """The cells that the masks lie in; `labels` are the masks' classes, None where unmatched."""
        union = occupancy(foreground.union, grid)
        present: dict[int, Mask] = {}
        for label, mask in zip(labels, foreground.masks, strict=True):
            if label is not None:
                present[label] = occupancy(mask, grid) | present.get(label, False)
        classes = tuple(sorted(present))
        by_class = np.array([present[label].ravel() for label in classes], np.bool_)
        packed = pack_mask(foreground.union)
        return cls(packed, union.ravel(), classes, by_class.reshape(len(classes), union.size))


class ShardRows:
    """Images first .. first + count - 1; rows of those that are not ok stay zero, so ids need no mapping."""

    def __init__(self, first: int, count: int, grid: tuple[int, int], dim: int) -> None:
        self.first, self.count, self.grid = first, count, grid
        self.features = np.zeros((count, *grid, dim), np.float16)
        self.norms = np.zeros((count, *grid), np.float32)
        self.pooled = np.zeros((count, dim), np.float32)
        self.images: dict[int, ImageFacts] = {}
        self.labels: dict[int, LabelFacts] = {}
        self.foregrounds: dict[int, CellForeground] = {}
        self.scores: dict[tuple[int, int], CellScores] = {}

    def describe(self, row: int, loaded: Loaded, labels: LabelFacts) -> None:
        """What is known of an image without the model; every row is described once."""
        self.images[row], self.labels[row] = ImageFacts.of(loaded), labels

    def put_features(self, rows: Sequence[int], grid: Grid) -> None:
        """Unit-length cells, their norms and the pooled vectors of a batch."""
        features = grid.features.cpu().numpy()
        norms = np.linalg.norm(features, axis=-1)
        self.norms[rows] = norms
        self.features[rows] = features / np.maximum(norms, np.finfo(np.float32).tiny)[..., None]
        self.pooled[rows] = grid.pooled.cpu().numpy()

    def put_foreground(self, row: int, loaded: Loaded, labels: Sequence[int | None]) -> None:
        """Which cells are foreground, and which classes (`labels`, None where unmatched) are in each."""
        if loaded.foreground is not None:
            self.foregrounds[row] = CellForeground.of(loaded.foreground, labels, self.grid)

    def put_scores(self, row: int, variant: str, scores: CellScores) -> None:
        """Class scores of an image in one variant."""
        self.scores[row, VARIANTS.index(variant)] = scores

    def targets(self, rows: Sequence[int]) -> list[tuple[int, ...]]:
        """The evaluation classes of each image."""
        return [self.labels[row].labels for row in rows]

    def folds(self, rows: Sequence[int]) -> Tensor | None:
        """The probe's fold of each image (B,); None for a head without folds."""
        folds = [self.labels[row].fold for row in rows]
        return None if None in folds else torch.tensor(folds)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names that the store gives them."""
        return {"features": self.features, "norms": self.norms, "pooled": self.pooled}

    def image_columns(self) -> Columns:
        """The images as columns of `store.columns.IMAGES`."""
        rows = range(self.count)
        foregrounds = [self.foregrounds.get(row) for row in rows]
        columns: dict[str, Column] = {
            "id": np.arange(self.first, self.first + self.count),
            **_as_columns(ImageFacts, [self.images[row] for row in rows]),
            **_as_columns(LabelFacts, [self.labels[row] for row in rows]),
            "foreground": [None if cells is None else cells.packed for cells in foregrounds],
        }
        for number, variant in enumerate(VARIANTS):
            scores = [self.scores.get((row, number)) for row in rows]
            columns[f"top5_{variant}"] = [None if score is None else score.image_top5 for score in scores]
            columns[f"top5_{variant}_p"] = [
                None if score is None else score.image_probabilities for score in scores
            ]
        return columns

    def cell_columns(self, has_head: bool) -> Columns:
        """The cells as columns of `store.columns.CELLS`, ordered by image, variant and cell."""
        keys = sorted(self.scores) if has_head else [(row, 0) for row in self._ok_rows()]
        cells = self.grid[0] * self.grid[1]
        rows = np.array([row for row, _ in keys], np.int32)
        columns: dict[str, Any] = {
            "image": np.repeat(rows + self.first, cells).astype(np.int32),
            "variant": np.repeat(np.array([v for _, v in keys], np.uint8), cells),
            "cell": np.tile(np.arange(cells, dtype=np.uint16), len(keys)),
            "foreground": self._foreground_column(rows, cells),
            "present": self._present_column(rows, cells),
        }
        return columns | (_score_columns([self.scores[key] for key in keys]) if has_head else {})

    def _ok_rows(self) -> list[int]:
        return [row for row in range(self.count) if self.images[row].status == "ok"]

    def _foreground_column(self, rows: NDArray[np.int32], cells: int) -> NDArray[np.bool_]:
        nothing = np.zeros(cells, np.bool_)
        foregrounds = [self.foregrounds.get(row) for row in rows.tolist()]
        values = [nothing if foreground is None else foreground.union for foreground in foregrounds]
        missing = np.repeat([foreground is None for foreground in foregrounds], cells)
        joined = np.concatenate(values) if values else nothing[:0]
        column: NDArray[np.bool_] = np.ma.masked_array(joined, mask=missing.astype(np.bool_))
        return column

    def _present_column(self, rows: NDArray[np.int32], cells: int) -> Ragged:
        values: list[NDArray[np.int32]] = []
        lengths: list[NDArray[np.int64]] = []
        for row in rows.tolist():
            foreground = self.foregrounds.get(row)
            if foreground is None:
                lengths.append(np.zeros(cells, np.int64))
                continue
            classes = np.array(foreground.classes, np.int32)
            values.append(classes[np.nonzero(foreground.by_class.T)[1]])
            lengths.append(foreground.by_class.sum(0, dtype=np.int64))
        return Ragged(_join(values, np.int32), _join(lengths, np.int64))


def _as_columns(kind: type[ImageFacts | LabelFacts], rows: Sequence[object]) -> dict[str, Column]:
    return {field.name: [getattr(row, field.name) for row in rows] for field in fields(kind)}


def _score_columns(scores: Sequence[CellScores]) -> dict[str, Any]:
    lengths = [np.full(len(s.entropy), s.target_rank.shape[1], np.int64) for s in scores]
    return {
        "top5": np.concatenate([s.top5 for s in scores]) if scores else np.zeros((0, 5), np.int32),
        "top5_p": np.concatenate([s.probabilities for s in scores])
        if scores
        else np.zeros((0, 5), np.float32),
        "entropy": _join([s.entropy for s in scores], np.float32),
        "target_rank": Ragged(
            _join([s.target_rank.ravel() for s in scores], np.int32), _join(lengths, np.int64)
        ),
        "target_logit": Ragged(
            _join([s.target_logit.ravel() for s in scores], np.float32), _join(lengths, np.int64)
        ),
    }


def _join(parts: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)
