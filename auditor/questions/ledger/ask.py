"""The parts of a logit: of one image from the live model, of every class from the stored cells."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auditor.errors import BackboneError, DatasetError
from auditor.measure.absence import explain_absence
from auditor.measure.annotations import annotated_images, cells_on
from auditor.measure.images import find_class
from auditor.measure.rates import lower_mean
from auditor.measure.scores import TOGETHER, centred, evidence, require_scores
from auditor.questions.cam.ask import live_scores
from auditor.questions.ledger.record import (
    ClassDetail,
    ClassLedger,
    Entry,
    ImageLedger,
    Kind,
    Ledger,
    Ledgers,
)
from auditor.report.text import certify
from auditor.report.wish import Answer, Wish
from auditor.store import Index, once
from auditor.store.scores import StoredScores, stored_scores

EXACT = ("exact", "exact-affine", "exact-attn")
UNKNOWN = "other objects"

PRESENT = "SELECT foreground, present FROM cells WHERE image = ? AND variant = 0 ORDER BY cell"
IMAGE = "SELECT coalesce(labels, []) AS labels, top5_original AS guesses FROM images WHERE id = ?"
LABELS = """
SELECT id AS image, unnest(list_distinct(labels)) AS class FROM images WHERE usable ORDER BY id
"""


def ledger(index: Index, image: str, *, target: int | str | None = None) -> Ledger:
    """The logit of the target and of its rival, from every object of an indexed image and its background.

    The target is the predicted class unless one is given. The rival is what the target is to be told from: a
    label of the image, if the target is none, else the best other class. BackboneError where the cells of the
    backbone's head do not add up to its logits, DatasetError where nothing is annotated.
    """
    _require_exact(index)
    identifier = index.image(image)
    path = index.path_of(identifier)
    parts = _parts(index, identifier)
    first, second = _rivals(index, identifier, target)
    cells, whole = live_scores(index, path, (first, second), "exact")
    count = cells.shape[0] * cells.shape[1]
    bias = _bias(index, identifier)[[first, second]]
    shares = (cells.reshape(count, 2) - bias) / count
    entries = [
        Entry(kind, name, label, float(weights.sum()), *(float(each) for each in weights @ shares))
        for kind, name, label, weights in parts
    ]
    if bias.any():
        entries.append(Entry("bias", "bias", None, 0.0, *(float(each) for each in bias)))
    sums = [sum(entry.target for entry in entries), sum(entry.rival for entry in entries)]
    background = parts[-1][3].reshape(index.grid) > 0
    names = [index.manifest.classes[label].name for label in (first, second)]
    return Ledger(
        index=index.name,
        path=path,
        target=first,
        target_name=names[0],
        target_logit=float(whole[0]),
        rival=second,
        rival_name=names[1],
        rival_logit=float(whole[1]),
        entries=tuple(entries),
        error=float(np.abs(np.array(sums) - whole).max()),
        cells=(shares[:, 0] - shares[:, 1]).reshape(index.grid),
        foreground=~background,
    )


def _require_exact(index: Index) -> None:
    certificate = index.manifest.certificate
    if certificate is None or certificate.verdict not in EXACT:
        raise BackboneError(
            f"the logits of {index.name} are not the sum of its cells, so they have no ledger. "
            f"{certify(certificate)}"
        )


def _rivals(index: Index, image: int, target: int | str | None) -> tuple[int, int]:
    rows = index.query(IMAGE, [image])
    labels, guesses = ([int(each) for each in rows[name][0]] for name in ("labels", "guesses"))
    first = guesses[0] if target is None else find_class(index, str(target))
    wanted = labels if first not in labels else []
    second = next((each for each in (*wanted, *guesses) if each != first), None)
    if second is None:
        raise DatasetError(f"{index.name} has a single class: there is no other to tell it from")
    return first, second


def _parts(index: Index, image: int) -> list[tuple[Kind, str, int | None, NDArray[np.float64]]]:
    """What is in an image: kind, name, class and how much of every cell (H * W,) is its; they sum to 1.

    The last is the background. DatasetError where the image is not annotated.
    """
    cells = index.query(PRESENT, [image])
    if np.ma.getmaskarray(cells["foreground"]).any():
        reason = explain_absence(index) or f"{index.path_of(image)} is not annotated"
        raise DatasetError(f"a ledger needs to know where the objects are: {reason}")
    weights: dict[int | None, NDArray[np.float64]] = {}
    for place, (flag, present) in enumerate(zip(cells["foreground"], cells["present"], strict=True)):
        here: list[int | None] = [int(each) for each in present] or [None]
        for label in here if flag else ():
            weights.setdefault(label, np.zeros(len(cells["foreground"])))[place] = 1 / len(here)
    classes = index.manifest.classes
    objects = sorted(weights, key=lambda label: (label is None, -weights[label].sum(), label))
    background = 1.0 - np.asarray(cells["foreground"], dtype=np.float64)
    return [
        *(
            ("object", UNKNOWN if label is None else classes[label].name, label, weights[label])
            for label in objects
        ),
        ("background", "background", None, background),
    ]


def _bias(index: Index, image: int) -> NDArray[np.float64]:
    """What the head adds whatever the cells hold (K,); zeros where it is not affine, or its parts unknown."""
    scores = stored_scores(index)
    if scores is None:
        return np.zeros(len(index.manifest.classes))
    return np.asarray(scores.head.bias[scores.heads[image]], dtype=np.float64)


# ------------------------------------------------------------------------------------- of classes


class _Sums:
    """The parts of every image's own classes, and what a background cell of other images adds to each class.

    Of every image and label (m,), images in order: `label`, `image`, and `own` (m, 4): foreground,
    background, bias and share of background cells.
    """

    def __init__(self, index: Index) -> None:
        scores, images = exact_scores(index), annotated_images(index)
        if not len(images):
            reason = explain_absence(index) or "no image is annotated"
            raise DatasetError(f"a ledger needs to know where the objects are: {reason}")
        pairs = index.query(LABELS)
        is_annotated = np.isin(pairs["image"], images)
        self.image, self.label = (
            np.asarray(pairs[name][is_annotated], dtype=np.int64) for name in ("image", "class")
        )
        self.own = np.zeros((len(self.label), 4))
        self.others, self.squares, self.counts = np.zeros((3, len(index.manifest.classes)))
        foreground, bias = cells_on(index, "foreground"), centred(scores.head.bias)
        for start in range(0, len(images), TOGETHER):
            ids = images[start : start + TOGETHER]
            rows = slice(*np.searchsorted(self.image, (ids[0], ids[-1] + 1)))
            self.own[rows, 2] = bias[scores.heads[self.image[rows]], self.label[rows]]
            self._add(scores, ids, rows, foreground[ids])

    def _add(
        self, scores: StoredScores, ids: NDArray[np.int64], rows: slice, flags: NDArray[np.bool_]
    ) -> None:
        """The images (n,) with their foreground cells (n, H * W), whose own classes are these rows."""
        masks = np.stack([flags, ~flags], axis=1) / flags.shape[1]
        parts, background = evidence(scores, ids, masks), masks[:, 1].sum(axis=1)
        image, label = np.searchsorted(ids, self.image[rows]), self.label[rows]
        self.own[rows, :2] = parts[image, :, label]
        self.own[rows, 3] = background[image]
        has_any = background > 0
        place, is_counted = np.cumsum(has_any), has_any[image]
        per_cell = np.empty(
            (1 + int(has_any.sum()), len(self.counts))
        )  # the first row: what was summed before
        np.divide(parts[has_any, 1], background[has_any, None], out=per_cell[1:])
        per_cell[place[image[is_counted]], label[is_counted]] = 0
        per_cell[0] = self.others
        self.others = per_cell.sum(axis=0)
        np.square(per_cell[1:], out=per_cell[1:])
        per_cell[0] = self.squares
        self.squares = per_cell.sum(axis=0)
        self.counts += len(per_cell) - 1 - np.bincount(label[is_counted], minlength=len(self.counts))

    def elsewhere(self, label: int) -> tuple[float | None, float]:
        """What a background adds to a class in images without it, were it all of the image; its variance."""
        count = int(self.counts[label])
        if not count:
            return None, 0.0
        mean = float(self.others[label]) / count
        return mean, max(float(self.squares[label]) / count - mean**2, 0.0) / count


def exact_scores(index: Index) -> StoredScores:
    """Scores whose cells add up to the logits; BackboneError where those of the index's head do not."""
    _require_exact(index)
    scores = require_scores(index)
    scores.is_exact = True  # a probe's cells divided by the pooled vector's length, whatever the index shows
    return scores


@once
def class_ledgers(index: Index) -> Ledgers:
    """Every labelled class: what its objects and its background add to its logit, from the stored cells."""
    sums = _Sums(index)
    order = np.argsort(sums.label, kind="stable")
    labels, firsts = np.unique(sums.label[order], return_index=True)
    owns = np.split(sums.own[order], firsts)[1:]
    rows = [_row(index, label, own, sums) for label, own in zip(labels.tolist(), owns, strict=True)]
    return Ledgers(index.name, tuple(sorted(rows, key=_rank)))


def class_detail(index: Index, label: int | str) -> ClassDetail:
    """One class, and its images, those with most from the background first."""
    wanted, sums = find_class(index, str(label)), _Sums(index)
    if wanted not in sums.label:
        name = index.manifest.classes[wanted].name
        raise DatasetError(f"no annotated image of {index.name} is labelled {name} ({wanted})")
    own, ids = sums.own[sums.label == wanted], sums.image[sums.label == wanted]
    rows = zip(ids.tolist(), own.tolist(), strict=True)
    images = [ImageLedger(index.path_of(image), fg, bg) for image, (fg, bg, _, _) in rows]
    images.sort(key=lambda each: -each.background)
    return ClassDetail(index.name, _row(index, wanted, own, sums), tuple(images))


def _row(index: Index, label: int, own: NDArray[np.float64], sums: _Sums) -> ClassLedger:
    """The class's images are the rows of `own`."""
    foreground, background, bias, cells = own.mean(axis=0)
    other, variance = sums.elsewhere(label)
    elsewhere = None if other is None else other * own[:, 3]
    evidence = foreground + background
    return ClassLedger(
        label=label,
        name=index.manifest.classes[label].name,
        images=len(own),
        foreground=float(foreground),
        background=float(background),
        bias=float(bias),
        background_elsewhere=None if elsewhere is None else float(elsewhere.mean()),
        context_share=float(background / evidence) if evidence > 0 else None,
        background_cells=float(cells),
        least=None if elsewhere is None else lower_mean(own[:, 1] - elsewhere, variance * cells**2),
    )


def _rank(row: ClassLedger) -> tuple[float, int]:
    return (np.inf if row.least is None else -row.least), row.label


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: every class, from what is stored."""
    yield Answer(class_ledgers(index))
