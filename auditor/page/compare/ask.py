"""Pairs of images and classes that two indexes share, and what they answer for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from auditor.errors import DatasetError
from auditor.measure.chance import with_chance
from auditor.measure.counts import count_pairs, require_head
from auditor.measure.rates import least_change
from auditor.measure.regrid import Grid, common_grid
from auditor.measure.significance import correct, mcnemar
from auditor.page.compare.record import ClassDifference, Comparison, ImageDifference, Paired
from auditor.records import Rate
from auditor.store import Index

IMAGES = (
    "SELECT id, path, coalesce(labels, []) AS labels, top5_original[1] AS predicted FROM images WHERE usable"
)

Pair = tuple[str, str]
"""An image's path and a class's name."""
Shown = tuple[bool, float]
"""Whether any cell shows the class, and the chance that any would."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Of every image its labels and the answer, of every pair whether its background shows the class.

    `behind` holds the null beside; `matched` is the same on the grid that both indexes have in common, and
    equals it where that is their own.
    """

    labels: dict[str, tuple[str, ...]]
    predicted: dict[str, str]
    behind: dict[Pair, Shown]
    matched: dict[Pair, Shown]

    @classmethod
    def of(cls, index: Index, grid: Grid | None) -> Answers:
        """Read them; classes are known by their names, since two heads may number them otherwise."""
        require_head(index)
        names = [each.name for each in index.manifest.classes]
        rows = index.query(IMAGES)
        paths = dict(zip(rows["id"].tolist(), rows["path"].tolist(), strict=True))
        labels = {
            path: tuple(names[label] for label in several)
            for path, several in zip(rows["path"].tolist(), rows["labels"].tolist(), strict=True)
        }
        predicted = {
            path: names[label]
            for path, label in zip(rows["path"].tolist(), rows["predicted"].tolist(), strict=True)
            if label is not None
        }
        behind, matched = (_behind(index, each, paths, names) for each in (None, grid))
        return cls(labels, predicted, behind, matched)


def _behind(
    index: Index, grid: Grid | None, paths: dict[int, str], names: Sequence[str]
) -> dict[Pair, Shown]:
    """Whether the background shows the class with the foreground covered, on a grid, and the chance of it."""
    pairs = with_chance(index, count_pairs(index, "all", grid), grid)
    counted = np.asarray(pairs["bg_cells_without_fg"]) > 0
    wanted = ("image", "class", "bg_hits_without_fg", "bg_chance_without_fg")
    columns = (pairs[name][counted].tolist() for name in wanted)
    return {
        (paths[image], names[label]): (hits > 0, chance)
        for image, label, hits, chance in zip(*columns, strict=True)
    }


def compare(first: Index, second: Index) -> Comparison:
    """What the second index answers otherwise; DatasetError where the two share no labelled image."""
    grid = common_grid((first, second))
    ours, theirs = (Answers.of(index, grid) for index in (first, second))
    shared = [path for path in ours.predicted if path in theirs.predicted]
    if not shared:
        raise DatasetError(f"{first.name} and {second.name} have no image in common: nothing to compare")
    rows = list(_classes(ours, theirs, shared))
    q_values = correct([mcnemar(accuracy.gained, accuracy.lost) for _, accuracy, _, _ in rows])
    classes = [
        ClassDifference(
            name, accuracy.first.total, accuracy, behind.rates, q, behind.first, behind.second,
            *((matched.rates, matched.first, matched.second) if grid else ()),
        )
        for (name, accuracy, behind, matched), q in zip(rows, q_values, strict=True)
    ]  # fmt: skip
    agree = sum(ours.predicted[path] == theirs.predicted[path] for path in shared)
    labelled = [path for path in shared if ours.labels[path] and theirs.labels[path]]
    return Comparison(
        first=first.name,
        second=second.name,
        shared=len(shared),
        agreement=Rate(agree, len(shared)),
        accuracy=pair((_is_right(ours, path), _is_right(theirs, path)) for path in labelled),
        classes=tuple(sorted(classes, key=_rank)),
        images=tuple(_images(ours, theirs, shared)),
        grid=grid,
    )


def _rank(row: ClassDifference) -> tuple[float, int, int, str]:
    """What the data support most first, then what changed most."""
    return -row.least, -row.accuracy.gained - row.accuracy.lost, -row.images, row.name


def _classes(
    ours: Answers, theirs: Answers, shared: Iterable[str]
) -> Iterator[tuple[str, Paired, AnyCell, AnyCell]]:
    """Every class that both indexes label some shared image with, by name."""
    by_class: dict[str, list[str]] = {}
    for path in shared:
        for name in set(ours.labels[path]) & set(theirs.labels[path]):
            by_class.setdefault(name, []).append(path)
    for name, paths in sorted(by_class.items()):
        right = pair((_is_right(ours, path), _is_right(theirs, path)) for path in paths)
        keys = [(path, name) for path in paths]
        behind = any_cell(keys, ours.behind, theirs.behind)
        yield name, right, behind, any_cell(keys, ours.matched, theirs.matched)


@dataclass(frozen=True, slots=True)
class AnyCell:
    """An any-cell rate in two indexes, and its null in each."""

    rates: Paired
    first: float | None
    second: float | None


def any_cell(keys: Iterable[Pair], ours: dict[Pair, Shown], theirs: dict[Pair, Shown]) -> AnyCell:
    """Over the pairs that have background in both."""
    both = [(ours[key], theirs[key]) for key in keys if key in ours and key in theirs]
    rates = pair((first, second) for (first, _), (second, _) in both)
    nulls = ([chance for _, chance in column] for column in zip(*both, strict=True)) if both else ((), ())
    first, second = (mean_null(each) for each in nulls)
    return AnyCell(rates, first, second)


def mean_null(chances: Sequence[float]) -> float | None:
    """The mean of those that are numbers."""
    known = [chance for chance in chances if chance == chance]
    return sum(known) / len(known) if known else None


def _is_right(answers: Answers, path: str) -> bool:
    return answers.predicted[path] in answers.labels[path]


def pair(flags: Iterable[tuple[bool, bool]]) -> Paired:
    """Two rates over the same things, with the interval of their difference."""
    hits = list(flags)
    total = len(hits)
    both = sum(a and b for a, b in hits)
    gained, lost = sum(b and not a for a, b in hits), sum(a and not b for a, b in hits)
    interval = None
    if total:
        interval = (least_change(both, gained, lost, total), -least_change(both, lost, gained, total))
    return Paired(Rate(both + lost, total), Rate(both + gained, total), gained, lost, interval)


def _images(ours: Answers, theirs: Answers, shared: Iterable[str]) -> Iterator[ImageDifference]:
    for path in shared:
        first, second = ours.predicted[path], theirs.predicted[path]
        if first != second:
            right = {(True, False): "first", (False, True): "second", (True, True): "both"}
            verdict = right.get((_is_right(ours, path), _is_right(theirs, path)), "neither")
            yield ImageDifference(path, ours.labels[path], first, second, verdict)
