"""`audit probe`: a head trained on an index's pooled vectors, and every stored cell scored by it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError, IndexMismatch
from auditor.files import digest, new_file
from auditor.indexing.matching import match_classes
from auditor.indexing.plan import fold_of
from auditor.indexing.rescore import rescore_index
from auditor.models.head_files import save_head
from auditor.models.heads import AnyProbe
from auditor.models.probe import LINEAR_STEPS, MLP_STEPS, default_epochs, train_mlp_probe, train_probe
from auditor.records import ProbeKind
from auditor.records.watch import Watch
from auditor.store import HeadFacts, Index
from auditor.store.kin import require_same_features


@dataclass(frozen=True, slots=True)
class Probed:
    """A trained head in `file` of the index's folder, and the index with the head's scores, in memory."""

    index: Index
    file: str
    sha256: str
    trained_images: int
    folds: int
    epochs: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelledVectors:
    """Labelled images: pooled vectors (n, C), their classes, and the fold of each, -1 for none."""

    pooled: NDArray[np.float32]
    positives: list[tuple[int, ...]]
    folds: NDArray[np.int64]


def probe(
    on: Index,
    train: Index | None = None,
    *,
    kind: ProbeKind = "linear",
    seed: int = 0,
    epochs: int | None = None,
    watch: Watch,
) -> Probed:
    """Train on `train`, or out of fold on `on` itself, then score every cell of `on`'s original variant.

    The two indexes must hold the same features (else IndexMismatch); their classes are matched by name.
    Features of the occluded variants are not stored, so those have no scores.
    """
    source = on if train is None else train
    translation, notes = (np.arange(len(on.manifest.classes)), ()) if train is None else _relate(on, train)
    examples = _examples(source, None if train is None else on)
    learn, steps = (train_probe, LINEAR_STEPS) if kind == "linear" else (train_mlp_probe, MLP_STEPS)
    epochs = epochs or default_epochs(len(examples.positives), steps)
    watch.say(f"training a {kind} probe on {len(examples.positives)} pooled vectors, {epochs} epochs")
    head: AnyProbe = learn(
        examples.pooled,
        examples.positives,
        source.manifest.classes,
        examples.folds,
        seed=seed,
        epochs=epochs,
        watch=watch,
    )
    file = f"heads/probe-{kind}-{seed}{'' if train is None else '-' + train.name}.safetensors"
    sha256 = _keep(on, head, file)
    scored = rescore_index(on, head, HeadFacts("probe", file, sha256), translation, watch)
    folds = max(int(examples.folds.max()) + 1, 1)
    return Probed(scored, file, sha256, len(examples.positives), folds, epochs, (*notes, _advise(on, file)))


def _keep(on: Index, head: AnyProbe, file: str) -> str:
    """Write the head beside the index's own, which stays the one that its tables speak of."""
    path = on.path / file
    path.parent.mkdir(exist_ok=True)
    with new_file(path) as temporary:
        save_head(head, temporary, on.manifest.backbone.weights_sha256)
    return digest(path, "sha256")


def _advise(on: Index, file: str) -> str:
    """How the head is used again."""
    dataset, backbone = on.manifest.dataset, on.manifest.backbone
    words = ["audit", "index", dataset.root, "--backbone", backbone.name]
    if dataset.annotations:
        words += ["--annotations", dataset.annotations]
    if backbone.weights not in ("hub", "package"):
        words += ["--weights", backbone.weights]
    for key, value in backbone.model_args.items():
        words += ["--model-arg", f"{key}={value}"]
    command = shlex.join([*words, "--head", str(on.path / file)])
    return (
        "Features of occluded images are not stored. Loc. (w/o BG), BG Act. (w/o FG) and Delta of this head, "
        f"here or on other images, come from an index of its own, with the options of {on.name}: {command}"
    )


# ------------------------------------------------------------------------------------- what is learnt from


def _examples(source: Index, evaluated: Index | None) -> LabelledVectors:
    """The labelled images; in folds, or without those that the evaluated index holds too."""
    rows = source.query(
        "SELECT id, hash, labels FROM images WHERE usable AND coalesce(len(labels), 0) > 0 ORDER BY id"
    )
    held = set() if evaluated is None else set(evaluated.query("SELECT hash FROM images")["hash"])
    chosen = [row for row, content in enumerate(rows["hash"]) if content not in held]
    if len(chosen) < 2:
        raise DatasetError(
            f"{source.name} has {len(chosen)} labelled images to learn from, and a probe needs two; build an "
            f"index of labelled images with: audit index {source.manifest.dataset.root} --head probe"
        )
    return LabelledVectors(
        np.stack([source.pooled(int(image)) for image in rows["id"][chosen]]),
        [tuple(rows["labels"][row].tolist()) for row in chosen],
        np.array([-1 if evaluated else fold_of(rows["hash"][row]) for row in chosen], dtype=np.int64),
    )


def _relate(on: Index, train: Index) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """For each class of `on` that of `train`, -1 where none has its name."""
    if on.path.resolve() == train.path.resolve():
        raise IndexMismatch(f"{on.name} is what --on names too; without --train every image is out of fold")
    require_same_features(on, train)
    ours, theirs = on.manifest.classes, train.manifest.classes
    if ours == theirs:
        return np.arange(len(ours)), ()
    match = match_classes(ours, theirs)
    if len(match.unmatched) == len(ours):
        raise IndexMismatch(f"no class of {on.name} is among those of {train.name}; train on another index")
    note = match.note()
    return np.array([-1 if label is None else label for label in match.heads]), (note,) if note else ()
