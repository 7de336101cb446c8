"""Retrieval from one cell: of an indexed image, of an image file, or of a vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.errors import CellError
from auditor.explain.crops import is_outside
from auditor.grids import check_cell, parse_cell
from auditor.questions.similar.record import Similar
from auditor.report.wish import Answer, Wish
from auditor.search.content import require_content, usable_images
from auditor.search.nearest import nearest_cells, searchable
from auditor.search.norms import leave_out_long
from auditor.search.only import ANY, Only
from auditor.search.proposals import recall_of
from auditor.store import Index
from auditor.store.index import unit

PER_IMAGE = 1
"""Cells of one image among the hits: with no limit the twenty nearest to a cell of a real photo came from
eight other images (MobileNetV2 and DeiT-Tiny, 60 cells each), neighbours on one object. The question is
where else."""


def similar(
    index: Index,
    path: str,
    row: int,
    col: int,
    *,
    k: int = 20,
    same: bool = False,
    per_image: int = PER_IMAGE,
    only: Only = ANY,
) -> Similar:
    """The k cells of largest cosine with one cell, in other images; with `same` also in its own.

    At most `per_image` cells of each image, 0 being no limit, and those alone that `only` asks for; never the
    cell itself, nor cells without content, nor, unless the cell is one itself, those that are far too long
    for `audit hygiene`. The cell may lie in an image file that is not indexed: then the backbone that made
    the index reads it.
    """
    check_cell(row, col, index.grid)
    if is_outside(index, path):
        from auditor.explain.live import features_of_files

        vector = features_of_files(index, [Path(path)])[0][row, col]
        require_content(f"{path}:{row},{col}", vector)
        return similar_to_vector(
            index, vector, k=k, path=path, row=row, col=col, per_image=per_image, only=only
        )
    image = index.image(path)
    path, vector = index.path_of(image), index.features(image)[row, col]
    require_content(f"{path}:{row},{col}", vector)
    allowed = searchable(index)
    asked = Similar(index.name, path, row, col, (), same, per_image, _count_empty(index, allowed), str(only))
    allowed[image, row * index.grid[1] + col if same else ...] = False
    length = float(index.norms(image)[row, col])
    return _answer(index, asked, vector, length, k, only.among(index, allowed))


def similar_to_vector(
    index: Index,
    vector: NDArray[np.floating],
    *,
    k: int = 20,
    path: str = "",
    row: int = 0,
    col: int = 0,
    per_image: int = PER_IMAGE,
    only: Only = ANY,
) -> Similar:
    """The k cells of largest cosine with a vector (C,) of the same backbone; path, row, col say whose."""
    length = float(np.linalg.norm(vector))
    if vector.shape != (index.manifest.dim,) or not np.isfinite(length) or length == 0:
        raise CellError(
            f"{index.name} is searched with {index.manifest.dim} finite numbers that are not all zero"
        )
    allowed = searchable(index)
    asked = Similar(index.name, path, row, col, (), False, per_image, _count_empty(index, allowed), str(only))
    return _answer(index, asked, unit(vector), length, k, only.among(index, allowed))


def _answer(
    index: Index,
    asked: Similar,
    vector: NDArray[np.float32],
    length: float,
    k: int,
    allowed: NDArray[np.bool_],
) -> Similar:
    long = leave_out_long(index, allowed, length)
    hits = nearest_cells(index, vector, k, allowed, asked.per_image)
    return replace(asked, hits=hits, recall=recall_of(index, allowed), long=long)


def _count_empty(index: Index, allowed: NDArray[np.bool_]) -> int:
    """Cells without content of usable images, which `allowed` leaves out."""
    return len(usable_images(index)) * index.manifest.cells_per_image - int(allowed.sum())


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: the cells most similar to each patch in other images."""
    for patch in wish.patches:
        image, row, col = parse_cell(patch)
        yield Answer(similar(index, image, row, col), ("--patch", patch))
