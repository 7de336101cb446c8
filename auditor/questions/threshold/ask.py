"""Keeping only the cells that some score is sure of: Loc. and BG Act. over the threshold (A.3, Figures 5, 6).

Four scores of a cell: its largest softmax probability; 1 - H(p) / log K; and the cosine of its feature, and
of its class scores, with the prototype of the class that it predicts. A prototype is the mean of the
unit-length vectors of a class's correct foreground cells, in images that are not evaluated. (The paper leaves
open whether one prototype serves all classes; here each class has its own.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.errors import BackboneError, DatasetError, IndexMismatch
from auditor.measure.absence import explain_absence
from auditor.measure.counts import CLASSES, IMAGE_CELLS, PAIR_CELLS, Counts, Target, require_head
from auditor.measure.scores import require_scores
from auditor.questions.threshold.record import CellScore, ThresholdPoint, Thresholds
from auditor.records import Rate
from auditor.records.watch import Silence, Watch
from auditor.report.wish import Answer, Wish
from auditor.store import Index, once
from auditor.store.kin import require_same_features
from auditor.store.scores import BLOCK

TAUS = np.arange(41) / 40
PARTS = 5  # one part of the images gives the prototypes, the others are evaluated

Ids = NDArray[np.int64]
Values = NDArray[np.float32]
Space = Callable[[Index, Ids], Iterator[Values]]
"""The vectors (n, H * W, D) of the cells of some images at a time, in order."""

SPACES: Mapping[CellScore, Space] = {
    "feature_fg": lambda index, images: (
        index.grids(block) for block in np.split(images, range(BLOCK, len(images), BLOCK))
    ),
    "logit_fg": lambda index, images: require_scores(index).blocks(images),
}

FOREGROUND = (
    IMAGE_CELLS
    + "SELECT image, cell, top1, list_contains(here, top1) AS hit, "
    + "len(list_intersect(here, $classes::INTEGER[])) > 0 AS counts, "
    + "list_contains(list_intersect(here, $classes::INTEGER[]), top1) AS counted_hit FROM evaluated "
    + "WHERE variant = 0 AND len(here) > 0 AND image BETWEEN $first AND $last ORDER BY image, cell"
)
"""Foreground cells; those that `counts`, and are hit, where only some classes are evaluated."""
BACKGROUND = (
    PAIR_CELLS
    + "SELECT image, class, cell, hit FROM seen WHERE variant = 0 AND bg AND image BETWEEN $first AND $last "
    + "ORDER BY image, class, cell"
)
SHOWN = (
    "SELECT image, cell, top1, top5_p[1] AS p, entropy FROM cells JOIN images ON images.id = image "
    "WHERE usable AND variant = 0 AND image BETWEEN $first AND $last ORDER BY image, cell"
)
READ = 10_000  # images whose cells are read at a time


@dataclass(frozen=True, slots=True)
class Division:
    """The images (ids) of `calibration` that give prototypes, and those of the index that are evaluated."""

    name: str
    calibration: Index
    given: Ids
    evaluated: Ids


@once
def threshold(
    index: Index,
    *,
    calibration: Index | str | None = None,
    target: Target = "all",
    watch: Watch | None = None,
) -> Thresholds:
    """The curve of every score. `calibration` is an index, a split, or by default a fifth of the images.

    Class scores come from the head's matrix: where it is not affine there is no logit prototype, and a note.
    """
    require_head(index)
    if (reason := explain_absence(index)) is not None:
        raise DatasetError(reason)
    division = _divide(index, calibration)
    learnt = _foreground(division.calibration, division.given, target)
    shown = _read(index, SHOWN, division.evaluated)
    known = np.unique(learnt["top1"][learnt["hit"]])
    if not len(known):
        raise DatasetError("no foreground cell of the calibration images is predicted correctly; give others")
    foreground = _foreground(index, division.evaluated, target, known)
    background = _read(index, BACKGROUND.format(classes=CLASSES[target]), division.evaluated)
    covered = _covered(index, foreground, background, known)
    scores, notes = _score_cells(index, division, learnt, shown, watch or Silence())
    return Thresholds(
        index=index.name,
        calibration=division.name,
        calibration_images=len(division.given),
        images=len(division.evaluated),
        classes=len(index.manifest.classes),
        prototypes=len(known),
        unknown_cells=int((~np.isin(shown["top1"], known)).sum()),
        points=tuple(
            ThresholdPoint(score, float(tau), loc, bg_act)
            for score, values in scores.items()
            for tau, loc, bg_act in zip(
                TAUS, _loc(covered[0], values), _bg_act(covered[1], values), strict=True
            )
        ),
        notes=notes,
        loc_of_all_classes=Rate(int(foreground["hit"].sum()), len(foreground["hit"])),
        bg_act_of_all_classes=_kept_whole(background),
    )


def _covered(index: Index, foreground: Counts, background: Counts, known: Ids) -> tuple[Counts, Counts]:
    """What every curve counts: the cells and pairs of the classes that have a prototype, for all the same."""
    if not len(foreground["image"]):
        raise DatasetError(f"no evaluated image of {index.name} has a foreground cell; give another split")
    if not foreground["counts"].any():
        raise DatasetError(
            f"no class in the evaluated images of {index.name} has a prototype: the others show none of "
            "them correctly; where classes have one image each, give an index of others with --calibration"
        )
    cells = {name: column[foreground["counts"]] for name, column in foreground.items()}
    own = np.isin(background["class"], known)
    return cells | {"hit": cells["counted_hit"]}, {name: column[own] for name, column in background.items()}


def _number_pairs(background: Counts) -> Ids:
    """The number of each row's pair of image and class, which come in order, all cells of one together."""
    is_other = (np.diff(background[name], prepend=-1) != 0 for name in ("image", "class"))
    return np.cumsum(np.logical_or(*is_other)) - 1


def _kept_whole(background: Counts) -> Rate:
    """BG Act. with every cell kept."""
    pair = _number_pairs(background)
    return Rate(len(np.unique(pair[background["hit"]])), int(pair.max(initial=-1)) + 1)


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: Figures 5 and 6."""
    yield Answer(threshold(index))


# ------------------------------------------------------------------------------------- who gives prototypes


def has_split(index: Index, name: str) -> bool:
    """Whether the dataset puts some image into a split of this name."""
    return bool(len(index.query("SELECT 1 FROM images WHERE split = ? LIMIT 1", [name])["1"]))


def _divide(index: Index, calibration: Index | str | None) -> Division:
    images = index.query("SELECT id, hash, split FROM images WHERE usable ORDER BY id")
    if isinstance(calibration, Index):
        division = _beside(index, calibration, images)
    else:
        given = _in_part(images) if calibration is None else images["split"] == calibration
        given = np.ma.filled(given, False)
        name = f"a {PARTS}th of the images, by content" if calibration is None else f"split {calibration}"
        division = Division(name, index, images["id"][given], images["id"][~given])
    if not len(division.given) or not len(division.evaluated):
        raise DatasetError(
            f"{division.name} of {index.name} leaves {len(division.given)} images for the prototypes and "
            f"{len(division.evaluated)} to evaluate; name another split or index with --calibration"
        )
    return division


def _in_part(images: Counts) -> NDArray[np.bool_]:
    """Copies of an image fall on the same side; other digits than a probe's folds are drawn by."""
    return np.array([int(digest[8:16], 16) % PARTS == 0 for digest in images["hash"]], dtype=np.bool_)


def _beside(index: Index, other: Index, images: Counts) -> Division:
    """Prototypes from another index, less the images that both hold."""
    require_same_features(index, other)
    if index.manifest.head.sha256 != other.manifest.head.sha256:
        raise IndexMismatch(
            f"{index.name} and {other.name} have different heads, so their class scores cannot be compared; "
            "use a split of one index"
        )
    theirs = other.query("SELECT id, hash FROM images WHERE usable ORDER BY id")
    own = ~np.isin(theirs["hash"].astype(str), images["hash"].astype(str))
    return Division(f"index {other.name}", other, theirs["id"][own], images["id"])


# ------------------------------------------------------------------------------------- scores of cells


def _score_cells(
    index: Index, division: Division, learnt: Counts, shown: Counts, watch: Watch
) -> tuple[dict[CellScore, Values], tuple[str, ...]]:
    """Scores (images, cells) by image id, and what could not be computed."""
    entropy = 1 - shown["entropy"] / np.log(max(len(index.manifest.classes), 2))
    scores: dict[CellScore, Values] = {
        "max_softmax": _table(index, shown, shown["p"]),
        "confidence": _table(index, shown, entropy),
    }
    notes = []
    for score, space in SPACES.items():
        try:
            prototypes = _learn(division.calibration, space, learnt)
            watch.start(f"comparing images with the prototypes of {score}", len(division.evaluated))
            scores[score] = _compare(index, space, prototypes, shown, watch)
        except BackboneError as error:
            notes.append(f"no curve of {score}: {error}")
    return scores, tuple(notes)


def _learn(index: Index, space: Space, learnt: Counts) -> Values:
    """Prototypes (K, D) of unit length, zeros for a class without a correct foreground cell."""
    images, cells, labels = (learnt[name][learnt["hit"]] for name in ("image", "cell", "top1"))
    sums: Values | None = None
    for rows, place, vectors in _by_block(index, space, images):
        if sums is None:
            sums = np.zeros((len(index.manifest.classes), vectors.shape[2]), np.float32)
        np.add.at(sums, labels[rows], _unit(vectors[place, cells[rows]]))
    assert sums is not None  # whoever asks has seen that some cell is hit
    return _unit(sums)


def _compare(index: Index, space: Space, prototypes: Values, shown: Counts, watch: Watch) -> Values:
    """Cosines of every evaluated cell with the prototype of its class; 0 where that has none."""
    cosines = np.zeros(len(shown["image"]), np.float32)
    for rows, _, vectors in _by_block(index, space, shown["image"]):
        cells = _unit(vectors.reshape(-1, vectors.shape[2]))  # all of an image are shown, in order
        cosines[rows] = (cells * prototypes[shown["top1"][rows]]).sum(axis=1)
        watch.advance(len(vectors))
    return _table(index, shown, cosines)


def _by_block(index: Index, space: Space, images: Ids) -> Iterator[tuple[slice, Ids, Values]]:
    """Of rows that are sorted by image those of some images, with the places of these in their vectors."""
    ids, firsts, place = np.unique(images, return_index=True, return_inverse=True)
    ends, done = [*firsts[1:].tolist(), len(images)], 0
    for vectors in space(index, ids):
        rows = slice(int(firsts[done]), ends[done + len(vectors) - 1])
        yield rows, place[rows] - done, vectors
        done += len(vectors)


def _table(index: Index, shown: Counts, values: NDArray[np.floating]) -> Values:
    """Values of the shown cells as (images, cells), 0 for images that are not evaluated."""
    table = np.zeros((index.images, index.manifest.cells_per_image), np.float32)
    table[shown["image"], shown["cell"]] = values
    return table


def _unit(vectors: Values) -> Values:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)


# ------------------------------------------------------------------------------------- rates over tau


def _foreground(index: Index, images: Ids, target: Target, evaluated: Ids | None = None) -> Counts:
    """Foreground cells of images; `counts` those that hold one of the evaluated classes."""
    classes = [] if evaluated is None else evaluated.tolist()
    return _read(index, FOREGROUND.format(classes=CLASSES[target]), images, classes=classes)


def _read(index: Index, sql: str, images: Ids, **parameters: list[int]) -> Counts:
    """The rows that are of these images, in order."""
    parts = []
    for first in range(0, index.images, READ):
        rows = index.query(sql, {"first": first, "last": first + READ - 1, **parameters})
        kept = np.isin(rows["image"], images)
        parts.append({name: np.ma.getdata(column)[kept] for name, column in rows.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _loc(foreground: Counts, values: Values) -> list[Rate]:
    """A foreground cell is correct where it is kept and shows a class that it holds."""
    hit = foreground["hit"]
    scores = values[foreground["image"][hit], foreground["cell"][hit]]
    return [Rate(int((scores > tau).sum()), len(foreground["image"])) for tau in TAUS]


def _bg_act(background: Counts, values: Values) -> list[Rate]:
    """A pair is active while its best background cell that shows the class is kept."""
    pair, hit = _number_pairs(background), background["hit"]
    best = np.full(int(pair.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(best, pair[hit], values[background["image"][hit], background["cell"][hit]])
    return [Rate(int((best > tau).sum()), len(best)) for tau in TAUS]
