"""The rows of one shard while they come in: arrays of features, columns of images and cells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditor.data.load import Loaded
from auditor.data.shown import pack_mask
from auditor.grids import Mask, occupancy
from auditor.indexing.score import CellScores
from auditor.models.backbone import Grid
from auditor.records import VARIANTS
from auditor.store.columns import Columns, Ragged


class ShardRows:
    """Images first .. first + count - 1; rows of those that are not ok stay zero, so ids need no mapping."""

    def __init__(self, first: int, count: int, grid: tuple[int, int], dim: int) -> None:
        self.first, self.grid = first, grid
        self.features = np.zeros((count, *grid, dim), np.float16)
        self.norms = np.zeros((count, *grid), np.float32)
        self.pooled = np.zeros((count, dim), np.float32)
        self.images: list[dict[str, Any]] = [{"id": first + row} for row in range(count)]
        self.scores: dict[tuple[int, int], CellScores] = {}
        self.occupied: dict[int, tuple[Mask, Mask]] = {}

    def describe(self, row: int, loaded: Loaded, facts: dict[str, Any]) -> None:
        """What is known of an image without the model."""
        width, height = loaded.size or (None, None)
        sample = loaded.sample
        self.images[row] |= facts | {
            "path": sample.path,
            "hash": loaded.hash,
            "width": width,
            "height": height,
            "split": sample.split,
            "metadata": json.dumps(dict(sample.metadata), sort_keys=True, ensure_ascii=False),
            "status": loaded.status,
            "error": loaded.error,
        }

    def put_features(self, rows: Sequence[int], grid: Grid) -> None:
        """Unit-length cells, their norms and the pooled vectors of a batch."""
        features = grid.features.cpu().numpy()
        norms = np.linalg.norm(features, axis=-1)
        self.norms[rows] = norms
        self.features[rows] = features / np.maximum(norms, np.finfo(np.float32).tiny)[..., None]
        self.pooled[rows] = grid.pooled.cpu().numpy()

    def put_foreground(self, row: int, loaded: Loaded, labels: Sequence[int | None]) -> None:
        """Which cells are foreground, and which classes (`labels`, None where unmatched) are in each."""
        if loaded.foreground is None:
            return
        self.images[row]["foreground"] = pack_mask(loaded.foreground.union)
        union = occupancy(loaded.foreground.union, self.grid)
        present: dict[int, Mask] = {}
        for label, mask in zip(labels, loaded.foreground.masks, strict=True):
            if label is not None:
                present[label] = occupancy(mask, self.grid) | present.get(label, False)
        self.images[row]["present"] = sorted(present)
        stacked = [present[label].ravel() for label in sorted(present)]
        self.occupied[row] = union.ravel(), np.array(stacked, np.bool_).reshape(len(stacked), union.size)

    def put_scores(self, row: int, variant: str, scores: CellScores) -> None:
        """Class scores of an image in one variant."""
        self.scores[row, VARIANTS.index(variant)] = scores
        self.images[row][f"top5_{variant}"] = scores.image_top5
        self.images[row][f"top5_{variant}_p"] = scores.image_probabilities

    def folds(self, rows: Sequence[int]) -> Tensor | None:
        """The probe's fold of each image (B,); None for a head without folds."""
        folds = [self.images[row]["fold"] for row in rows]
        return None if None in folds else torch.tensor(folds)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names that the store gives them."""
        return {"features": self.features, "norms": self.norms, "pooled": self.pooled}

    def image_columns(self) -> Columns:
        """The images as columns of `store.columns.IMAGES`."""
        names = dict.fromkeys(name for image in self.images for name in image if name != "present")
        return {name: [image.get(name) for image in self.images] for name in names}

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
        return [row for row, image in enumerate(self.images) if image.get("status") == "ok"]

    def _foreground_column(self, rows: NDArray[np.int32], cells: int) -> NDArray[np.bool_]:
        nothing = np.zeros(cells, np.bool_)
        values = [self.occupied[row][0] if row in self.occupied else nothing for row in rows.tolist()]
        missing = np.repeat([row not in self.occupied for row in rows.tolist()], cells)
        joined = np.concatenate(values) if values else nothing[:0]
        column: NDArray[np.bool_] = np.ma.masked_array(joined, mask=missing.astype(np.bool_))
        return column

    def _present_column(self, rows: NDArray[np.int32], cells: int) -> Ragged:
        values: list[NDArray[np.int32]] = []
        lengths: list[NDArray[np.int64]] = []
        for row in rows.tolist():
            if row not in self.occupied:
                lengths.append(np.zeros(cells, np.int64))
                continue
            masks = self.occupied[row][1]
            labels = np.array(self.images[row]["present"], np.int32)
            values.append(labels[np.nonzero(masks.T)[1]])
            lengths.append(masks.sum(0, dtype=np.int64))
        return Ragged(_join(values, np.int32), _join(lengths, np.int64))


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
