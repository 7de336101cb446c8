"""A probe trained without a forward pass, and every metric with it; training knows none of them."""

from __future__ import annotations

from auditor.indexing.train_probe import probe as train_probe
from auditor.questions.metrics.ask import metrics
from auditor.questions.probe.record import Probe
from auditor.records import ProbeKind
from auditor.records.watch import Watch
from auditor.store import Index


def probe(
    on: Index,
    train: Index | None = None,
    *,
    kind: ProbeKind = "linear",
    seed: int = 0,
    epochs: int | None = None,
    watch: Watch,
) -> Probe:
    """Train a head on the vectors of `train`, or out of fold on those of `on`, and measure it on `on`.

    The head is written beside the index's own, which stays as it is. IndexMismatch where the two indexes do
    not hold the same features; DatasetError where fewer than two images are labelled.
    """
    probed = train_probe(on, train, kind=kind, seed=seed, epochs=epochs, watch=watch)
    with probed.index as rescored:
        measured = metrics(rescored)
    return Probe(
        index=on.name,
        trained_on=on.name if train is None else train.name,
        kind=kind,
        seed=seed,
        epochs=probed.epochs,
        folds=probed.folds,
        trained_images=probed.trained_images,
        classes=len(rescored.manifest.classes),
        file=str(on.path / probed.file),
        sha256=probed.sha256,
        metrics=measured,
        own=metrics(on),
        notes=probed.notes,
    )
