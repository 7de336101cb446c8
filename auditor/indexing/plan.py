"""What an index will hold, decided before the first image: head, classes, variants, manifest."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from auditor.data.load import Loaded
from auditor.data.synth import is_synthetic
from auditor.errors import DatasetError, IndexMismatch
from auditor.indexing.given import GivenHead, read_given
from auditor.indexing.matching import ClassMatch, fixed_label, match_classes
from auditor.indexing.request import HeadChoice, Request
from auditor.models.backbone import Backbone
from auditor.models.imagenet import class_names, real_labels, synset_ids
from auditor.records import VARIANTS, ClassName, Dataset, Runtime
from auditor.store.manifest import HOW_MANY, BackboneFacts, DatasetFacts, HeadFacts, HeadName, Manifest
from auditor.store.same import differences

FOLDS = 5


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """An image's classes in the head's ids, and by name as the dataset has them; fields are columns.

    `labels` are its evaluation classes and `label` the one among them that stands for it (A.1), `real` the
    ReaL labels of an ImageNet validation image, `fold` the probe's head that never sees it.
    """

    label: int | None
    labels: tuple[int, ...]
    true_name: str | None
    real: tuple[int, ...] | None
    fold: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The head that will score the cells and how the dataset's classes map to its own.

    `notes` are said before the work; `warnings`, those among them that make it worth little, again after it.
    """

    head: HeadName
    classes: tuple[ClassName, ...]
    match: ClassMatch
    variants: tuple[str, ...]
    has_real_labels: bool
    notes: tuple[str, ...]
    given: GivenHead | None = None
    warnings: tuple[str, ...] = ()

    def facts(self, loaded: Loaded, dataset: Dataset) -> LabelFacts:
        """What the dataset says of an image, in the head's classes."""
        dataset_labels = self._dataset_labels(loaded, dataset)
        labels = self.match.translate(dataset_labels)
        named = None if loaded.sample.label is None else self.match.heads[loaded.sample.label]
        path = loaded.sample.path
        return LabelFacts(
            label=named if named in labels else fixed_label(path, labels),
            labels=labels,
            true_name=", ".join(dataset.classes[label].name for label in dataset_labels) or None,
            real=real_labels(Path(path).name) if self.has_real_labels else None,
            fold=fold_of(loaded.hash) if self.head == "probe" and loaded.hash else None,
        )

    def region_labels(self, loaded: Loaded) -> tuple[int | None, ...]:
        """The head's class of each mask of the image's foreground."""
        labels = loaded.foreground.labels if loaded.foreground else ()
        return tuple(self.match.heads[label] for label in labels)

    @staticmethod
    def _dataset_labels(loaded: Loaded, dataset: Dataset) -> tuple[int, ...]:
        """The dataset's own classes; under a filter on area those whose regions remain (A.1)."""
        if dataset.min_area and loaded.foreground is not None:
            return tuple(sorted(set(loaded.foreground.labels)))
        return loaded.sample.labels


def fold_of(content_hash: str) -> int:
    """The fold of an image: copies of one image are always in the same one."""
    return int(content_hash[:8], 16) % FOLDS


def make_plan(dataset: Dataset, backbone: Backbone, request: Request) -> Plan:
    """Choose the head (own, else a probe where there are labels, else none) and match the classes."""
    given: GivenHead | None = None
    head: HeadName
    if isinstance(request.head, Path):
        given = read_given(request.head, backbone, dataset, request)
        head, classes = given.name, given.head.classes
    else:
        head = _choose_head(dataset, backbone, request.head)
        classes = _classes(head, dataset, backbone)
    match = match_classes(dataset.classes, classes)
    notes = _notes(match, head, dataset)
    is_annotated = head != "none" and any(sample.regions for sample in dataset.samples)
    return Plan(
        head,
        classes,
        match,
        VARIANTS if is_annotated else VARIANTS[:1],
        [c.synset for c in classes] == list(synset_ids()),
        (*notes, *(given.notes if given else ())),
        given,
        notes,
    )


def _choose_head(dataset: Dataset, backbone: Backbone, head: HeadChoice) -> HeadName:
    """DatasetError where the backbone or the dataset lacks what the head needs."""
    has_labels = sum(bool(s.labels) for s in dataset.samples) > 1 and len(dataset.classes) > 1
    if head == "auto":
        head = "own" if backbone.classes else "probe" if has_labels else "none"
    if head == "own" and not backbone.classes:
        raise DatasetError(f"{backbone.name} has no class head of its own; use --head probe, text or none")
    if head in ("probe", "text") and not dataset.classes:
        raise DatasetError(f"--head {head} needs a dataset with classes, and {dataset.root} names none")
    if head == "probe" and not has_labels:
        raise DatasetError(
            f"--head probe needs at least two labelled images of two classes in {dataset.root}"
        )
    return head


def _classes(head: HeadName, dataset: Dataset, backbone: Backbone) -> tuple[ClassName, ...]:
    """What the head's scores are of; a folder named by a synset takes ImageNet's name."""
    if head == "none":
        return ()
    if head == "own":
        return backbone.classes
    by_synset = {c.synset: c for c in class_names() or ()}
    return tuple(by_synset.get(c.synset, c) if c.synset else c for c in dataset.classes)


def _notes(match: ClassMatch, head: str, dataset: Dataset) -> tuple[str, ...]:
    if head == "none" or not dataset.classes or (note := match.note()) is None:
        return ()
    fix = "index again with --head probe, which learns the dataset's classes"
    if head == "linear":
        fix += ", or name this head's classes with --classes FILE"
    if not match.has_none:
        return (f"{note}; what is annotated as one of these is counted for no class: {fix}",)
    what = "labels and masks" if any(sample.regions for sample in dataset.samples) else "labels"
    return (f"{note}; no metric can be counted on these {what} with this head: {fix}",)


def make_manifest(dataset: Dataset, backbone: Backbone, plan: Plan, request: Request) -> Manifest:
    """The manifest of a new index, before its first shard."""
    spec = backbone.spec
    return Manifest(
        dataset=DatasetFacts(
            str(dataset.root.resolve()),
            dataset.kind,
            str(request.annotations.resolve()) if request.annotations else None,
            dataset.classes,
            dataset.min_area,
            (*dataset.notes, *plan.notes),
            is_synthetic(dataset.root),
        ),
        backbone=BackboneFacts(
            _absolute(backbone.name) or backbone.name,
            spec.library,
            spec.model,
            _absolute(request.weights) or request.weights or ("package" if spec.weights else "hub"),
            backbone.weights_sha256,
            dict(request.model_args),
        ),
        preprocess=backbone.preprocess,
        grid=backbone.grid,
        dim=backbone.dim,
        head=HeadFacts(plan.head),
        classes=plan.classes,
        variants=plan.variants,
        fill=request.fill,
        options={
            "readout": request.readout,
            "precision": request.precision,
            **({} if request.runtime == "torch" else {"runtime": request.runtime}),
            "template": request.template if plan.head == "text" else None,
            "seed": request.seed,
            "head_file": plan.given.sha256 if plan.given else None,
            "limit": request.limit,
            "sample": request.sample,
            "part": str(request.part) if request.part else None,
        },
        versions=library_versions(request.runtime),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def check_same(old: Manifest, new: Manifest, path: Path) -> None:
    """Raise IndexMismatch, naming the first difference, if continuing would mix two kinds of content."""
    for name, before, now in differences(old, new):
        raise IndexMismatch(
            f"{path} was made with {name} {before}, not {now}; choose another --name, or remove the folder "
            "to build it anew"
        )
    if old.part and old.part != new.part:
        raise IndexMismatch(f"{path} is part {old.part} of an index; go on with --shard {old.part}")


def widen(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, int | None]:
    """--limit and --sample under which a continued index finds all its images again."""
    if any(old.get(name) != new.get(name) for name in HOW_MANY) and (old.get("sample") or new.get("sample")):
        return dict.fromkeys(HOW_MANY)
    limits: list[int] = [options["limit"] for options in (old, new) if options.get("limit") is not None]
    return {"limit": max(limits) if len(limits) == 2 else None, "sample": new.get("sample")}


def _absolute(name: str | None) -> str | None:
    """The full path of a file; None for a name that is none."""
    return str(Path(name).resolve()) if name and Path(name).is_file() else None


def library_versions(runtime: Runtime) -> dict[str, str]:
    """What may decide content, by name."""
    names = ["auditor", "torch", "timm", "open_clip_torch", "numpy", "duckdb", "pillow"]
    names += [runtime] if runtime != "torch" else []
    return {"python": platform.python_version()} | {name: version(name) for name in names}
