"""A small annotated reference set as a question: where else, how often, in which classes (section 6.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.grids import Box, cell_id, check_cell, parse_cell, share_cells
from auditor.questions.concept.record import Concept
from auditor.records import Rate
from auditor.records.watch import Silence, Watch
from auditor.search.class_shares import ImageClasses, class_shares
from auditor.search.content import has_content, require_content, usable_images
from auditor.search.nearest import describe_hits, scan
from auditor.search.region import project, size_of
from auditor.store import Index
from auditor.store.index import unit

FORM = '{"name": "marker", "cells": ["img.jpg:3,4"], "boxes": [{"path": "img.jpg", "box": [0, 0, 9, 9]}]}'
FROM_CELLS = "cells of the index; a box is the mean of its cells, weighted by overlap"
ROUNDING = 1e-6  # a reference's own cell reaches a threshold that the same numbers gave in another order

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class References:
    """Unit vectors (n, C) to look for and (m, C) to avoid; `images` are the indexed ones they lie in."""

    name: str
    names: tuple[str, ...]
    vectors: Vectors
    negatives: Vectors
    images: tuple[int, ...] = ()
    encoding: str = FROM_CELLS


def read_references(index: Index, path: Path) -> References:
    """The references that a JSON file names, or the crops of a folder as the backbone encodes them."""
    if not path.is_dir():
        return _read_cells(index, path)
    from auditor.explain.crop_vectors import FROM_CROPS, encode_crops

    names, vectors = encode_crops(index, path)
    return References(path.resolve().name, names, vectors, vectors[:0], encoding=FROM_CROPS)


def _read_cells(index: Index, path: Path) -> References:
    """The references of a JSON file: cells and boxes of indexed images, perhaps negative ones."""
    content = _read_json(path)
    wanted = [*_list(content, "cells", path), *_list(content, "boxes", path)]
    if not wanted:
        raise DatasetError(f"{path} names no reference; write it as {FORM}")
    located = [_find(index, item, path) for item in wanted]
    negatives = []
    for item in _list(content, "negatives", path):
        name, _, vector = _find(index, item, path)
        require_content(name, vector)
        negatives.append(vector)
    return References(
        name=str(content.get("name", path.stem)),
        names=tuple(name for name, _, _ in located),
        vectors=np.stack([vector for _, _, vector in located]),
        negatives=np.stack(negatives) if negatives else np.empty((0, index.manifest.dim), np.float32),
        images=tuple(sorted({image for _, image, _ in located})),
    )


def concept(
    index: Index, references: str | Path | References, top: int = 20, watch: Watch | None = None
) -> Concept:
    """The cells, images and classes that show the concept, images that hold a reference left out.

    `references` are vectors, or a JSON file of cells and boxes, or a folder of crops. Cells without content
    are left out too, and refused as references.
    """
    watch = watch or Silence()
    watch.start("reading references", 1)
    given = references if isinstance(references, References) else read_references(index, Path(references))
    _require_content(given)
    threshold = lowest_left_out(given)
    images = usable_images(index)
    images = images[~np.isin(images, given.images)]
    content = has_content(index, images)
    scored = np.where(content, score_cells(index, images, given, watch), -np.inf)
    is_found = scored >= threshold - ROUNDING
    width = index.manifest.cells_per_image
    best = np.argsort(-scored.ravel(), kind="stable")[: min(top, int(content.sum()))]
    cells = images[best // width] * width + best % width
    classes = ImageClasses.of(index).without(np.array(given.images, dtype=np.int64))
    return Concept(
        index=index.name,
        name=given.name,
        references=given.names,
        negatives=len(given.negatives),
        encoding=given.encoding,
        threshold=threshold,
        cells=Rate(int(is_found.sum()), int(content.sum())),
        images=Rate(int(is_found.any(axis=1).sum()), len(images)),
        hits=describe_hits(index, cells, scored.ravel()[best]),
        classes=class_shares(classes, [images[is_found.any(axis=1)]])[0],
        empty=int((~content).sum()),
    )


def _require_content(references: References) -> None:
    for name, vector in zip(references.names, references.vectors, strict=True):
        require_content(name, vector)


def score_cells(
    index: Index, images: NDArray[np.int64], references: References, watch: Watch | None = None
) -> Vectors:
    """Scores (images, H * W) of every cell: its largest cosine to a reference less that to a negative.

    The largest, not the mean: with 3 of the demo's 36 markers as references it found 0.82 of all of them
    above the threshold, the mean 0.75 (200 draws; 0.67 and 0.55 with two, 0.91 and 0.90 with eight).
    """
    width = index.manifest.cells_per_image
    scores = np.empty((len(images), width), dtype=np.float32)
    for part, vectors in scan(index, images, watch):
        scores[part] = score(vectors, references).reshape(-1, width)
    return scores


def score(vectors: Vectors, references: References) -> Vectors:
    """Scores (n,) of unit vectors (n, C)."""
    nearest = (vectors @ references.vectors.T).max(axis=1)
    if len(references.negatives):
        nearest = nearest - (vectors @ references.negatives.T).max(axis=1)
    return np.asarray(nearest, dtype=np.float32)


def lowest_left_out(references: References) -> float:
    """The lowest score of a reference against the others: a threshold that finds each of them."""
    if len(references.vectors) < 2:
        raise DatasetError(
            f"{references.name} has a single reference, and a threshold comes from their likeness to one "
            "another; add a second, or look for one cell with: audit similar"
        )
    return min(float(score(references.vectors[[left]], others)[0]) for left, others in _left_out(references))


def _left_out(references: References) -> Iterator[tuple[int, References]]:
    for left in range(len(references.vectors)):
        others = np.delete(references.vectors, left, axis=0)
        yield left, References(references.name, (), others, references.negatives)


# ------------------------------------------------------------------------------------- what a file names


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read as JSON ({error}); write it as {FORM}") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{path} is no JSON object; write it as {FORM}")
    return content


def _list(content: dict[str, Any], key: str, path: Path) -> Sequence[Any]:
    items = content.get(key, [])
    if not isinstance(items, list):
        raise DatasetError(f"{key!r} in {path} is no list; write it as {FORM}")
    return items


def _find(index: Index, item: Any, path: Path) -> tuple[str, int, Vectors]:
    """Name, image and unit vector of a cell ("img.jpg:3,4") or a box ({"path": ..., "box": [...]})."""
    match item:
        case str():
            return _cell(index, item)
        case {
            "path": str(image),
            "box": [int() | float(), int() | float(), int() | float(), int() | float()],
        }:
            return _box(index, image, tuple(item["box"]))
    raise DatasetError(f"{path} holds {item!r}, which is neither a cell nor a box; write it as {FORM}")


def _cell(index: Index, text: str) -> tuple[str, int, Vectors]:
    path, row, col = parse_cell(text)
    check_cell(row, col, index.grid)
    image = index.image(path)
    vector = index.vectors(np.array([cell_id(image, row, col, index.grid)]))[0]
    return f"{index.path_of(image)}:{row},{col}", image, vector


def _box(index: Index, path: str, box: Box) -> tuple[str, int, Vectors]:
    """A box (x0, y0, x1, y1) in pixels of the upright original."""
    image = index.image(path)
    seen = project(index, f"the box {list(box)} of {path}", box, size_of(index, image))
    weights = share_cells(seen, index.grid, index.manifest.preprocess.crop)
    vector = unit(np.tensordot(weights, index.features(image), axes=2))
    return f"{index.path_of(image)} {list(box)}", image, vector
