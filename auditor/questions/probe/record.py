"""A head trained on stored vectors, and what the metrics are with it (section 4.3, A.4)."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.questions.metrics.record import Metrics
from auditor.records import ProbeKind
from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class Probe(Record):
    """`audit probe`: a head trained on stored vectors, and what the metrics are with it.

    `folds` counts the heads that score the images which they did not see, 1 where the head was trained on
    another index; `own` are the metrics with the head that the index was built with, for comparison. Features
    of occluded images are not stored, so the metrics that need them have totals of 0.
    """

    index: str
    trained_on: str
    kind: ProbeKind
    seed: int
    epochs: int
    folds: int
    trained_images: int
    classes: int
    file: str
    sha256: str
    metrics: Metrics
    own: Metrics
    notes: tuple[str, ...] = ()
