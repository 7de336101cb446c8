"""What a large index is searched by: its cells in lists around centres, each as a short code.

Half as many principal axes as a feature has numbers, turned at random; each four of them make four bits.
The stored vectors decide among what the codes propose, so the lists limit what is found: as many of them are
looked into as it takes to find `TARGET` of the nearest cells, measured on the index's own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.records import SearchLists
from auditor.records.watch import Watch
from auditor.search import proposals
from auditor.search.nearest import find_cells, searchable
from auditor.search.proposals import Lists
from auditor.store import Index, read_current, read_manifest
from auditor.store.generations import LISTS, previous_generations
from auditor.store.lists_file import load_lists, open_lists, write_lists
from auditor.store.places import DERIVED, inside

TARGET = 0.98
HITS = 20  # nearest cells of which recall is the share that is found
ASKED = 200  # cells that choose how many lists are looked into; as many others measure what that finds
RERANKED = (200, 1000, 5000)
SAMPLE = 256 << 20  # bytes of the vectors that lists and codes are made for
PER_LIST = 64  # of the sample to a list; FAISS wants 39
AXES_PER_CODE = 4
BLOCK = 16 << 20  # bytes of the vectors that are added at a time
GROWTH = 2.0  # times the cells that lists were made for: beyond, they are made anew

Vectors = NDArray[np.float32]


def bytes_of_lists(cells: int, dim: int) -> int:
    """What the lists of so many cells take on the disk, but for the centres; 0 where there are none."""
    return round(cells * (_axes(dim) / AXES_PER_CODE / 2 + 8)) if cells > proposals.LARGE else 0


def _axes(dim: int) -> int:
    return max(1, dim // (2 * AXES_PER_CODE)) * AXES_PER_CODE


def prepare_search(path: Path, watch: Watch) -> None:
    """Make the lists of an index that is large and has none; killed meanwhile, it is searched exactly."""
    current = read_current(path)
    if current is None or LISTS in current.files:
        return
    if current.images * read_manifest(path).cells_per_image <= proposals.LARGE:
        return
    with Index.open(path) as index:
        allowed = searchable(index)
        if int(allowed.sum()) > proposals.LARGE:
            index.keep(LISTS, lambda to: _make(index, allowed, to, watch))


def _make(index: Index, allowed: NDArray[np.bool_], to: Path, watch: Watch) -> dict[str, SearchLists]:
    """Write the lists, and say how to search them."""
    rng = np.random.default_rng(0)
    lists, first, trained = _begun(index) or _train(index, allowed, rng, watch)
    asked = _draw(allowed, 2 * ASKED, rng)
    nearest = _add(index, lists, first, allowed, asked, watch)
    write_lists(to, lists)
    watch.start("measuring how many lists to search", 1)
    written = open_lists(to, index.manifest.dim, "")
    search = _measure(index, written, allowed, asked, nearest)
    watch.advance(1)
    return {"search": SearchLists(cells=int(written.ntotal), trained=trained, **search)}


def _train(
    index: Index, allowed: NDArray[np.bool_], rng: np.random.Generator, watch: Watch
) -> tuple[Any, int, int]:
    """Empty lists around the centres of a sample, the first image to add, the cells they are meant for."""
    import faiss

    dim, cells = index.manifest.dim, int(allowed.sum())
    sample = _draw(allowed, max(SAMPLE // (4 * dim), 1000), rng)
    lists = max(1, min(round(cells**0.5), len(sample) // PER_LIST))
    axes = _axes(dim)
    watch.start("reading cells to make search lists for", len(sample))
    vectors = np.empty((len(sample), dim), np.float32)
    for start in range(0, len(sample), 1000):
        vectors[start : start + 1000] = index.vectors(sample[start : start + 1000])
        watch.advance(len(sample[start : start + 1000]))
    watch.start(f"making {lists:,} search lists", 1)
    # of unit vectors the nearest has the largest cosine, and distances outlive the shift to the axes' centre
    made = faiss.index_factory(dim, f"PCAR{axes},IVF{lists},PQ{axes // AXES_PER_CODE}x4fs", faiss.METRIC_L2)
    made.train(vectors)
    watch.advance(1)
    return made, 0, cells


def _begun(index: Index) -> tuple[Any, int, int] | None:
    """The lists of an earlier generation whose shards are the first of these, and the first image to add."""
    for earlier in previous_generations(index.path, index.generation):
        if earlier.search is None or LISTS not in earlier.files:
            continue
        is_start = earlier.shards == index.generation.shards[: len(earlier.shards)]
        path = inside(index.path, DERIVED, earlier.name, LISTS)
        grown = index.images * index.manifest.cells_per_image / max(earlier.search.trained, 1)
        if is_start and grown <= GROWTH and earlier.files[LISTS].hold_for(path):
            lists = load_lists(path, index.manifest.dim, "")
            return lists, earlier.images, earlier.search.trained
    return None


def _draw(allowed: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Ids of so many different cells that may be found, or of all where they are fewer, in order."""
    places = np.arange(allowed.size) if allowed.size < 8 * count else _some(allowed.size, 8 * count, rng)
    cells = places[allowed.ravel()[places]]
    return np.sort(rng.permutation(cells)[:count])


def _some(size: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """About so many different numbers below a size, without a list of all."""
    return np.unique(rng.integers(0, size, count))


def _add(
    index: Index,
    lists: Any,
    first: int,
    allowed: NDArray[np.bool_],
    asked: NDArray[np.int64],
    watch: Watch,
) -> Vectors:
    """Add the cells of the images from `first` on, and compare all with those that ask.

    Returns the cosines (q, HITS) of the nearest cells of these, one of each other image, best first.
    """
    width = allowed.shape[1]
    queries, owners = index.vectors(asked), asked // width
    nearest = np.full((len(asked), HITS), -np.inf, np.float32)
    watch.start("sorting cells into search lists, images", len(allowed))
    for images in _blocks(len(allowed), max(1, BLOCK // (4 * width * index.manifest.dim))):
        cells = (images[:, None] * width + np.arange(width)).ravel()
        vectors, may = index.vectors(cells), allowed[images].ravel()
        new = vectors.any(axis=1) & (cells >= first * width)
        lists.add_with_ids(np.ascontiguousarray(vectors[new]), cells[new])
        cosines = queries @ vectors.T
        cosines[:, ~may] = -np.inf
        best = cosines.reshape(len(asked), len(images), width).max(axis=2)
        best[owners[:, None] == images] = -np.inf
        nearest = -np.sort(-np.concatenate([nearest, best], axis=1), axis=1)[:, :HITS]
        watch.advance(len(images))
    return nearest


def _blocks(count: int, size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


def _measure(
    index: Index, lists: Any, allowed: NDArray[np.bool_], asked: NDArray[np.int64], nearest: Vectors
) -> dict[str, Any]:
    """The fewest lists, and the fewest cells to re-rank, that find `TARGET` of the nearest cells.

    Less one standard error, or what other cells find would be below it half of the time.
    """
    import faiss

    most = int(faiss.extract_index_ivf(lists).nlist)

    def found(probed: int, reranked: int, chosen: slice) -> NDArray[np.float64]:
        by = Lists(lists, probed, reranked)
        return _shares(index, by, allowed, asked[chosen], nearest[chosen])

    def at_least(probed: int, reranked: int) -> float:
        shares = found(probed, reranked, slice(0, None, 2))
        return float(shares.mean() - shares.std() / len(shares) ** 0.5)

    reranked = next((n for n in RERANKED if at_least(most, n) >= TARGET), RERANKED[-1])
    probed = 1 + bisect_left(range(1, most), TARGET, key=lambda probed: at_least(probed, reranked))
    others = found(probed, reranked, slice(1, None, 2))
    recall, asked_others = float(others.mean()), len(others)
    return {"lists": most, "probed": probed, "reranked": reranked, "recall": recall, "asked": asked_others}


def _shares(
    index: Index, by: Lists, allowed: NDArray[np.bool_], asked: NDArray[np.int64], nearest: Vectors
) -> NDArray[np.float64]:
    """Of each cell that asks the share of the nearest cells, one of each other image, that are found."""
    shares = []
    for cell, vector, cosines in zip(asked, index.vectors(asked), nearest, strict=True):
        image = int(cell) // allowed.shape[1]
        others = allowed.copy()
        others[image] = False
        _, found = find_cells(index, by, vector, HITS, others, 1)
        there = cosines[np.isfinite(cosines)]
        hits = np.count_nonzero(found >= there.min(initial=1) - 1e-6)
        shares.append(min(hits / max(len(there), 1), 1))  # two may tie for the last place
    return np.array(shares)
