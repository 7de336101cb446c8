"""Connected cells that a class wins, and whether the labelled cells that are most like them are of it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from auditor.measure.annotations import Annotations
from auditor.measure.guesses import READ, Guesses, guess_columns, guesses_of, read_guesses
from auditor.measure.significance import at_least
from auditor.records.watch import Watch
from auditor.search.among import nearest_in_others
from auditor.store import Index

MARGIN = 2.0  # times as probable as the second class is a win
INSIDE = 0.1  # what a cell counts that does not survive the covering of the assigned object
SUREST = 4  # cells of a region that are looked up
NEAREST = 10  # cells, each of another image
WORK = 4e12  # multiplications of one search: about a minute on two cores

IMAGES = "SELECT id, path, {columns} FROM images WHERE usable ORDER BY id"

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shown:
    """What usable images show: their ids and paths (n,), and the guesses of each."""

    ids: Numbers
    paths: NDArray[np.object_]
    images: Guesses


@dataclass(frozen=True, slots=True)
class Regions:
    """Of `count` regions of classes those R that are asked: where they lie, and the cells most like them.

    `p` is the mean probability of a region's cells, `sureness` the same, each times INSIDE as far as it does
    not survive. `surest` is the first of the cells (place * N + cell) that were looked up, whose `near`
    (Q, NEAREST) cells, -1 for none, are of other images; `asked` (Q,) are the regions of these. Of the images
    at `places` (m,), which hold these regions, `cells` are the guesses of all cells (m * N,), and `region_of`
    (m * N,) says whose they are: -1 for none, -2 for one that is not asked.
    """

    count: int
    place: Numbers
    label: Numbers
    size: Numbers
    surest: Numbers
    p: Shares
    sureness: Shares
    survives: Flags
    asked: Numbers
    near: Numbers
    places: Numbers
    cells: Guesses
    region_of: Numbers

    def rows(self, cells: Numbers, width: int) -> Numbers:
        """Where cells (place * width + cell) of these images are among theirs."""
        place, cell = np.divmod(cells, width)
        return np.searchsorted(self.places, place) * width + cell

    def agreement(self, said: Annotations) -> tuple[Numbers, Numbers, Shares]:
        """Of the cells most like each region those that are said to hold its class, all of them, p.

        p is the chance to find as many of one cell's neighbours, were labels exchanged among images.
        """
        label = np.repeat(self.label[self.asked][:, None], self.near.shape[1], axis=1)
        agree = said.has_mark(self.near, label).sum(axis=1)
        known = (self.near >= 0).sum(axis=1)
        expected = (said.shares()[self.near % said.cells, label] * (self.near >= 0)).sum(axis=1)
        count = len(self.label)
        hits, totals, means = (np.bincount(self.asked, values, count) for values in (agree, known, expected))
        looked = np.maximum(np.bincount(self.asked, minlength=count), 1)
        chance = means / np.maximum(totals, 1)
        p_values = at_least(hits // looked, totals // looked, chance)
        return hits.astype(np.int64), totals.astype(np.int64), p_values

    def boxes(self, grid: tuple[int, int]) -> list[tuple[int, int, int, int]]:
        """Top, left, bottom and right of each region in cells, ends excluded."""
        inside = np.flatnonzero(self.region_of >= 0)
        number, (row, col) = self.region_of[inside], np.divmod(inside % (grid[0] * grid[1]), grid[1])
        ends = [np.full(len(self.label), max(grid)), np.full(len(self.label), max(grid))]
        ends += [np.zeros(len(self.label), np.int64), np.zeros(len(self.label), np.int64)]
        for end, values in zip(ends[:2], (row, col), strict=True):
            np.minimum.at(end, number, values)
        for end, values in zip(ends[2:], (row, col), strict=True):
            np.maximum.at(end, number, values + 1)
        return [(a, b, c, d) for a, b, c, d in np.stack(ends, axis=1).tolist()]


def read_shown(index: Index) -> Shown:
    """The guesses that the index keeps of its usable images."""
    images = index.query(IMAGES.format(columns=guess_columns(index, "top5_original")))
    ids, paths = np.asarray(images["id"], dtype=np.int64), np.asarray(images["path"], dtype=np.object_)
    return Shown(ids, paths, guesses_of(index, images))


@dataclass(frozen=True, slots=True)
class _Cells:
    """The guesses of the cells of images (n, N), one after another.

    `kept` and `stays` (n * N,) say of the first guess of each cell how probable it is with the annotated
    objects covered, and whether it is the first then too; 1 and yes where that was never tried.
    """

    own: Guesses
    kept: Shares
    stays: Flags


def _read_cells(index: Index, ids: Numbers) -> _Cells:
    """Of usable images that follow one another."""
    _, own = read_guesses(index, ids, 0)
    covered, then = read_guesses(index, ids, 2)
    kept, stays = np.ones(own.top.shape[:2]), np.ones(own.top.shape[:2], np.bool_)
    place = np.searchsorted(ids, covered)
    kept[place] = then.of(own.top[place, :, 0])
    stays[place] = then.top[..., 0] == own.top[place, :, 0]
    return _Cells(own, kept.ravel(), stays.ravel())


@dataclass(frozen=True, slots=True)
class _Found:
    """Regions on their way into `Regions`, and of each the `evidence` by which it is asked.

    `looked` (Q,) are the cells to be looked up, `asked` (Q,) the regions of these.
    """

    place: Numbers
    label: Numbers
    size: Numbers
    surest: Numbers
    p: Shares
    sureness: Shares
    survives: Flags
    is_label: Flags
    evidence: Shares
    looked: Numbers
    asked: Numbers
    places: Numbers
    top: NDArray[np.int32]
    top_p: NDArray[np.float32]
    region_of: Numbers

    def __add__(self, other: _Found) -> _Found:
        """These and those of images behind them."""
        count = len(self.label)
        region_of = np.where(other.region_of >= 0, other.region_of + count, other.region_of)
        later = replace(other, asked=other.asked + count, region_of=region_of)
        parts = ((getattr(self, each.name), getattr(later, each.name)) for each in fields(self))
        return _Found(*map(np.concatenate, parts))

    def best(self, most: int) -> _Found:
        """At most so many: those of unassigned classes first, then by their evidence."""
        kept = np.sort(np.lexsort((-self.evidence, self.is_label))[:most])
        number = np.full(len(self.label) + 2, -2)
        number[kept], number[-1] = np.arange(len(kept)), -1  # where -1 points; -2 points at -2
        is_asked, has_any = number[self.asked] >= 0, np.isin(self.places, self.place[kept])
        ours = {name: getattr(self, name)[kept] for name in _OF_REGIONS}
        return replace(
            self,
            **ours,
            looked=self.looked[is_asked],
            asked=number[self.asked[is_asked]],
            places=self.places[has_any],
            top=self.top[has_any],
            top_p=self.top_p[has_any],
            region_of=number[self.region_of[has_any]],
        )


_OF_REGIONS = ("place", "label", "size", "surest", "p", "sureness", "survives", "is_label", "evidence")


def find_regions(index: Index, shown: Shown, said: Annotations, watch: Watch) -> Regions:
    """The regions of every class in every image; those of unassigned classes are looked up first.

    Images are read some at a time, and no more is held of them than of as many regions as can be asked.
    """
    cells = index.manifest.cells_per_image
    most = int(WORK / max(len(shown.ids) * cells * index.manifest.dim * SUREST, 1))
    count, found = 0, None
    for start in range(0, len(shown.ids), READ):
        places = np.arange(start, min(start + READ, len(shown.ids)))
        more = _regions_of(index, shown, said, places)
        count += len(more.label)
        found = (more if found is None else found + more).best(most)
    assert found is not None
    images = shown.ids[said.is_labelled]
    ids = shown.ids[found.looked // cells] * cells + found.looked % cells
    near, _ = nearest_in_others(index, ids, images, NEAREST, watch)
    near = np.where(near < 0, -1, np.searchsorted(shown.ids, near // cells) * cells + near % cells)
    width = found.top.shape[-1]
    guesses = Guesses(shown.images.classes, found.top.reshape(-1, width), found.top_p.reshape(-1, width))
    return Regions(
        count, found.place, found.label, found.size, found.surest, found.p, found.sureness, found.survives,
        found.asked, near, found.places, guesses, found.region_of.ravel(),
    )  # fmt: skip


def _regions_of(index: Index, shown: Shown, said: Annotations, places: Numbers) -> _Found:
    """All regions of some images that follow one another."""
    cells, read = index.manifest.cells_per_image, _read_cells(index, shown.ids[places])
    top, p = (each.reshape(-1, each.shape[-1]) for each in (read.own.top, read.own.p))
    second = p[:, 1] if p.shape[1] > 1 else np.zeros(len(p))
    won = np.where(p[:, 0] >= MARGIN * second, top[:, 0], -1)
    region_of = connect(won.reshape(-1, *index.grid)).ravel()
    inside = np.flatnonzero(region_of >= 0)
    number = region_of[inside]
    sureness = p[inside, 0] * (INSIDE + read.kept[inside]) / (INSIDE + 1)
    order = np.lexsort((inside, -sureness, number))
    firsts = np.flatnonzero(np.diff(number[order], prepend=-1))
    size = np.diff(np.append(firsts, len(order)))
    first = inside[order[firsts]]
    own, mean = (
        np.bincount(number, each, len(size)) / np.maximum(size, 1) for each in (p[inside, 0], sureness)
    )
    looked = np.arange(len(order)) - np.repeat(firsts, size) < SUREST
    place, label, start = places[first // cells], won[first].astype(np.int64), places[0] * cells
    return _Found(
        place, label, size, start + first, own, mean, read.stays[first], said.has_label(place, label),
        mean * shown.images.of(label, place), start + inside[order][looked], number[order][looked],
        places, read.own.top, read.own.p, region_of.reshape(len(places), -1),
    )  # fmt: skip


def connect(won: NDArray[np.integer]) -> Numbers:
    """Number the regions of grids (n, H, W) of classes: equal cells that touch, at corners too; -1 for -1."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    cells = np.arange(won.size).reshape(won.shape)
    ends = []
    for one, other in (
        (np.s_[:, :, :-1], np.s_[:, :, 1:]),
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:, :-1, :-1], np.s_[:, 1:, 1:]),
        (np.s_[:, :-1, 1:], np.s_[:, 1:, :-1]),
    ):
        same = (won[one] == won[other]) & (won[one] >= 0)
        ends.append(np.stack([cells[one][same], cells[other][same]]))
    pairs = np.concatenate(ends, axis=1)
    graph = coo_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(won.size, won.size))
    numbers = connected_components(graph, directed=False)[1].astype(np.int64)
    is_won = won.ravel() >= 0
    numbers[is_won] = np.unique(numbers[is_won], return_inverse=True)[1]
    return np.where(is_won, numbers, -1).reshape(won.shape)
