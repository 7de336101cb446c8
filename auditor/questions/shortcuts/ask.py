"""Parting the background that says a class into contexts, and asking of each whose images it is found in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from auditor.errors import BackboneError
from auditor.measure.rates import wilson
from auditor.measure.scores import TOGETHER, evidence
from auditor.measure.shrinkage import shrink
from auditor.measure.significance import over_represented
from auditor.measure.staying import Staying, find_staying
from auditor.questions.ledger.ask import exact_scores
from auditor.questions.shortcuts.record import ClassShortcut, Context, Shortcuts, certain
from auditor.records import Rate
from auditor.records.watch import Silence, Watch
from auditor.report.findings import Finding
from auditor.report.text import interval, percent, share
from auditor.report.wish import Answer, Wish
from auditor.search.cluster import central_cells, name_cells
from auditor.search.partition import SAMPLE, part_cells
from auditor.store import Index, once

LEVEL = 0.01  # of q: in 99 of 100 data sets whose labels mean nothing no context is certain
RUNS = 20  # exchanges of labels
MOST = 4  # contexts of a class
TESTED = (2, 3)  # images of the class, and images with the context, that a test needs
FOUND = 0.1  # of the class's images more than of others, at least; six sets without faults gave 0.08 at most
SHOWN = 3  # exemplars that show a finding

Numbers = NDArray[np.int64]


@once
def shortcuts(index: Index, *, seed: int = 0, watch: Watch | None = None) -> Shortcuts:
    """The contexts of every labelled class whose background says it where every object is covered.

    DatasetError where no background cell is free of objects, or none was seen with the objects covered.
    """
    staying, watch = find_staying(index), watch or Silence()
    rows = rank_classes(staying, [each.name for each in index.manifest.classes])
    groups = _Groups(index, staying)
    said = [row for row in rows if row.stays.hits]
    watch.start("contexts", len(said))
    for row in said:
        groups.part(row.label, seed)
        watch.advance(1)
    shares, reason = _logit_shares(index, staying, groups, watch)
    contexts = tuple(_contexts(index, staying, groups, shares))
    rng = np.random.default_rng(seed)
    exchanged = [groups.test(staying.exchanged(rng), LEVEL)[2] for _ in range(RUNS)]
    return Shortcuts(
        index=index.name,
        images=len(staying.images),
        level=LEVEL,
        contexts=contexts,
        classes=tuple(replace(row, logit_share=_add(contexts, row.label)) for row in rows),
        by_chance=tuple(sum(map(_is_certain, q_values)) for q_values in exchanged),
        reason=reason,
    )


# ------------------------------------------------------------------------------------- of classes


def rank_classes(staying: Staying, names: Sequence[str]) -> list[ClassShortcut]:
    """Every labelled class, those first that say most beyond chance."""
    rows, groups, hits, chances = [], [], [], []
    for label in np.unique(staying.labels // len(staying.images)).tolist():
        own, counts = staying.are_of(label), staying.counts(label)
        by_chance = staying.chances(label, counts)
        rows.append(
            ClassShortcut(
                label=label,
                name=names[label],
                images=int(own.sum()),
                stays=Rate(int((counts[own] > 0).sum()), int(own.sum())),
                chance=None if by_chance is None else float(by_chance[own].mean()),
                expected=None,
                extent=float((counts[own] / staying.free[own]).mean()),
                logit_share=None,
            )
        )
        if by_chance is not None:
            groups += [label] * rows[-1].images
            hits += (counts[own] > 0).tolist()
            chances += by_chance[own].tolist()
    expected = shrink(np.array(groups, int), np.array(hits, bool), np.array(chances), len(names))
    rows = [row if row.chance is None else replace(row, expected=float(expected[row.label])) for row in rows]
    return sorted(rows, key=_rank)


def _rank(row: ClassShortcut) -> tuple[bool, float, float, int]:
    """By the shrunk share; a class of one image stands behind all of several that say more than chance."""
    return not row.is_ahead, -(row.expected or 0.0), -row.extent, row.label


# ------------------------------------------------------------------------------------- of contexts


class _Groups:
    """The staying cells of classes, parted into contexts that are numbered from 1; cells of none have 0.

    `labels` are the classes of the contexts, `central` the ids of the cells that stand for them. `members`
    (m, 2) are the context (from 0) and the image, as a place, of every image that holds a free cell of one.
    """

    def __init__(self, index: Index, staying: Staying) -> None:
        self._index, self._staying = index, staying
        self.numbers = np.zeros(len(staying.cells), np.int64)
        self.labels: list[int] = []
        self.central: list[list[int]] = []
        self.members = np.zeros((0, 2), np.int64)

    def part(self, label: int, seed: int) -> None:
        """Part the cells of one class."""
        staying = self._staying
        chosen = np.flatnonzero(staying.classes == label)
        chosen = chosen[~self._index.is_empty(staying.cells[chosen])]
        rng = np.random.default_rng(seed)
        sampled = np.sort(rng.permutation(staying.cells[chosen])[:SAMPLE])
        parts = part_cells(self._index, staying.cells[chosen], sampled, MOST, seed)
        own = staying.are_of(label)[staying.places[chosen]] & staying.is_free[chosen]
        for part in np.unique(parts[own]).tolist():
            inside = parts == part
            self.labels.append(label)
            self.numbers[chosen[inside]] = len(self.labels)
            shown = staying.cells[chosen[inside & own]]
            self.central.append(central_cells(self._index, shown))
            places = np.unique(staying.places[chosen[inside & staying.is_free[chosen]]])
            pairs = np.stack([np.full(len(places), len(self.labels) - 1), places], axis=1)
            self.members = np.concatenate([self.members, pairs])

    def test(
        self, staying: Staying, level: float = 1.0
    ) -> tuple[Numbers, Numbers, list[float | None], list[float | None]]:
        """Of every context the images of its class and all that hold it; q and p where it can be tested.

        A p whose q is not below `level` may be given as 1.
        """
        labels, images = np.array(self.labels, np.int64), len(staying.images)
        context, place = self.members.T
        hits = np.bincount(context, staying.has(labels[context], place), len(labels)).astype(np.int64)
        drawn, totals = np.bincount(context, minlength=len(labels)), staying.totals[labels]
        tested = np.flatnonzero((totals >= TESTED[0]) & (totals < images) & (drawn >= TESTED[1]))
        found = (
            over_represented(hits[tested], totals[tested], drawn[tested], images, level)
            if len(tested)
            else ((), ())
        )
        p_values, q_values = (dict(zip(tested.tolist(), map(float, each), strict=True)) for each in found)
        contexts = range(len(labels))
        return hits, drawn, [q_values.get(k) for k in contexts], [p_values.get(k) for k in contexts]


def _logit_shares(
    index: Index, staying: Staying, groups: _Groups, watch: Watch
) -> tuple[list[float | None], str | None]:
    """Of every context the share of its class's logit; why there is none where the head has no ledger."""
    try:
        scores = exact_scores(index)
    except BackboneError as reason:
        return [None] * len(groups.labels), str(reason)
    added = np.zeros(len(groups.labels) + 1)  # by number; 0 is no context
    whole = np.zeros(len(index.manifest.classes))
    labels, width = np.array([-1, *groups.labels]), index.manifest.cells_per_image
    named, places = np.divmod(staying.labels, len(staying.images))
    of_class = np.unique(places[np.isin(named, labels[1:])])
    order = np.argsort(places, kind="stable")
    order = order[np.isin(places[order], of_class)]
    named, places = named[order], places[order]
    own = np.flatnonzero((groups.numbers > 0) & staying.has(staying.classes, staying.places))
    pairs, pair = np.unique(staying.places[own] * len(labels) + groups.numbers[own], return_inverse=True)
    holder, number = np.divmod(pairs, len(labels))
    rank = np.arange(len(pairs)) - np.searchsorted(holder, holder)  # in its image; behind them is all of it
    count = np.bincount(np.searchsorted(of_class, holder), minlength=len(of_class))
    watch.start("shares of logits", len(of_class))
    for start in range(0, len(of_class), TOGETHER):
        block, counts = (each[start : start + TOGETHER] for each in (of_class, count))
        here, held, said = (
            slice(*np.searchsorted(each, (block[0], block[-1] + 1)))
            for each in (holder[pair], holder, places)
        )  # all in order of their images
        masks = np.zeros((len(block), 1 + int(counts.max()), width))
        masks[np.arange(len(block)), counts] = 1 / width
        row, of_cell = np.searchsorted(block, holder[pair[here]]), pair[here]
        masks[row, rank[of_cell], staying.cells[own[here]] % width] = 1 / width
        parts = np.zeros((*masks.shape[:2], len(whole)), np.float32)
        for size in np.unique(counts):
            chosen = np.flatnonzero(counts == size)
            of_size = evidence(scores, staying.images[block[chosen]], masks[chosen, : size + 1])
            parts[chosen, : size + 1] = of_size
        row = np.searchsorted(block, holder[held])
        np.add.at(added, number[held], parts[row, rank[held], labels[number[held]]])
        row = np.searchsorted(block, places[said])
        np.add.at(whole, named[said], parts[row, counts[row], named[said]])
        watch.advance(len(block))
    shares = [
        float(part / whole[label]) if whole[label] > 0 else None
        for part, label in zip(added[1:], groups.labels, strict=True)
    ]
    return shares, None


def _is_certain(q_value: float | None) -> bool:
    return q_value is not None and q_value < LEVEL


def _contexts(
    index: Index, staying: Staying, groups: _Groups, shares: list[float | None]
) -> Iterator[Context]:
    """Class after class, the context that most of its images hold first."""
    hits, drawn, q_values, p_values = groups.test(staying)
    totals = staying.totals
    own = (groups.numbers > 0) & staying.has(staying.classes, staying.places)
    cells = np.bincount(groups.numbers[own], minlength=len(groups.labels) + 1)[1:]
    exemplars = name_cells(index, groups.central)
    order = {label: number for number, label in enumerate(dict.fromkeys(groups.labels))}
    for k in sorted(range(len(groups.labels)), key=lambda k: (order[groups.labels[k]], -hits[k], -cells[k])):
        label = groups.labels[k]
        total = int(totals[label])
        images = Rate(int(hits[k]), total)
        yield Context(
            label=label,
            name=index.manifest.classes[label].name,
            cells=int(cells[k]),
            images=images,
            interval=wilson(images),
            elsewhere=Rate(int(drawn[k] - hits[k]), len(staying.images) - total),
            logit_share=shares[k],
            p_value=p_values[k],
            q_value=q_values[k],
            is_certain=_is_certain(q_values[k]),
            exemplars=exemplars[k],
        )


def _add(contexts: Sequence[Context], label: int) -> float | None:
    """The share of all contexts of a class; None where it has none, or theirs is not known."""
    shares = [each.logit_share for each in contexts if each.label == label and each.logit_share is not None]
    return sum(shares) if shares else None


# ------------------------------------------------------------------------------------- on a page


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: all of it."""
    yield Answer(shortcuts(index))


def findings(index: Index) -> Iterator[Finding]:
    """Of each class the certain context that its images hold most certainly more often than others."""
    strongest: dict[int, Finding] = {}
    for context in certain(shortcuts(index)):
        elsewhere = wilson(context.elsewhere)
        if context.interval is None or elsewhere is None:
            continue
        strength = context.interval[0] - elsewhere[1]
        known = strongest.get(context.label)
        if strength > (known.strength if known else FOUND):
            strongest[context.label] = _finding(context, strength)
    yield from strongest.values()


def _finding(context: Context, strength: float) -> Finding:
    gives = (
        ""
        if context.logit_share is None
        else f"; such cells give {share(context.logit_share)} % of its logit"
    )
    sentence = (
        f"Background like {context.exemplars[0]} fires {context.name} even where all objects are covered: "
        f"{percent(context.images)} % of {context.images.total} images ({interval(context.interval)}) hold "
        f"such cells away from every object, {context.elsewhere.hits} of {context.elsewhere.total} other "
        f"images do{gives}."
    )
    words = ("similar", "--patch", context.exemplars[0])
    cells = context.exemplars[:SHOWN]
    return Finding(
        context.name, sentence, context.images, context.interval, context.q_value, strength, words, cells
    )
