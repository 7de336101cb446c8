"""A probe trained without a forward pass, and every metric with it; training knows none of them."""

from __future__ import annotations

from collections import defaultdict

from auditor.indexing.plan import fold_of
from auditor.indexing.train_probe import probe as train_probe
from auditor.questions.metrics.ask import metrics
from auditor.questions.probe.record import Probe
from auditor.records import ProbeKind
from auditor.records.watch import Watch
from auditor.report.text import plural
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
        notes=(*(_unseen(on) if train is None else ()), *probed.notes),
    )


def _unseen(on: Index) -> tuple[str, ...]:
    """How many images are of classes that only their own fold has: its head cannot know these."""
    rows = on.query("SELECT hash, labels FROM images WHERE usable AND coalesce(len(labels), 0) > 0")
    images = [(fold_of(digest), labels.tolist()) for digest, labels in zip(*rows.values(), strict=True)]
    folds: defaultdict[int, set[int]] = defaultdict(set)
    for fold, labels in images:
        for label in labels:
            folds[label].add(fold)
    unseen = sum(all(folds[label] == {fold} for label in labels) for fold, labels in images)
    if not unseen:
        return ()
    return (
        f"{unseen:,} of {plural(len(images), 'image')} are of classes that no image outside their fold "
        "shows, so the head that scores them was never taught these: give more images per class, or another "
        "index with --train.",
    )
