"""What a large index is searched by: its cells in lists around centres, each as a short code.

Half as many principal axes as a feature has numbers, or 256 where those are more, turned at random; each four
of them make four bits.
The stored vectors decide among what the codes propose, so the lists limit what is found: as many of them are
looked into as it takes to find most of the nearest cells, measured on the index's own (`measure_lists`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.records import SearchLists
from auditor.records.watch import Watch
from auditor.search import proposals
from auditor.search.measure_lists import Asked, choose_search, draw
from auditor.search.nearest import scan, searchable
from auditor.store import Index, read_current, read_manifest
from auditor.store.code_runs import CodeRuns
from auditor.store.generations import LISTS, previous_generations
from auditor.store.lists_file import StoredLists, open_lists, read_lists, write_lists
from auditor.store.places import DERIVED, inside

SAMPLE = 64 << 20  # bytes, at most, of the shortened vectors that lists and codes are made for
PER_LIST = 64  # of them to a list; FAISS wants 39
FOR_AXES = 16 << 20  # bytes of the vectors that the axes are made for
AXES_PER_CODE = 4
ALL_AXES = 256  # so many are all kept: half of few lose too much of what tells neighbours apart
GROWTH = 2.0  # times the cells that lists were made for: beyond, they are made anew
MEASURED = 1.1  # times the cells among which recall was measured: beyond, it is measured again

Flags = NDArray[np.bool_]


def bytes_of_lists(cells: int, dim: int) -> int:
    """What the lists of so many cells take on the disk, but for the centres; 0 where there are none."""
    return round(cells * (_axes(dim) / AXES_PER_CODE / 2 + 8)) if cells > proposals.LARGE else 0


def _axes(dim: int) -> int:
    kept = min(dim, max(ALL_AXES, dim // 2))
    return max(1, kept // AXES_PER_CODE) * AXES_PER_CODE


def prepare_search(path: Path, watch: Watch) -> None:
    """Make the lists of an index that is large and has none; killed meanwhile, it is searched exactly."""
    current = read_current(path)
    if current is None or LISTS in current.files:
        return
    if current.images * read_manifest(path).cells_per_image <= proposals.LARGE:
        return
    with Index.open(path) as index:
        allowed = searchable(index)
        if np.count_nonzero(allowed) > proposals.LARGE:
            index.keep(LISTS, lambda to: {"search": _make(index, allowed, to, watch)})


@dataclass(frozen=True, slots=True)
class _Begun:
    """The lists of an earlier generation whose shards are the first of these."""

    stored: StoredLists
    images: int
    search: SearchLists

    def is_measured(self, index: Index) -> bool:
        """Whether what is known of them still says what a search finds."""
        new = (index.images - self.images) * index.manifest.cells_per_image
        return self.search.cells + new <= MEASURED * self.search.measured


def _make(index: Index, allowed: Flags, to: Path, watch: Watch) -> SearchLists:
    """Write the lists, and say how to search them."""
    begun = _find_begun(index)
    lists = begun.stored.lists if begun else _train(index, allowed, watch)
    asked = None if begun and begun.is_measured(index) else Asked.of(index, allowed)
    with CodeRuns(lists, to.parent) as runs:
        _sort_in(index, runs, begun.images if begun else 0, allowed, asked, watch)
        write_lists(to, lists, runs, begun.stored if begun else None)
    cells = int(lists.ntotal)
    if begun and asked is None:
        return replace(begun.search, cells=cells)
    assert asked is not None
    chosen = choose_search(index, open_lists(to, index.manifest.dim, ""), allowed, asked, watch)
    trained = begun.search.trained if begun else cells
    return SearchLists(cells=cells, trained=trained, measured=cells, **chosen)


def _find_begun(index: Index) -> _Begun | None:
    for earlier in previous_generations(index.path, index.generation):
        if earlier.search is None or LISTS not in earlier.files:
            continue
        is_start = earlier.shards == index.generation.shards[: len(earlier.shards)]
        path = inside(index.path, DERIVED, earlier.name, LISTS)
        grown = index.images * index.manifest.cells_per_image / max(earlier.search.trained, 1)
        if is_start and grown <= GROWTH and earlier.files[LISTS].hold_for(path):
            return _Begun(read_lists(path, index.manifest.dim, ""), earlier.images, earlier.search)
    return None


def _train(index: Index, allowed: Flags, watch: Watch) -> Any:
    """Empty lists around the centres of a sample, of which no more is held than half as many numbers."""
    import faiss

    dim, axes = index.manifest.dim, _axes(index.manifest.dim)
    wanted = PER_LIST * max(1, round(np.count_nonzero(allowed) ** 0.5 / 2))  # to sort into more takes longer
    sample = draw(allowed, min(max(SAMPLE // (4 * axes), 1000), wanted), np.random.default_rng(0))
    lists = max(1, len(sample) // PER_LIST)
    watch.start("reading cells to make search lists for", len(sample))
    turned = faiss.PCAMatrix(dim, axes, 0, True)
    turned.train(index.vectors(sample[:: -(-len(sample) * 4 * dim // FOR_AXES)]))
    short = np.empty((len(sample), axes), np.float32)
    for start in range(0, len(sample), 1000):
        part = slice(start, start + 1000)
        short[part] = turned.apply(index.vectors(sample[part]))
        watch.advance(len(sample[part]))
    watch.start(f"making {lists:,} search lists", 1)
    # of unit vectors the nearest has the largest cosine, and distances outlive the shift to the axes' centre
    made = faiss.index_factory(axes, f"IVF{lists},PQ{axes // AXES_PER_CODE}x4fs", faiss.METRIC_L2)
    made.train(short)
    watch.advance(1)
    return faiss.IndexPreTransform(turned, made)


def _sort_in(
    index: Index, runs: CodeRuns, first: int, allowed: Flags, asked: Asked | None, watch: Watch
) -> None:
    """Encode the cells of the images from `first` on; where cells ask, compare all images with them."""
    images, width = np.arange(0 if asked else first, index.images), allowed.shape[1]
    wide = len(asked.cells) if asked else 0
    for part, vectors in scan(index, images, watch, wide, "sorting cells into search lists, images"):
        cells = (images[part, None] * width + np.arange(width)).ravel()
        is_new = vectors.any(axis=1) & (cells >= first * width)
        runs.add(vectors[is_new], cells[is_new])
        if asked:
            asked.compare(images[part], vectors, allowed)
