"""Asking of every region that a class wins whether somebody said so, and whether its neighbours agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.measure.annotations import Annotations, read_annotations
from auditor.measure.counts import require_head
from auditor.measure.guesses import Guesses
from auditor.measure.rates import wilson
from auditor.measure.significance import correct, exceeds
from auditor.questions.causes.ask import Said, judge
from auditor.questions.causes.ask import Shown as Wins
from auditor.questions.labels.record import Labels, MissingLabel, WrongLabel
from auditor.records import SIGNIFICANT, Rate
from auditor.records.watch import Silence, Watch
from auditor.report.findings import Finding
from auditor.report.text import interval, plural
from auditor.report.wish import Answer, Wish
from auditor.search.regions import Regions, Shown, find_regions, read_shown
from auditor.store import Index, once

RUNS = 20  # exchanges
LOWEST = 0.05  # of given labels: a missing one that scores no higher than these is not certain
LEAST = 3  # certain images that make a finding
SHOWN = 3  # cells that show it

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Listed:
    """A list, best first: regions, scores, tests, what is certain; `given` are the labels that are wrong."""

    region: Numbers
    score: Shares
    hits: Numbers
    totals: Numbers
    p_values: Shares
    q_values: Shares
    is_certain: Flags
    given: Numbers
    is_suspect: Flags


@once
def labels(index: Index, *, watch: Watch | None = None) -> Labels:
    """Both lists, and what exchanged labels would give; DatasetError where no image is labelled."""
    require_head(index)
    shown = read_shown(index)
    said = read_annotations(index, shown.ids)
    if not said.is_labelled.any():
        raise DatasetError(
            f"no image of {index.name} is labelled with a class of its head: no label is missing or wrong"
        )
    regions = find_regions(index, shown, said, watch or Silence())
    missing, wrong = _list(shown, regions, said)
    rng = np.random.default_rng(0)
    by_chance = []
    for _ in range(RUNS):
        lists = _list(shown, regions, said.exchanged(rng))
        by_chance.append([int(each.is_certain.sum()) for each in lists])
    return Labels(
        index=index.name,
        images=int(said.is_labelled.sum()),
        regions=regions.count,
        level=SIGNIFICANT,
        out_of_fold=index.manifest.has_own_probe,
        missing=tuple(_missing_rows(index, shown, regions, missing)),
        wrong=tuple(_wrong_rows(index, shown, regions, wrong)),
        missing_by_chance=tuple(each for each, _ in by_chance),
        wrong_by_chance=tuple(each for _, each in by_chance),
    )


# ------------------------------------------------------------------------------------- the two lists


Agreement = tuple[Numbers, Numbers, Shares]
"""`Regions.agreement`: neighbours that agree with each region, all of them, p."""


def _list(shown: Shown, regions: Regions, said: Annotations) -> tuple[Listed, Listed]:
    """What is missing and what is wrong, if this is what is said."""
    agreement = regions.agreement(said)
    return _missing(shown, regions, said, agreement), _wrong(shown, regions, said, agreement)


def _missing(shown: Shown, regions: Regions, said: Annotations, agreement: Agreement) -> Listed:
    """The best region of every class that an image is not labelled with."""
    hits, totals, p_values = agreement
    place, label = regions.place, regions.label
    whole = shown.images.of(label, place)
    rest = whole * (hits + 1) / (totals + 2)
    score = regions.sureness * rest
    is_label = said.has_label(place, label)
    bar = _bar((place * said.classes + label)[is_label], (regions.p * rest)[is_label])
    chosen = np.flatnonzero(~is_label & said.is_labelled[place])
    chosen = chosen[np.lexsort((chosen, -score[chosen]))]
    _, firsts = np.unique(place[chosen] * said.classes + label[chosen], return_index=True)
    region = chosen[np.sort(firsts)]
    q_values = _correct(p_values[region])
    is_certain = (q_values < SIGNIFICANT) & regions.survives[region] & (score[region] >= bar)
    nothing = np.zeros(len(region), np.int64)
    return Listed(
        region, score[region], hits[region], totals[region], p_values[region], q_values, is_certain,
        nothing, nothing.astype(np.bool_),
    )  # fmt: skip


def _bar(owners: Numbers, scores: Shares) -> float:
    """What LOWEST of the labels that are given fall below, by the best region of each."""
    if not len(owners):
        return float("inf")
    _, owner = np.unique(owners, return_inverse=True)
    return float(np.quantile(_largest(scores, owner, int(owner.max()) + 1), LOWEST))


def _wrong(shown: Shown, regions: Regions, said: Annotations, agreement: Agreement) -> Listed:
    """Every label whose object holds a region of a class that is not assigned and leads."""
    cell, given = said.marks_of(regions.places)
    is_label = said.has_label(cell // said.cells, given)
    cell, given = cell[is_label], given[is_label]
    pairs, pair = np.unique(cell // said.cells * said.classes + given, return_inverse=True)
    places, label = np.divmod(pairs, said.classes)
    row = regions.rows(cell, said.cells)
    suggested = _most_probable(regions.cells, said, cell, row, pair, len(pairs))
    own, other = (
        _largest(regions.cells.of(wanted[pair], row), pair, len(pairs)) for wanted in (label, suggested)
    )
    lead = shown.images.of(suggested, places) - shown.images.of(label, places)
    score = (lead + other - own) / 2
    region = _surest_region(regions, suggested[pair], row, pair, len(pairs))
    kept = np.flatnonzero((score > 0) & (region >= 0))
    kept = kept[np.lexsort((kept, -score[kept]))]
    hits, totals, p_values = agreement
    hits, totals, p_values = hits[region[kept]], totals[region[kept]], p_values[region[kept]]
    is_suspect = _suspect(regions, said, places[kept], label[kept], suggested[kept])
    q_values = _correct(p_values)
    is_certain = (q_values < SIGNIFICANT) & is_suspect
    return Listed(
        region[kept], score[kept], hits, totals, p_values, q_values, is_certain, label[kept], is_suspect
    )


def _most_probable(
    guesses: Guesses, said: Annotations, cell: Numbers, row: Numbers, pair: Numbers, pairs: int
) -> Numbers:
    """For each pair the unassigned class of the largest sum of probabilities in the pair's cells, or -1."""
    top, p = guesses.top[row].astype(np.int64), guesses.p[row]
    place = np.repeat(cell[:, None] // said.cells, top.shape[1], axis=1)
    is_free = ~said.has_label(place, top)
    keys = np.repeat(pair[:, None], top.shape[1], axis=1)[is_free] * said.classes + top[is_free]
    unique, number = np.unique(keys, return_inverse=True)
    sums = np.bincount(number, p[is_free], len(unique))
    owner, label = np.divmod(unique, said.classes)
    order = np.lexsort((label, -sums, owner))
    found, firsts = np.unique(owner[order], return_index=True)
    best = np.full(pairs, -1, np.int64)
    best[found] = label[order][firsts]
    return best


def _largest(values: Shares, pair: Numbers, pairs: int) -> Shares:
    found = np.zeros(pairs)
    np.maximum.at(found, pair, values)
    return found


def _surest_region(regions: Regions, suggested: Numbers, row: Numbers, pair: Numbers, pairs: int) -> Numbers:
    """The region of the suggested class that holds the surest cell of each pair.

    -1 where it wins none, -2 where that region is not asked.
    """
    wins = np.flatnonzero((regions.region_of[row] != -1) & (regions.cells.top[row, 0] == suggested))
    order = wins[np.lexsort((-regions.cells.p[row[wins], 0], pair[wins]))]
    found, firsts = np.unique(pair[order], return_index=True)
    region = np.full(pairs, -1, np.int64)
    region[found] = regions.region_of[row[order][firsts]]
    return region


def _suspect(
    regions: Regions, said: Annotations, places: Numbers, label: Numbers, suggested: Numbers
) -> Flags:
    """The rule of `audit causes`, as if the image were taken for the suggested class."""
    cells = places[:, None] * said.cells + np.arange(said.cells)
    own = said.has_mark(cells, np.repeat(label[:, None], said.cells, axis=1))
    foreground, row = said.foreground_of(places), regions.rows(cells, said.cells)
    top, p = regions.cells.top[row, 0], regions.cells.p[row, 0]
    wins = Wins(suggested, top.astype(np.int64), p.astype(np.float64))
    holds: Flags = judge(wins, Said(label, own, foreground & ~own, ~foreground))[0]
    return holds


def _correct(p_values: Shares) -> Shares:
    return np.array(correct(p_values.tolist()), dtype=np.float64)


# ------------------------------------------------------------------------------------- as rows


def _missing_rows(index: Index, shown: Shown, regions: Regions, found: Listed) -> Iterator[MissingLabel]:
    boxes = regions.boxes(index.grid)
    for row, region in enumerate(found.region.tolist()):
        path, label = str(shown.paths[regions.place[region]]), int(regions.label[region])
        yield MissingLabel(
            path=path,
            label=label,
            name=index.manifest.classes[label].name,
            cell=_cell(index, path, int(regions.surest[region])),
            box=boxes[region],
            cells=int(regions.size[region]),
            score=float(found.score[row]),
            survives=bool(regions.survives[region]),
            agree=Rate(int(found.hits[row]), int(found.totals[row])),
            p_value=float(found.p_values[row]),
            q_value=float(found.q_values[row]),
            is_certain=bool(found.is_certain[row]),
        )


def _wrong_rows(index: Index, shown: Shown, regions: Regions, found: Listed) -> Iterator[WrongLabel]:
    names, boxes = [known.name for known in index.manifest.classes], regions.boxes(index.grid)
    for row, region in enumerate(found.region.tolist()):
        path = str(shown.paths[regions.place[region]])
        label, suggested = int(found.given[row]), int(regions.label[region])
        yield WrongLabel(
            path=path,
            label=label,
            name=names[label],
            suggested=suggested,
            suggested_name=names[suggested],
            cell=_cell(index, path, int(regions.surest[region])),
            box=boxes[region],
            score=float(found.score[row]),
            is_suspect=bool(found.is_suspect[row]),
            agree=Rate(int(found.hits[row]), int(found.totals[row])),
            p_value=float(found.p_values[row]),
            q_value=float(found.q_values[row]),
            is_certain=bool(found.is_certain[row]),
        )


def _cell(index: Index, path: str, cell: int) -> str:
    row, col = divmod(cell % index.manifest.cells_per_image, index.grid[1])
    return f"{path}:{row},{col}"


# ------------------------------------------------------------------------------------- on a page


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: all of it."""
    yield Answer(labels(index))


def findings(index: Index) -> Iterator[Finding]:
    """Classes that several images certainly lack, or bear wrongly, more than any exchange of labels gives."""
    answer = labels(index)
    sentences = {
        "missing": "{name} is missing among the labels of {images}: it wins cells that are no labelled "
        "object's, and the cells most like them are labelled with it",
        "wrong": "{images} labelled {name} show another class in their object, which the cells most like it "
        "confirm",
    }
    for kind, sentence in sentences.items():
        rows: Sequence[MissingLabel | WrongLabel] = getattr(answer, kind)
        certain = [row for row in rows if row.is_certain]
        worst = max(getattr(answer, f"{kind}_by_chance"))
        for name, images in Counter(row.name for row in certain).items():
            rate = Rate(images, answer.images)
            bounds, p_value = wilson(rate), exceeds(images, answer.images, worst / answer.images)
            if images < LEAST or images <= worst or p_value >= SIGNIFICANT or bounds is None:
                continue
            said = sentence.format(name=name, images=plural(images, "image"))
            said += f" ({interval(bounds)} % of all images; {worst} with exchanged labels)."
            cells = tuple(row.cell for row in certain if row.name == name)[:SHOWN]
            yield Finding(name, said, rate, bounds, p_value, bounds[0], ("labels",), cells)
