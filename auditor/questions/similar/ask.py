"""Exact retrieval from one cell: of an indexed image, of an image file, or of a vector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.errors import CellError
from auditor.explain.crops import is_outside
from auditor.grids import check_cell, parse_cell
from auditor.questions.similar.record import Similar
from auditor.report.page_parts import Answer, Wish
from auditor.search.nearest import nearest_cells, searchable
from auditor.store import Index


def similar(
    index: Index, path: str, row: int, col: int, *, k: int = 20, other_images_only: bool = False
) -> Similar:
    """The k cells of largest cosine with one cell, which itself is left out; or of other images only.

    The cell may lie in an image file that is not indexed: then the backbone that made the index reads it.
    """
    check_cell(row, col, index.grid)
    if is_outside(index, path):
        from auditor.explain.live import vector_of_file

        vector = vector_of_file(index, Path(path), row, col)
        return similar_to_vector(index, vector, k=k, path=path, row=row, col=col)
    image = index.image(path)
    allowed = searchable(index)
    allowed[image, ... if other_images_only else row * index.grid[1] + col] = False
    hits = nearest_cells(index, index.features(image)[row, col], k, allowed)
    return Similar(index.name, index.path_of(image), row, col, hits)


def similar_to_vector(
    index: Index, vector: NDArray[np.floating], *, k: int = 20, path: str = "", row: int = 0, col: int = 0
) -> Similar:
    """The k cells of largest cosine with a vector (C,) of the same backbone; path, row, col say whose."""
    length = float(np.linalg.norm(vector))
    if vector.shape != (index.manifest.dim,) or not np.isfinite(length) or length == 0:
        raise CellError(
            f"{index.name} is searched with {index.manifest.dim} finite numbers that are not all zero"
        )
    hits = nearest_cells(index, (vector / length).astype(np.float32), k, searchable(index))
    return Similar(index.name, path, row, col, hits)


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: the cells most similar to each patch in other images."""
    for patch in wish.patches:
        image, row, col = parse_cell(patch)
        words = ("--others", "--patch", patch)
        yield Answer(similar(index, image, row, col, other_images_only=True), words)
