"""Images of different splits that share a file, a picture or a place, and as many under exchanged splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.grids import split_cell_id
from auditor.measure.annotations import annotated_images, cells_on
from auditor.measure.rates import wilson
from auditor.questions.leaks.record import KINDS, Leak, Leaks, SharedPair
from auditor.records import Rate
from auditor.records.watch import Watch
from auditor.report.findings import Finding
from auditor.report.text import interval, share
from auditor.report.wish import Answer, Wish
from auditor.search.alike import compare_whole, corresponding, of_one_shift, same_pictures
from auditor.search.among import Nearest, most_images, nearest_among
from auditor.store import Index, once

WORK = 2e12  # multiplications: a minute or so on two cores
NEIGHBOURS = 50  # nearest images of a cell, among which one of another split is sought
CELLS = 3  # that correspond with one shift make a place, on finer grids one in 40
RUNS = 199  # exchanges of splits: the smallest p is 1 / 200
LEVEL = 0.01
SHOWN = 3  # cells of each image that show a finding

Numbers = NDArray[np.int64]
Floats = NDArray[np.float32]

IMAGES = "SELECT id, path, hash, split FROM images WHERE usable AND coalesce(split, '') <> '' ORDER BY id"


SHORT = {"file": "a file", "picture": "a picture, nearly the same,", "place": "a place"}


@dataclass(frozen=True, slots=True)
class Images:
    """Images (n,) that name a split: ids, paths, splits as codes and their names; groups of the same file.

    Of these `compared` (m,) are compared cell by cell: their nearest cells, their cosines as a whole (m, m),
    who is the same file or picture (m, m), and pairs (p, 2) of the latter.
    """

    ids: Numbers
    paths: tuple[str, ...]
    splits: Numbers
    names: tuple[str, ...]
    files: tuple[Numbers, ...]
    compared: Numbers
    nearest: Nearest
    whole: Floats
    is_same: NDArray[np.bool_]
    pictures: Numbers
    grid: tuple[int, int]

    @property
    def width(self) -> int:
        """Cells of an image."""
        return self.grid[0] * self.grid[1]


@once
def leaks(index: Index, *, seed: int = 0, watch: Watch | None = None) -> Leaks:
    """What images of one split share with those of another; DatasetError where fewer than two are named.

    Of more images than can be compared cell by cell a random part is; files are compared of all. `by_chance`
    and p come from exchanging the splits of the same images: they say whether these splits share more than
    splits drawn at random would, not whether what is listed is shared.
    """
    rng = np.random.default_rng(seed)
    images = _read(index, rng, watch)
    true = _shared(images, images.splits)
    exchanged = (_shared(images, rng.permutation(images.splits)) for _ in range(RUNS))
    by_chance = [[_count(shared[kind]) for kind in KINDS] for shared in exchanged]
    chances = np.array(by_chance, dtype=np.int64).T
    compared = images.ids[images.compared]
    return Leaks(
        index=index.name,
        splits=images.names,
        images=Rate(len(compared), len(images.ids)),
        unannotated=int((~np.isin(compared, annotated_images(index))).sum()),
        runs=RUNS,
        leaks=tuple(
            _leak(kind, true[kind], chance, images) for kind, chance in zip(KINDS, chances, strict=True)
        ),
        pairs=tuple(each for kind in KINDS for each in _describe(index, images, kind, true[kind])),
    )


def _read(index: Index, rng: np.random.Generator, watch: Watch | None) -> Images:
    rows = index.query(IMAGES)
    names, splits = np.unique(rows["split"].astype(str), return_inverse=True)
    if len(names) < 2:
        raise DatasetError(
            f"{index.name} names {len(names) or 'no'} split, so nothing can be shared across splits; index "
            "it with a manifest whose column `split` says train or test of each image"
        )
    ids = np.asarray(rows["id"], dtype=np.int64)
    compared = np.sort(rng.permutation(len(ids))[: max(2, most_images(index, WORK))])
    _, contents, sizes = np.unique(rows["hash"].astype(str), return_inverse=True, return_counts=True)
    whole, is_same, pictures = _compare(index, ids[compared], contents[compared])
    return Images(
        ids=ids,
        paths=tuple(rows["path"].tolist()),
        splits=splits,
        names=tuple(names.tolist()),
        files=tuple(np.flatnonzero(contents == content) for content in np.flatnonzero(sizes > 1)),
        compared=compared,
        nearest=nearest_among(
            index, ids[compared], NEIGHBOURS, cells_on(index, "foreground")[ids[compared]], watch
        ),
        whole=whole,
        is_same=is_same,
        pictures=compared[pictures],
        grid=index.grid,
    )


def _compare(index: Index, images: Numbers, contents: Numbers) -> tuple[Floats, NDArray[np.bool_], Numbers]:
    """Cosines of images as a whole (m, m); which are one file or picture (m, m); pairs (p, 2) of pictures."""
    vectors = index.grids(images)
    whole = compare_whole(vectors)
    is_same = contents[:, None] == contents
    pictures = same_pictures(vectors, whole, is_same, index.grid)
    is_same[pictures[:, 0], pictures[:, 1]] = is_same[pictures[:, 1], pictures[:, 0]] = True
    return whole, is_same, pictures


# ------------------------------------------------------------------------------------- what is shared


def _shared(images: Images, splits: Numbers) -> dict[str, Numbers]:
    """Of each kind the pairs (p, 2) of images that these splits (n,) part."""
    pictures, places = images.pictures, _same_places(images, splits[images.compared])
    return {
        "file": _same_files(images.files, splits),
        "picture": pictures[splits[pictures[:, 0]] != splits[pictures[:, 1]]],
        "place": images.compared[np.array([*places], dtype=np.int64).reshape(-1, 2)],
    }


def _same_files(groups: tuple[Numbers, ...], splits: Numbers) -> Numbers:
    """Each image of a group with the first of another split: of a thousand copies no million pairs."""
    pairs = set()
    for group in groups:
        for image in group.tolist():
            others = group[splits[group] != splits[image]]
            if len(others):
                pairs.add((min(image, int(others[0])), max(image, int(others[0]))))
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def _same_places(images: Images, splits: Numbers) -> dict[tuple[int, int], Numbers]:
    """The corresponding cells (p, 2) of each pair of compared images that has enough of one shift.

    Two images of unrelated things have nearest cells in common too, here and there; they do not lie alike.
    """
    cells = corresponding(images.nearest, splits, images.width)
    keys = cells[:, 0] // images.width * len(splits) + cells[:, 1] // images.width
    pairs, counts = np.unique(keys, return_counts=True)
    order, least = np.argsort(keys, kind="stable"), max(CELLS, -(-images.width // 40))
    ends = np.cumsum(counts)
    places = {}
    for number in np.flatnonzero(counts >= least).tolist():
        a, b = divmod(int(pairs[number]), len(splits))
        joined = of_one_shift(cells[order[ends[number] - counts[number] : ends[number]]], images.grid)
        if len(joined) >= least and not images.is_same[a, b]:
            places[a, b] = joined
    return places


def _count(pairs: Numbers) -> int:
    return len(np.unique(pairs))


def _leak(kind: str, pairs: Numbers, chances: Numbers, images: Images) -> Leak:
    total = len(images.ids) if kind == "file" else len(images.compared)
    shared = Rate(_count(pairs), total)
    p_value = (1 + np.count_nonzero(chances >= shared.hits)) / (1 + len(chances))
    by_chance = float(chances.mean()) / total
    return Leak(kind, shared, wilson(shared), len(pairs), by_chance, float(p_value))


def _describe(index: Index, images: Images, kind: str, pairs: Numbers) -> Iterator[SharedPair]:
    """The pairs, those with most corresponding cells and then the most alike first."""
    place = np.full(len(images.ids), -1, np.int64)
    place[images.compared] = np.arange(len(images.compared))
    cells = _same_places(images, images.splits[images.compared]) if kind == "place" else {}
    described = []
    for a, b in pairs.tolist():
        one, other = int(place[a]), int(place[b])
        joined = cells.get((one, other))
        sides = ((), ()) if joined is None else joined.T.tolist()
        cells_a, cells_b = (tuple(_name(index, images, cell) for cell in side) for side in sides)
        described.append(
            SharedPair(
                kind=kind,
                a=images.paths[a],
                b=images.paths[b],
                split_a=images.names[images.splits[a]],
                split_b=images.names[images.splits[b]],
                whole=float(images.whole[one, other]) if min(one, other) >= 0 else None,
                cells_a=cells_a,
                cells_b=cells_b,
            )
        )
    yield from sorted(described, key=lambda each: (-len(each.cells_a), -(each.whole or 0), each.a, each.b))


def _name(index: Index, images: Images, cell: int) -> str:
    """A cell of the compared images, laid end to end, as `path:row,col`."""
    number, row, col = split_cell_id(cell, index.grid)
    return f"{images.paths[int(images.compared[number])]}:{row},{col}"


# ------------------------------------------------------------------------------------- on a page


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: all of it, where there are splits."""
    if _has_splits(index):
        yield Answer(leaks(index))


def findings(index: Index) -> Iterator[Finding]:
    """Files that are in two splits; pictures and places, where splits drawn at random share fewer."""
    if not _has_splits(index):
        return
    answer = leaks(index)
    for leak in answer.leaks:
        is_certain = leak.kind == "file" or leak.p_value <= LEVEL
        if not leak.images.hits or not is_certain or leak.interval is None:
            continue
        pair = next(each for each in answer.pairs if each.kind == leak.kind)
        sentence = (
            f"{leak.images.hits} of {leak.images.total} images ({interval(leak.interval)} %) share "
            f"{SHORT[leak.kind]} with another split, like {pair.a} ({pair.split_a}) and {pair.b} "
            f"({pair.split_b}); with splits drawn at random {share(leak.by_chance)} % do."
        )
        cells = (*pair.cells_a[:SHOWN], *pair.cells_b[:SHOWN])
        subject = f"splits {', '.join(answer.splits)}"
        strength, tested = leak.interval[0], None if leak.kind == "file" else leak.p_value
        yield Finding(subject, sentence, leak.images, leak.interval, tested, strength, ("leaks",), cells)


def _has_splits(index: Index) -> bool:
    return len(np.unique(index.query(IMAGES)["split"].astype(str))) > 1
