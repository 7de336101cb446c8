"""Image-level predictions from the stored cells under other pooling rules than the mean (section 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from auditor.errors import AuditError
from auditor.measure.annotations import cells_on
from auditor.measure.rates import wilson
from auditor.measure.scores import are_surer, require_scores
from auditor.questions.pool.record import Effect, PoolChange, Pooling, PoolRow, PoolRule
from auditor.records import Rate
from auditor.report.wish import Answer, Wish
from auditor.store import Index, once
from auditor.store.scores import Scores

TOP = 5
RULES: tuple[PoolRule, ...] = get_args(PoolRule)

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cells:
    """An image: cell scores (N, K), which cells are foreground, and the rules' two constants."""

    scores: Scores
    foreground: Flags
    temperature: float
    tau: float


Rule = Callable[[Cells], Scores | None]
"""Scores (K,) of the image; None where the rule keeps no cell."""


def _average(scores: Scores) -> Scores | None:
    return scores.mean(axis=0) if len(scores) else None


def _log_sum_exp(cells: Cells) -> Scores:
    """T log mean exp(z / T): the mean as T grows, the maximum as T falls to 0."""
    scaled = cells.scores / cells.temperature
    top = scaled.max(axis=0)
    return np.asarray(cells.temperature * (top + np.log(np.exp(scaled - top).mean(axis=0))))


POOLED: Mapping[PoolRule, Rule] = {
    "mean": lambda cells: _average(cells.scores),
    "max": lambda cells: cells.scores.max(axis=0),
    "top5": lambda cells: np.sort(cells.scores, axis=0)[-TOP:].mean(axis=0),
    "lse": _log_sum_exp,
    "foreground": lambda cells: _average(cells.scores[cells.foreground]),
    "threshold": lambda cells: _average(cells.scores[are_surer(cells.scores, cells.tau)]),
}
"""The rules; top5 averages the five largest scores of each class by itself."""


@once
def pool(
    index: Index, *, rules: Sequence[PoolRule] = RULES, temperature: float = 1.0, tau: float = 0.5
) -> Pooling:
    """Accuracy and changed predictions under each rule; BackboneError where the head is not affine.

    A prediction is right where it is the image's label, as in Top-1 of the metrics.
    """
    if temperature <= 0:
        raise AuditError(f"the temperature of lse is above zero, not {temperature}")
    images = index.query(
        "SELECT id, path, label, top5_original[1] AS top1 FROM images WHERE usable ORDER BY id"
    )
    ids, labels, own = images["id"], np.ma.filled(images["label"], -1), np.ma.getdata(images["top1"])
    chosen = tuple(dict.fromkeys(("mean", *rules)))  # the mean is always needed: it is what must agree
    predicted, empty = _predict(index, ids, chosen, temperature, tau)
    names = [known.name for known in index.manifest.classes]
    accuracy = _accuracy(own, labels)
    return Pooling(
        index=index.name,
        readout=index.manifest.readout,
        temperature=temperature,
        tau=tau,
        own=accuracy,
        own_interval=wilson(accuracy),
        agreement=Rate(int((predicted["mean"] == own).sum()), len(own)),
        rows=tuple(_row(rule, predicted[rule], own, labels, empty[rule]) for rule in rules),
        changes=tuple(
            PoolChange(rule, str(images["path"][i]), names[own[i]], names[predicted[rule][i]], effect)
            for rule in rules
            for i, effect in _changes(predicted[rule], own, labels)
        ),
    )


def parse_rules(text: str) -> tuple[PoolRule, ...]:
    """Rules from their names divided by commas, each once."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in RULES:
            raise AuditError(f"{name!r} is no pooling rule; there are: {', '.join(RULES)}")
    return tuple(rule for name in dict.fromkeys(names) for rule in RULES if rule == name)


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: section 6."""
    yield Answer(pool(index))


def _predict(
    index: Index, ids: NDArray[np.integer], rules: Sequence[PoolRule], temperature: float, tau: float
) -> tuple[dict[PoolRule, NDArray[np.int64]], dict[PoolRule, int]]:
    """The class of each image under each rule, and for how many images a rule kept no cell."""
    stored, foreground = require_scores(index), cells_on(index, "foreground")
    predicted: dict[PoolRule, NDArray[np.int64]] = {rule: np.zeros(len(ids), np.int64) for rule in rules}
    empty = dict.fromkeys(rules, 0)
    for position, (image, scores) in enumerate(zip(ids.tolist(), stored.each(ids), strict=True)):
        cells = Cells(scores, foreground[image], temperature, tau)
        for rule in rules:
            pooled = POOLED[rule](cells)
            empty[rule] += pooled is None
            predicted[rule][position] = (cells.scores.mean(axis=0) if pooled is None else pooled).argmax()
    return predicted, empty


def _row(
    rule: PoolRule,
    predicted: NDArray[np.integer],
    own: NDArray[np.integer],
    labels: NDArray[np.integer],
    fallbacks: int,
) -> PoolRow:
    accuracy = _accuracy(predicted, labels)
    effects = [effect for _, effect in _changes(predicted, own, labels)]
    gained, lost = effects.count("gained"), effects.count("lost")
    return PoolRow(rule, accuracy, wilson(accuracy), len(effects), gained, lost, fallbacks)


def _changes(
    predicted: NDArray[np.integer], own: NDArray[np.integer], labels: NDArray[np.integer]
) -> Iterator[tuple[int, Effect]]:
    """Positions of the images whose prediction is not the model's own, and what that does to the label."""
    for position in np.flatnonzero(predicted != own).tolist():
        label = labels[position]
        is_gain, is_loss = predicted[position] == label, own[position] == label
        yield position, "gained" if is_gain else "lost" if is_loss else "neither"


def _accuracy(predicted: NDArray[np.integer], labels: NDArray[np.integer]) -> Rate:
    """Images with a label (not -1) whose prediction it is."""
    return Rate(int((predicted == labels).sum()), int((labels >= 0).sum()))
