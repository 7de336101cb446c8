"""Assigning each wrong image its cause, from what its stored cells show and where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.measure.counts import require_head
from auditor.measure.rates import wilson
from auditor.measure.significance import correct, exceeds
from auditor.questions.causes.record import CAUSES, Causes, CauseShare, ClassCauses, WrongImage
from auditor.records import SIGNIFICANT, Rate
from auditor.report.findings import Finding
from auditor.report.text import interval, percent, share
from auditor.report.wish import Answer, Wish
from auditor.store import Index, once

MOST = 0.5  # of the object's cells, and the mean probability there, that make a label suspect
RUNS = 20  # shuffles
LEAST = 5  # wrong images of a class that is tested
FOUND = 0.1  # of a class's wrong images that are background-driven beyond chance, at least
SHOWN = 3  # images that show a finding

Flags = NDArray[np.bool_]
Classes = NDArray[np.int64]

LABELLED = """
SELECT label, count(*) AS images FROM images WHERE usable AND label IS NOT NULL GROUP BY label ORDER BY label
"""
WRONG = """
SELECT id, path, label, top5_original[1] AS predicted FROM images
WHERE usable AND label IS NOT NULL AND top5_original[1] <> label ORDER BY id
"""
CELLS = """
SELECT top1, top5_p[1] AS p, coalesce(cells.foreground, true) AS foreground, cells.foreground IS NOT NULL
  AS known, cells.foreground IS NULL OR coalesce(list_contains(present, label), false) AS own
FROM cells JOIN images ON images.id = image
WHERE usable AND label IS NOT NULL AND top5_original[1] <> label AND variant = 0 ORDER BY image, cell
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What wrong images (n,) are taken for, and the class and its probability in their cells (n, N)."""

    predicted: Classes
    top1: Classes
    probability: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of images: label (n,), the cells (n, N) of its object, of others, of the background."""

    labels: Classes
    own: Flags
    others: Flags
    background: Flags

    def exchanged(self, order: Classes) -> Said:
        """Label and annotation of other images, by their place."""
        return Said(self.labels[order], self.own[order], self.others[order], self.background[order])


@once
def causes(index: Index) -> Causes:
    """Every wrong image with its cause; the causes over all, by class, and as chance would have them."""
    require_head(index)
    sizes = index.query(LABELLED)
    labelled = dict(zip(sizes["label"].tolist(), sizes["images"].tolist(), strict=True))
    if not labelled:
        raise DatasetError(f"no image of {index.name} is labelled with a class of its head: none is wrong")
    rows = index.query(WRONG)
    shown, said, is_annotated = _read(index, rows)
    holds = judge(shown, said)
    cause = holds.argmax(axis=0)  # the first that holds
    chances = _by_chance(shown, said)
    return Causes(
        index=index.name,
        wrong=Rate(len(cause), sum(labelled.values())),
        annotated=Rate(int(is_annotated.sum()), len(cause)),
        causes=tuple(_shares(cause, holds, chances)),
        classes=tuple(_by_class(index, labelled, said.labels, cause, chances)),
        images=tuple(_images(index, rows["path"].tolist(), cause, shown, said)),
    )


def judge(shown: Shown, said: Said) -> Flags:
    """Which causes (5, n), in their order of precedence, hold for each image: one at least."""
    wins, right = shown.top1 == shown.predicted[:, None], shown.top1 == said.labels[:, None]
    on_object, on_others, on_background = (
        _share(wins, place) for place in (said.own, said.others, said.background)
    )
    certain = (shown.probability * (wins & said.own)).sum(axis=1) >= MOST * (wins & said.own).sum(axis=1)
    is_shown = (right & said.own).any(axis=1)
    return np.stack(
        [
            (on_object >= MOST) & (on_object > on_background) & certain & ~right.any(axis=1),
            (on_others > on_object) & (on_others >= on_background),
            (on_background > on_object) & (on_background > on_others),
            is_shown,
            ~is_shown,
        ]
    )


def _share(wins: Flags, place: Flags) -> NDArray[np.float64]:
    """The share (n,) of the cells of a place that are won; 0 where the image has no such cell."""
    return np.asarray((wins & place).sum(axis=1) / np.maximum(place.sum(axis=1), 1))


def _read(index: Index, rows: dict[str, NDArray[Any]]) -> tuple[Shown, Said, Flags]:
    """The wrong images, and which of them (n,) are annotated."""
    cells = index.query(CELLS)
    shape = (len(rows["id"]), index.manifest.cells_per_image)
    top1, foreground, known, own = (
        np.ma.getdata(cells[name]).reshape(shape) for name in ("top1", "foreground", "known", "own")
    )
    probability = np.ma.filled(cells["p"], 0.0).astype(np.float64).reshape(shape)
    labels, predicted = (np.asarray(rows[name], dtype=np.int64) for name in ("label", "predicted"))
    said = Said(labels, own.astype(np.bool_), foreground & ~own, ~foreground)
    is_annotated = np.asarray(known.any(axis=1), dtype=np.bool_)
    return Shown(predicted, np.asarray(top1, dtype=np.int64), probability), said, is_annotated


def _by_chance(shown: Shown, said: Said) -> NDArray[np.float64]:
    """How often (5, n) each image has each cause under label and annotation of another; NaN where never."""
    count = len(shown.predicted)
    assigned, drawn = np.zeros((len(CAUSES), count)), np.zeros(count)
    rng = np.random.default_rng(0)
    for _ in range(RUNS if count > 1 else 0):
        order = rng.permutation(count)
        other = said.exchanged(order)
        is_wrong = (other.labels != shown.predicted) & (order != np.arange(count))
        assigned[judge(shown, other).argmax(axis=0)[is_wrong], np.flatnonzero(is_wrong)] += 1
        drawn += is_wrong
    return np.divide(assigned, drawn, out=np.full_like(assigned, np.nan), where=drawn > 0)


def _shares(cause: Classes, holds: Flags, chances: NDArray[np.float64]) -> Iterator[CauseShare]:
    for number, (name, known) in enumerate(CAUSES.items()):
        images = Rate(int((cause == number).sum()), len(cause))
        also = Rate(int(holds[number].sum()), len(cause))
        chance = _mean(chances[number])
        yield CauseShare(name, known.title, known.definition, images, wilson(images), chance, also)


def _mean(chances: NDArray[np.float64]) -> float | None:
    known = chances[~np.isnan(chances)]
    return float(known.mean()) if len(known) else None


def _by_class(
    index: Index, labelled: dict[int, int], labels: Classes, cause: Classes, chances: NDArray[np.float64]
) -> list[ClassCauses]:
    """A row for every class with a wrong image, most of them first."""
    background = list(CAUSES).index("background")
    wrong = np.unique(labels).tolist()
    counts = {label: np.bincount(cause[labels == label], minlength=len(CAUSES)) for label in wrong}
    by_chance = {label: _mean(chances[background, labels == label]) for label in wrong}
    p_values = [
        None if (chance := by_chance[label]) is None or counts[label].sum() < LEAST
        else exceeds(int(counts[label][background]), int(counts[label].sum()), chance)
        for label in wrong
    ]  # fmt: skip
    rows = []
    for label, p_value, q_value in zip(wrong, p_values, correct(p_values), strict=True):
        total = int(counts[label].sum())
        rows.append(
            ClassCauses(
                label=label,
                name=index.manifest.classes[label].name,
                wrong=Rate(total, labelled[label]),
                **{name: Rate(int(hits), total) for name, hits in zip(CAUSES, counts[label], strict=True)},
                background_chance=by_chance[label],
                p_value=p_value,
                q_value=q_value,
            )
        )
    return sorted(rows, key=lambda row: (-row.wrong.hits, row.wrong.total, row.label))


def _images(index: Index, paths: list[str], cause: Classes, shown: Shown, said: Said) -> Iterator[WrongImage]:
    """The wrong images; what is counted of their cells is counted of all at once."""
    classes, names = index.manifest.classes, list(CAUSES)
    wins, right = shown.top1 == shown.predicted[:, None], shown.top1 == said.labels[:, None]
    surest = np.where(wins, shown.probability, -1.0).argmax(axis=1)
    facts = zip(
        paths,
        *(each.tolist() for each in (said.labels, shown.predicted, cause, wins.any(axis=1), surest)),
        _means(shown.probability, wins & said.own),
        _rates(right, said.own),
        *(_rates(wins, place) for place in (said.own, said.others, said.background)),
        strict=True,
    )
    for path, label, predicted, number, is_won, cell, mean, own, on_object, on_others, on_background in facts:
        yield WrongImage(
            path=path,
            label=label,
            name=classes[label].name,
            predicted=predicted,
            predicted_name=classes[predicted].name,
            cause=names[number],
            right=own,
            on_object=on_object,
            on_others=on_others,
            on_background=on_background,
            probability=mean,
            cell=f"{path}:{cell // index.grid[1]},{cell % index.grid[1]}" if is_won else None,
        )


def _rates(wins: Flags, place: Flags) -> Iterator[Rate]:
    """Of each image the cells of a place that are won."""
    return map(Rate, (wins & place).sum(axis=1).tolist(), place.sum(axis=1).tolist())


def _means(values: NDArray[np.float64], chosen: Flags) -> list[float | None]:
    """Of each image the mean of the chosen cells; None where there are none."""
    counts = chosen.sum(axis=1)
    firsts, has_any = np.cumsum(counts) - counts, counts > 0
    means = np.add.reduceat(values[chosen], firsts[has_any]) / counts[has_any]
    found = iter(means.tolist())
    return [next(found) if count else None for count in counts.tolist()]


# ------------------------------------------------------------------------------------- on a page


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: all of it."""
    yield Answer(causes(index))


def findings(index: Index) -> Iterator[Finding]:
    """Classes whose wrong images are background-driven, more of them than with exchanged labels."""
    answer = causes(index)
    for row in answer.classes:
        bounds, chance = wilson(row.background), row.background_chance
        if bounds is None or chance is None or row.q_value is None or row.q_value >= SIGNIFICANT:
            continue
        strength = bounds[0] - chance
        if strength < FOUND:
            continue
        sentence = (
            f"{row.name} loses images to their surroundings: in {percent(row.background)} % of its "
            f"{row.background.total} wrong images ({interval(bounds)}) the predicted class wins more of the "
            f"background than of any object; with exchanged labels in {share(chance)} %."
        )
        of_class = (each for each in answer.images if each.label == row.label and each.cause == "background")
        cells = tuple(each.cell for each in of_class if each.cell is not None)[:SHOWN]
        yield Finding(row.name, sentence, row.background, bounds, row.q_value, strength, ("causes",), cells)
