"""Parting all cells into groups, and asking of each whose images it is found in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log2, sqrt

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.measure.rates import wilson
from auditor.questions.artifacts.record import Artifacts, Mark, Tie
from auditor.records import Rate
from auditor.report.findings import Finding
from auditor.report.text import interval, times
from auditor.report.wish import Answer, Wish
from auditor.search.associations import (
    LEAST,
    Tests,
    Values,
    columns_of_images,
    compare_groups,
    group_table,
    odds_ratio,
)
from auditor.search.cluster import central_cells, name_cells
from auditor.search.cluster_facts import position_lift
from auditor.search.content import usable_images
from auditor.search.partition import part_all
from auditor.store import Index, once

LEVEL = 0.01  # of q: in 99 of 100 data sets where nothing follows anything there is no mark
RUNS = 20  # shuffles
FIXED = 4.0  # times as often in one place as by chance makes a mark a finding
TIES = 3  # values that a mark names
SHOWN = 3  # exemplars that show a finding

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@once
def artifacts(index: Index, *, seed: int = 0) -> Artifacts:
    """Groups of cells that follow a label, a split or metadata; DatasetError where no column says it."""
    images = usable_images(index)
    columns = columns_of_images(index, images)
    if not columns:
        raise DatasetError(
            f"no label, split or column of metadata of {index.name} has a value that {LEAST} images have "
            f"and {LEAST} have not: there is nothing that a mark could follow"
        )
    groups = part_all(index, seed)
    members = group_table(groups)
    kept = np.flatnonzero(members.sum(axis=1) >= LEAST)
    members = members[kept]
    tests = compare_groups(members, columns, LEVEL)
    found = np.flatnonzero((tests.q_values < LEVEL).any(axis=1))
    cells = [_cells_of(groups, images, group) for group in kept[found].tolist()]
    exemplars = name_cells(index, [central_cells(index, each) for each in cells])
    marks = [
        _mark(index, cells[number], exemplars[number], _ties(tests, row, columns))
        for number, row in enumerate(found.tolist())
    ]
    rng = np.random.default_rng(seed)
    shuffles = ([values.shuffled(rng) for values in columns] for _ in range(RUNS))
    by_chance = (compare_groups(members, shuffled, LEVEL).q_values < LEVEL for shuffled in shuffles)
    return Artifacts(
        index=index.name,
        groups=len(kept),
        columns=tuple(values.column for values in columns),
        level=LEVEL,
        marks=tuple(sorted(marks, key=_rank)),
        by_chance=tuple(int(each.any(axis=1).sum()) for each in by_chance),
    )


def _cells_of(groups: NDArray[np.int16], images: Numbers, group: int) -> Numbers:
    """The ids of a group's cells."""
    place, cell = np.nonzero(groups == group)
    return np.asarray(images[place] * groups.shape[1] + cell, dtype=np.int64)


def _ties(tests: Tests, row: int, columns: Sequence[Values]) -> tuple[Tie, ...]:
    """The values that a group follows, the most certain first."""
    names = [(values.column, name) for values in columns for name in values.names]
    ties = []
    for place in np.flatnonzero(tests.q_values[row] < LEVEL).tolist():
        hits, total = int(tests.hits[row, place]), int(tests.totals[place])
        drawn, everything = int(tests.drawn[row, place]), int(tests.everything[place])
        images = Rate(hits, total)
        ties.append(
            Tie(
                *names[place],
                images=images,
                interval=wilson(images),
                elsewhere=Rate(drawn - hits, everything - total),
                odds=odds_ratio(hits, total, drawn, everything),
                p_value=float(tests.p_values[row, place]),
                q_value=float(tests.q_values[row, place]),
            )
        )
    return tuple(sorted(ties, key=lambda tie: (tie.p_value, -tie.odds, str(tie)))[:TIES])


def _mark(index: Index, cells: Numbers, exemplars: tuple[str, ...], ties: tuple[Tie, ...]) -> Mark:
    images, places = np.divmod(cells, index.manifest.cells_per_image)
    _, per_image = np.unique(images, return_counts=True)
    per_place = np.bincount(places)
    pairs = len(cells) * (len(cells) - 1) - int((per_image * (per_image - 1)).sum())
    same_place = int((per_place * (per_place - 1)).sum())
    row, col = divmod(int(per_place.argmax()), index.grid[1])
    position = position_lift(same_place, pairs, index.grid)
    return Mark(len(cells), len(per_image), position, (row, col), ties, exemplars)


def _rank(mark: Mark) -> tuple[float, int]:
    """By the root of how fixed its place is, times the logarithm of its odds: objects are not fixed."""
    odds = log2(max(mark.ties[0].odds, 1.0))
    return -odds * sqrt(max(mark.position or 1.0, 1.0)), -mark.images


# ------------------------------------------------------------------------------------- on a page


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: all of it."""
    yield Answer(artifacts(index))


def findings(index: Index) -> Iterator[Finding]:
    """Of each split the mark that comes first, if it has its own place.

    Those of labels are the map's, which knows objects from their surroundings; what metadata may say of
    content nobody knows here.
    """
    if "split" not in (values.column for values in columns_of_images(index, usable_images(index))):
        return
    seen: set[str] = set()
    for mark in artifacts(index).marks:
        tie = next((each for each in mark.ties if each.column == "split"), None)
        if tie is None:
            continue
        elsewhere = wilson(tie.elsewhere)
        if (mark.position or 0.0) < FIXED or str(tie) in seen or tie.interval is None or elsewhere is None:
            continue
        strength = tie.interval[0] - elsewhere[1]
        if strength <= 0:
            continue
        seen.add(str(tie))
        sentence = (
            f"A mark in the same places ({times(mark.position)}) follows {tie}: {tie.images.hits} of "
            f"{tie.images.total} of its images ({interval(tie.interval)} %) hold a cell like "
            f"{mark.exemplars[0]}, {tie.elsewhere.hits} of {tie.elsewhere.total} others do."
        )
        words = ("similar", "--patch", mark.exemplars[0])
        cells = mark.exemplars[:SHOWN]
        yield Finding(str(tie), sentence, tie.images, tie.interval, tie.q_value, strength, words, cells)
