"""Exact retrieval by a region: the cells under a box, each looked for by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.errors import CellError, DatasetError
from auditor.explain.crops import is_outside
from auditor.explain.indexed import load_file
from auditor.grids import Box, share_cells
from auditor.measure.annotations import annotated_images, cells_on
from auditor.questions.find.record import Find, Found
from auditor.records import Hit, Rate
from auditor.records.watch import Watch
from auditor.search.content import require_content, usable_images
from auditor.search.nearest import describe_hits, nearest_cells, nearest_images, searchable
from auditor.search.region import project, size_of
from auditor.store import Index
from auditor.store.index import unit

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Region:
    """A box of an image: the image's id where it is indexed and its unit vectors (H, W, C).

    `seen` is the box in pixels of the crop, `shares` (H, W) which part of each cell it covers.
    """

    name: str
    path: str
    image: int | None
    vectors: NDArray[np.float32]
    seen: tuple[int, int, int, int]
    shares: NDArray[np.float64]


def find(
    index: Index, path: str, box: Box, *, k: int = 20, background: bool = False, watch: Watch | None = None
) -> Find:
    """The k other images most like a box (x0, y0, x1, y1) of one, in pixels of the upright image.

    The cells of the box are a set: an image's score is the mean, each cell by the part that the box covers,
    of the cosine to its most similar cell. Their pooled vector finds less of what was planted. A box inside
    one cell finds what `similar` does. With `background`, only cells that are known to be background are
    compared, so none of an image that nobody annotated, and the box is taken without annotated objects. It
    may lie in an image file that is not indexed.
    """
    region, allowed = _region(index, path, box), searchable(index)
    usable = usable_images(index)
    empty = len(usable) * allowed.shape[1] - int(allowed.sum())
    annotated = annotated_images(index)
    if background:
        if not len(annotated):
            raise DatasetError(
                f"nothing is annotated in {index.name}, so no cell is known to be background; ask "
                "without --background"
            )
        region, allowed = _without_objects(index, region, allowed)
    if region.image is not None:
        allowed[region.image] = False
    region = _with_content(region)
    return Find(
        index=index.name,
        path=region.path,
        box=box,
        seen=region.seen,
        cells=tuple(f"{region.path}:{row},{col}" for row, col in np.argwhere(region.shares).tolist()),
        shares=tuple(region.shares[region.shares > 0].tolist()),
        found=_search(index, region, k, allowed, watch),
        background=background,
        unannotated=len(usable) - len(annotated),
        empty=empty,
    )


def _region(index: Index, path: str, box: Box) -> Region:
    name = "{}:{:g},{:g},{:g},{:g}".format(path, *box[:2], box[2] - box[0], box[3] - box[1])
    if not is_outside(index, path):
        image = index.image(path)
        path, vectors, size = index.path_of(image), index.features(image), size_of(index, image)
    else:
        from auditor.explain.live import features_of_files

        image, vectors = None, unit(features_of_files(index, [Path(path)])[0])
        size = load_file(index, Path(path)).size or (0, 0)
    seen, side = project(index, name, box, size), index.manifest.preprocess.crop
    whole = share_cells((0, 0, side, side), index.grid, side)
    return Region(name, path, image, vectors, seen, share_cells(seen, index.grid, side) / whole)


def _without_objects(index: Index, region: Region, allowed: Flags) -> tuple[Region, Flags]:
    """The box without annotated objects, and of the cells that may be found those of background."""
    allowed = allowed & cells_on(index, "background")
    if region.image is None:
        return region, allowed
    own = cells_on(index, "foreground")[region.image].reshape(index.grid)
    if not (region.shares > 0)[~own].any():
        raise CellError(f"{region.name} covers annotated objects alone; ask without --background")
    return replace(region, shares=np.where(own, 0, region.shares)), allowed


def _with_content(region: Region) -> Region:
    """The box without cells of zeros, which are similar to nothing."""
    require_content(region.name, region.vectors[region.shares > 0])
    return replace(region, shares=np.where(region.vectors.any(axis=-1), region.shares, 0))


def _search(index: Index, region: Region, k: int, allowed: Flags, watch: Watch | None) -> tuple[Found, ...]:
    vectors, weights = region.vectors[region.shares > 0], region.shares[region.shares > 0]
    if len(vectors) == 1:  # the search of one cell needs no scan
        return tuple(_found(hit.cosine, [hit]) for hit in nearest_cells(index, vectors[0], k, allowed, 1))
    scores, cells = nearest_images(index, vectors, weights, k, allowed, watch)
    hits = describe_hits(index, cells.ravel(), np.repeat(scores, len(vectors)))
    rows = [hits[start : start + len(vectors)] for start in range(0, len(hits), len(vectors))]
    return tuple(_found(float(score), row) for score, row in zip(scores, rows, strict=True))


def _found(score: float, hits: Sequence[Hit]) -> Found:
    known = {(hit.row, hit.col): hit.foreground for hit in hits if hit.foreground is not None}
    background = Rate(list(known.values()).count(False), len(known))
    return Found(
        hits[0].path,
        score,
        hits[0].label,
        background,
        tuple(f"{hit.path}:{hit.row},{hit.col}" for hit in hits),
    )
