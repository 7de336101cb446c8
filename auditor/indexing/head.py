"""The head that scores an index's cells: the model's own, zero-shot, given in a file, or trained here."""

from __future__ import annotations

import shutil

import numpy as np

from auditor.errors import DatasetError
from auditor.files import digest, new_file
from auditor.indexing.plan import FOLDS, Plan
from auditor.models.backbone import Backbone
from auditor.models.head_files import load_head, save_head
from auditor.models.heads import Head, OwnHead, make_text_head
from auditor.models.probe import train_probe
from auditor.records import Dataset
from auditor.records.watch import Watch
from auditor.store.manifest import HeadFacts, head_path
from auditor.store.shards import read_staged, staged_names
from auditor.store.writer import IndexWriter


def find_head(writer: IndexWriter, backbone: Backbone, plan: Plan, template: str) -> Head | None:
    """The head that needs no training now: the model's own, a text head, one given or trained before."""
    facts = writer.manifest.head
    if plan.head == "own":
        head = OwnHead(backbone)
        return head if facts.file else _keep(writer, backbone, plan, head)
    if (path := head_path(writer.path, writer.manifest)) is not None:
        return load_head(path, backbone)
    if plan.given is not None:
        return _keep(writer, backbone, plan, plan.given.head)
    if plan.head == "text":
        return _keep(writer, backbone, plan, make_text_head(backbone, plan.classes, template))
    return None


def train_head(
    writer: IndexWriter, backbone: Backbone, plan: Plan, dataset: Dataset, seed: int, watch: Watch
) -> Head:
    """A probe on the pooled vectors of what is staged; an image's own fold never sees it.

    DatasetError where fewer than two labelled images can be used.
    """
    staged = (read_staged(writer.path, name) for name in staged_names(writer.path))
    # of each no more than that: its cells would keep two files open
    vectors, images = zip(*((shard.pooled, shard.images) for shard in staged), strict=True)
    pooled = np.concatenate(vectors)
    labels = [labels for shard in images for labels in shard["labels"]]
    folds = np.concatenate([np.ma.filled(shard["fold"], 0) for shard in images]).astype(np.int64)
    is_ok = np.concatenate([shard["status"] for shard in images]) == "ok"
    usable = np.array([len(chosen) > 0 for chosen in labels]) & is_ok
    if usable.sum() < 2:
        raise DatasetError(f"fewer than two usable labelled images in {dataset.root}; use --head none")
    left_out = f"; {(~usable).sum()} are broken, filtered or without a label" if not usable.all() else ""
    watch.say(f"training a probe on {usable.sum()} of {len(usable)} images, out of {FOLDS} folds{left_out}")
    positives = [tuple(int(label) for label in labels[i]) for i in np.nonzero(usable)[0]]
    head = train_probe(pooled[usable], positives, plan.classes, folds[usable], seed=seed)
    return _keep(writer, backbone, plan, head)


def _keep(writer: IndexWriter, backbone: Backbone, plan: Plan, head: Head) -> Head:
    """Write the head into the index; a given probe is copied, so that its hash still names its file."""
    file = f"heads/{plan.head}.safetensors"
    path = writer.path / file
    path.parent.mkdir(exist_ok=True)
    with new_file(path) as temporary:
        if plan.given is None or plan.given.name == "linear":
            save_head(head, temporary, backbone.weights_sha256)
        else:
            shutil.copyfile(plan.given.path, temporary)
    writer.update(head=HeadFacts(plan.head, file, digest(path, "sha256")))
    return head
