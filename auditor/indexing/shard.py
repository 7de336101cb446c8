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


class Lists:
    """Lists of values by place, end to end in one array that is doubled when it is full."""

    def __init__(self, places: tuple[int, ...], dtype: type[np.generic]) -> None:
        self._values, self._used = np.zeros(1024, dtype), 0
        self._starts, self._sizes = np.zeros(places, np.int64), np.zeros(places, np.int64)

    def put(self, place: tuple[int, ...], values: NDArray[Any]) -> None:
        """The list of a place, once."""
        start, end = self._used, self._used + values.size
        if end > len(self._values):
            self._values = np.resize(self._values, 2 * end)
        self._values[start:end] = values.ravel()
        self._starts[place], self._sizes[place], self._used = start, values.size, end

    def take(self, places: tuple[NDArray[np.integer], ...]) -> NDArray[Any]:
        """The lists of these places, end to end."""
        parts = zip(self._starts[places].tolist(), self._sizes[places].tolist(), strict=True)
        return np.concatenate([self._values[:0], *(self._values[start : start + n] for start, n in parts)])


class ShardRows:
    """Images first .. first + count - 1; rows of those that are not ok stay zero, so ids need no mapping.

    All but strings is kept in a few arrays that are there from the start. As an array of its own each small
    piece would come to lie among the network's large ones, and what those leave free around it fits none of
    the next: the heap grew by 200 KB with every image.
    """

    def __init__(self, first: int, count: int, grid: tuple[int, int], dim: int) -> None:
        self.first, self.count, self.grid = first, count, grid
        self.cells = grid[0] * grid[1]
        self.features = np.zeros((count, *grid, dim), np.float16)
        self.norms = np.zeros((count, *grid), np.float32)
        self.pooled = np.zeros((count, dim), np.float32)
        self.images: dict[int, ImageFacts] = {}
        self.labels: dict[int, LabelFacts] = {}
        self.masks: dict[int, str] = {}
        self.foreground = np.ma.masked_array(np.zeros((count, self.cells), np.bool_), mask=True)
        self.present = Lists((count,), np.int32)
        self.present_sizes = np.zeros((count, self.cells), np.int64)
        self.is_scored = np.zeros((len(VARIANTS), count), np.bool_)
        self.scores: dict[str, NDArray[Any]] = {}
        self.target_rank = Lists(self.is_scored.shape, np.int32)
        self.target_logit = Lists(self.is_scored.shape, np.float32)

    def describe(self, row: int, loaded: Loaded, labels: LabelFacts) -> None:
        """What is known of an image without the model; every row is described once."""
        self.images[row], self.labels[row] = ImageFacts.of(loaded), labels

    def put_features(self, rows: Sequence[int], grid: Grid) -> None:
        """Unit-length cells, their norms and the pooled vectors of a batch."""
        for row, features, pooled in zip(rows, grid.features.cpu(), grid.pooled.cpu(), strict=True):
            cells = features.numpy()
            norms = np.linalg.norm(cells, axis=-1)
            lengths = torch.from_numpy(np.maximum(norms, np.finfo(np.float32).tiny))
            self.norms[row], self.pooled[row] = norms, pooled.numpy()
            self.features[row] = (features / lengths[..., None]).half().numpy()  # four times NumPy's speed

    def put_foreground(self, row: int, loaded: Loaded, labels: Sequence[int | None]) -> None:
        """Which cells are foreground, and which classes (`labels`, None where unmatched) are in each."""
        if loaded.foreground is None:
            return
        found = CellForeground.of(loaded.foreground, labels, self.grid)
        self.masks[row], self.foreground[row] = found.packed, found.union
        self.present.put((row,), np.array(found.classes, np.int32)[np.nonzero(found.by_class.T)[1]])
        self.present_sizes[row] = found.by_class.sum(0, dtype=np.int64)

    def put_scores(self, row: int, variant: str, scores: CellScores) -> None:
        """Class scores of an image in one variant."""
        place = VARIANTS.index(variant), row
        for name in _SCORES:
            values = getattr(scores, name)
            if name not in self.scores:
                self.scores[name] = np.zeros((*self.is_scored.shape, *values.shape), values.dtype)
            self.scores[name][place] = values
        self.target_rank.put(place, scores.target_rank)
        self.target_logit.put(place, scores.target_logit)
        self.is_scored[place] = True

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
        columns: dict[str, Column] = {
            "id": np.arange(self.first, self.first + self.count),
            **_as_columns(ImageFacts, [self.images[row] for row in rows]),
            **_as_columns(LabelFacts, [self.labels[row] for row in rows]),
            "foreground": [self.masks.get(row) for row in rows],
        }
        for variant, is_scored in zip(VARIANTS, self.is_scored, strict=True):
            if is_scored.any():
                columns[f"top5_{variant}"] = self._of_images("image_top5", variant)
                columns[f"top5_{variant}_p"] = self._of_images("image_probabilities", variant)
        return columns

    def _of_images(self, name: str, variant: str) -> NDArray[Any]:
        """A score of all images, masked where they have none."""
        number = VARIANTS.index(variant)
        values = self.scores[name][number]
        is_missing = np.broadcast_to(~self.is_scored[number][:, None], values.shape)
        masked: NDArray[Any] = np.ma.masked_array(values, mask=is_missing)
        return masked

    def cell_columns(self, has_head: bool) -> Columns:
        """The cells as columns of `store.columns.CELLS`, ordered by image, variant and cell."""
        is_ok = [[self.images[row].status == "ok" for row in range(self.count)]]
        rows, variants = np.nonzero((self.is_scored if has_head else np.array(is_ok)).T)
        columns: dict[str, Any] = {
            "image": np.repeat(rows + self.first, self.cells).astype(np.int32),
            "variant": np.repeat(variants.astype(np.uint8), self.cells),
            "cell": np.tile(np.arange(self.cells, dtype=np.uint16), len(rows)),
            "foreground": self.foreground[rows].ravel(),
            "present": Ragged(self.present.take((rows,)), self.present_sizes[rows].ravel()),
        }
        return columns | (self._score_columns((variants, rows)) if has_head and len(rows) else {})

    def _score_columns(self, places: tuple[NDArray[np.int64], NDArray[np.int64]]) -> dict[str, Any]:
        labels = np.array([len(self.labels[row].labels) for row in places[1].tolist()], np.int64)
        return {
            "top5": self.scores["top5"][places].reshape(-1, self.scores["top5"].shape[-1]),
            "top5_p": self.scores["probabilities"][places].reshape(-1, self.scores["top5"].shape[-1]),
            "entropy": self.scores["entropy"][places].ravel(),
            "target_rank": Ragged(self.target_rank.take(places), np.repeat(labels, self.cells)),
            "target_logit": Ragged(self.target_logit.take(places), np.repeat(labels, self.cells)),
        }


_SCORES = ("top5", "probabilities", "entropy", "image_top5", "image_probabilities")
"""Fields of `CellScores` that are as large for every image."""


def _as_columns(kind: type[ImageFacts | LabelFacts], rows: Sequence[object]) -> dict[str, Column]:
    return {field.name: [getattr(row, field.name) for row in rows] for field in fields(kind)}
