"""An index as it would be had another head scored it: from stored features, without a forward pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from auditor.errors import BackboneError
from auditor.indexing.matching import fixed_label
from auditor.indexing.plan import fold_of
from auditor.indexing.score import CellScores, score_grid
from auditor.models.backbone import Grid
from auditor.models.heads import AnyProbe
from auditor.models.probe import MlpHead
from auditor.models.readout import relative_error
from auditor.records import Certificate
from auditor.records.watch import Watch
from auditor.store import HeadFacts, Index
from auditor.store.columns import IMAGES, Column, Columns, Ragged
from auditor.store.kin import rescore

BATCH = 32  # images scored at a time
CERTIFIED = 8  # images that the certificate is measured on

Rows = dict[str, NDArray[Any]]

ORIGINALS = "FROM cells JOIN images ON images.id = image WHERE usable AND variant = 0 ORDER BY image, cell"


def rescore_index(
    index: Index, head: AnyProbe, facts: HeadFacts, translation: NDArray[np.int64], watch: Watch
) -> Index:
    """The index with the head's scores of every original, in memory; an image by the head of its fold.

    `translation` gives the head's class of each of the index's own, -1 where it has none.
    """
    images = index.query("SELECT * FROM images ORDER BY id")
    usable = np.flatnonzero(np.ma.filled(images["usable"], False))
    scores = _score(index, head, images["hash"], usable, watch)
    manifest = replace(
        index.manifest,
        head=facts,
        classes=head.classes,
        certificate=_certify(index, head, usable[:CERTIFIED]),
        variants=index.manifest.variants[:1],
        options={**index.manifest.options, "readout": "pointwise"},
    )
    new_images = _images(images, usable, scores, translation)
    return rescore(index, manifest, new_images, _cells(index, scores, translation))


def _score(
    index: Index, head: AnyProbe, hashes: NDArray[Any], usable: NDArray[np.int64], watch: Watch
) -> list[CellScores]:
    watch.start("images", len(usable))
    scores: list[CellScores] = []
    for images in np.split(usable, range(BATCH, len(usable), BATCH)):
        grid = stored_grid(index, images)
        folds = torch.tensor([fold_of(content) for content in hashes[images]])
        scores += score_grid(head, grid, folds=folds)
        watch.advance(len(images))
    return scores


def stored_grid(index: Index, images: NDArray[np.int64]) -> Grid:
    """The grid of indexed images, as the index keeps it (fp16: to 2e-4 of the logits)."""
    features = np.stack([index.features(int(i)) * index.norms(int(i))[..., None] for i in images])
    pooled = np.stack([index.pooled(int(i)) for i in images])
    return Grid(torch.from_numpy(features), torch.from_numpy(pooled), None, None)


def _certify(index: Index, head: AnyProbe, images: NDArray[np.int64]) -> Certificate | None:
    """What the mean of the cells' scores is worth, on stored features."""
    if not len(images):
        return None
    grid = stored_grid(index, images)
    wanted = head.image_scores(grid)
    try:
        exact: float | None = relative_error(head.exact(grid).mean((1, 2)), wanted)
    except BackboneError:
        exact = None
    return Certificate(
        aggregation="gap",
        head="mlp" if isinstance(head, MlpHead) else "linear",
        verdict=head.verdict,
        pointwise_error=relative_error(head.scores(grid.features).mean((1, 2)), wanted),
        exact_error=exact,
        exact_readout=head.readout,
        images=len(images),
    )


# ------------------------------------------------------------------------------------- the tables


def _images(
    rows: Rows, usable: NDArray[np.int64], scores: list[CellScores], translation: NDArray[np.int64]
) -> Columns:
    """The images with labels in the head's classes and its own predictions."""
    labels = [_translate(indexed, translation) for indexed in rows["labels"]]
    indexed_label = np.ma.filled(rows["label"], -1)
    images = zip(indexed_label.tolist(), labels, rows["path"], strict=True)
    label = [_label(old, new, path, translation) for old, new, path in images]
    guesses: list[Any] = [None] * len(indexed_label)
    chances = list(guesses)
    for row, of_image in zip(usable.tolist(), scores, strict=True):
        guesses[row], chances[row] = of_image.image_top5, of_image.image_probabilities
    is_same = bool(np.array_equal(translation, np.arange(len(translation))))
    columns: dict[str, Column] = {name: rows[name] for name in IMAGES if not name.startswith("top5_")}
    if not is_same:
        del columns["real"]  # ids of ImageNet's classes
    columns |= {"label": label, "labels": labels, "top5_original": guesses, "top5_original_p": chances}
    return columns


def _translate(labels: Any, translation: NDArray[np.int64]) -> tuple[int, ...]:
    """An image's classes in the head's ids, sorted; none for an image without labels."""
    if labels is None or labels is np.ma.masked:
        return ()
    translated = translation[np.asarray(labels, dtype=np.int64)]
    return tuple(sorted({int(label) for label in translated if label >= 0}))


def _label(indexed: int, labels: tuple[int, ...], path: str, translation: NDArray[np.int64]) -> int | None:
    """The image's one class (A.1), drawn anew where the head does not have it."""
    named = int(translation[indexed]) if indexed >= 0 else -1
    return named if named in labels else fixed_label(path, labels)


def _cells(index: Index, scores: list[CellScores], translation: NDArray[np.int64]) -> Columns:
    """The cells of the originals under the head's scores."""
    rows = index.query(f"SELECT image, variant, cell, cells.foreground {ORIGINALS}")
    columns: dict[str, Column] = {**rows, "present": _present(index, translation)}
    return columns | {
        "top5": np.concatenate([image.top5 for image in scores]),
        "top5_p": np.concatenate([image.probabilities for image in scores]),
        "entropy": np.concatenate([image.entropy for image in scores]),
    }


def _present(index: Index, translation: NDArray[np.int64]) -> Ragged:
    """Which of the head's classes are in each cell; flat queries, as a Python list per cell is slow."""
    counts = index.query(f"SELECT coalesce(len(present), 0) AS n {ORIGINALS}")["n"]
    classes = index.query(f"SELECT image, cell, unnest(present) AS class {ORIGINALS}")["class"]
    labels = translation[np.ma.getdata(classes).astype(np.int64)]
    cell = np.repeat(np.arange(len(counts)), np.ma.getdata(counts))[labels >= 0]
    return Ragged(labels[labels >= 0], np.bincount(cell, minlength=len(counts)))
