"""`audit index`: a dataset through a backbone and a head into an index, shard by shard, always resumable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from auditor.data.load import Loaded, load_ahead
from auditor.indexing.extract import Extractor
from auditor.indexing.head import find_head, train_head
from auditor.indexing.plan import Plan, check_same, make_manifest, make_plan, widen
from auditor.indexing.request import Request, choose_backbone
from auditor.indexing.score import score_grid
from auditor.indexing.shard import ShardRows
from auditor.models.backbone import Backbone, Grid
from auditor.models.heads import Head, certify
from auditor.models.weights import load_backbone
from auditor.records import Certificate, Dataset, IndexSummary, Sample
from auditor.records.watch import Watch
from auditor.store.check import damaged_shards
from auditor.store.index import summarise
from auditor.store.manifest import has_manifest
from auditor.store.shards import Staged, promote_staged, read_staged, staged_names, write_shard, write_staged
from auditor.store.writer import IndexWriter, shard_paths

SHARD_BYTES = 64 << 20  # of features: what a killed run loses at most
CERTIFIED = 8  # images of the dataset that the certificate is measured on


Batch = Mapping[int, Loaded]
"""Images that are ok, by their row in the shard."""


@dataclass(frozen=True, slots=True)
class Task:
    """A shard to write: the samples of image ids first, first + 1, ..."""

    name: str
    first: int
    samples: Sequence[Sample]


def build(path: Path, request: Request, dataset: Dataset, watch: Watch) -> IndexSummary:
    """Build the index of a dataset at `path`, or continue it."""
    backbone = load_request(request, watch)
    watch.advance(1)
    plan = make_plan(dataset, backbone, request)
    for note in (*dataset.notes, *plan.notes):
        watch.say(note)
    with _open_writer(path, dataset, backbone, plan, request) as writer:
        Build(writer, dataset, backbone, plan, request, watch).run()
        for note in plan.warnings:
            watch.say(note)
        return summarise(path, writer.manifest)


def load_request(request: Request, watch: Watch | None = None) -> Backbone:
    """The backbone that was asked for; `watch` sees it downloaded."""
    return load_backbone(
        choose_backbone(request),
        weights=request.weights,
        model_args=request.model_args,
        size=request.size,
        mean=request.mean,
        std=request.std,
        interpolation=request.interpolation,
        preprocess=request.preprocess,
        device=request.device,
        watch=watch,
    )


def _open_writer(
    path: Path, dataset: Dataset, backbone: Backbone, plan: Plan, request: Request
) -> IndexWriter:
    manifest = make_manifest(dataset, backbone, plan, request)
    if not has_manifest(path):
        return IndexWriter.create(path, manifest)
    writer = IndexWriter.resume(path)
    try:
        check_same(writer.manifest, manifest, path)
        options = dict(writer.manifest.options) | widen(writer.manifest.options, manifest.options)
        if options != writer.manifest.options:
            writer.update(options=options)
    except BaseException:
        writer.close()
        raise
    return writer


class Build:
    """One run of the writer: which images are left, in which shards, scored by which head."""

    def __init__(
        self,
        writer: IndexWriter,
        dataset: Dataset,
        backbone: Backbone,
        plan: Plan,
        request: Request,
        watch: Watch,
    ) -> None:
        self.writer, self.dataset, self.backbone = writer, dataset, backbone
        self.plan, self.request, self.watch = plan, request, watch
        self.extractor = Extractor.of(writer.manifest, backbone)
        height, width = backbone.grid
        self.shard_images = max(1, SHARD_BYTES // (height * width * backbone.dim * 2))

    def run(self) -> None:
        """Everything that is left to do; safe to kill at any point."""
        before = self.writer.manifest
        self._drop_damaged()
        indexed = self._indexed()
        todo = list(self._todo(indexed))
        left = sum(len(task.samples) for task in todo)
        self._mark_removed(indexed)
        if not left and before.is_complete and self.writer.manifest == before:
            self.watch.say("nothing is new")
            return
        head = find_head(self.writer, self.backbone, self.plan, self.request.template)
        if head is None and self.plan.head == "probe":
            self._stage(todo)
            head = train_head(
                self.writer, self.backbone, self.plan, self.dataset, self.request.seed, self.watch
            )
        self.watch.start("images", left)
        for task in todo:
            self._add_shard(task, head)
        if self.writer.manifest.certificate is None:
            self.writer.update(certificate=self._certify(head))
        self.watch.start("building the database and the search index", 1)
        self.writer.finish()
        self.watch.advance(1)

    # ------------------------------------------------------------------------------------- what is left

    def _todo(self, indexed: Mapping[int, str]) -> Iterator[Task]:
        """Shards to write: those that were dropped as damaged, then the new images."""
        by_path = {sample.path: sample for sample in self.dataset.samples}
        for lost in self.writer.manifest.dropped:
            yield Task(lost.name, lost.first, [by_path.get(path, Sample(path)) for path in lost.paths])
        lost_paths = {path for lost in self.writer.manifest.dropped for path in lost.paths}
        placed = lost_paths.union(indexed.values())
        new = iter([sample for sample in self.dataset.samples if sample.path not in placed])
        first = self.writer.manifest.images
        while samples := list(islice(new, self.shard_images)):
            yield Task(f"{first:09d}", first, samples)
            first += len(samples)

    def _indexed(self) -> dict[int, str]:
        """Paths of the images in the shards, by id."""
        path, manifest = self.writer.path, self.writer.manifest
        return {
            image: name
            for shard in manifest.shards
            for image, name in enumerate(shard_paths(path, manifest, shard), start=shard.first)
        }

    def _drop_damaged(self) -> None:
        """Shards whose checksums do not hold are made again, under the same ids."""
        damaged = damaged_shards(self.writer.path, self.writer.manifest)
        if damaged:
            self.watch.say(f"{len(damaged)} shards are damaged and will be made again")
            self.writer.drop(*damaged)

    def _mark_removed(self, indexed: Mapping[int, str]) -> None:
        gone = {image for image, path in indexed.items() if not (self.dataset.root / path).exists()}
        if gone != set(self.writer.manifest.removed):
            self.watch.say(f"{len(gone)} indexed images are gone from the dataset and marked as removed")
            self.writer.mark_removed(gone)

    def _certify(self, head: Head | None) -> Certificate | None:
        samples = self.dataset.samples[: 4 * CERTIFIED]
        loaded = [item for item in self._load(samples) if item.is_ok][:CERTIFIED]
        return certify(self.backbone, head, self.extractor.images(loaded)) if loaded else None

    # ------------------------------------------------------------------------------------- the shards

    def _stage(self, todo: Sequence[Task]) -> None:
        """Extract the originals alone: the probe needs all pooled vectors before it can score a cell."""
        todo = [task for task in todo if self._staged(task) is None]
        self.watch.start("images for the probe", sum(len(task.samples) for task in todo))
        for task in todo:
            rows = ShardRows(task.first, len(task.samples), self.backbone.grid, self.backbone.dim)
            for batch in self._batches(rows, task.samples):
                rows.put_features(list(batch), self.extractor.original(list(batch.values())))
            write_staged(self.writer.path, task.name, **rows.arrays(), images=rows.image_columns())

    def _staged(self, task: Task) -> Staged | None:
        """What is staged for exactly these images; None where nothing is or the dataset has changed."""
        if task.name not in staged_names(self.writer.path):
            return None
        staged = read_staged(self.writer.path, task.name)
        is_same = list(staged.images["path"]) == [sample.path for sample in task.samples]
        return staged if is_same else None

    def _add_shard(self, task: Task, head: Head | None) -> None:
        rows = ShardRows(task.first, len(task.samples), self.backbone.grid, self.backbone.dim)
        staged = self._staged(task)
        for batch in self._batches(rows, task.samples):
            if staged is None:
                grid = self.extractor.original(list(batch.values()))
                rows.put_features(list(batch), grid)
            else:
                grid = restore_grid(staged, list(batch))
            if head is not None:
                self._score(rows, batch, grid, head)
        images, cells = rows.image_columns(), rows.cell_columns(has_head=head is not None)
        if staged is None:
            entry = write_shard(self.writer.path, task.name, **rows.arrays(), images=images, cells=cells)
        else:
            entry = promote_staged(self.writer.path, task.name, images=images, cells=cells)
        self.writer.add(entry)

    def _score(self, rows: ShardRows, batch: Batch, grid: Grid, head: Head) -> None:
        """Class scores of the originals and, where something is annotated, of the occluded variants."""
        self._put_scores(rows, batch, "original", grid, head)
        annotated = {row: item for row, item in batch.items() if item.foreground is not None}
        for variant in self.plan.variants[1:] if annotated else ():
            occluded = self.extractor.occluded(list(annotated.values()), variant)
            self._put_scores(rows, annotated, variant, occluded, head)

    def _put_scores(self, rows: ShardRows, batch: Batch, variant: str, grid: Grid, head: Head) -> None:
        chosen = list(batch)
        scores = score_grid(head, grid, self.request.readout, rows.folds(chosen), rows.targets(chosen))
        for row, of_image in zip(batch, scores, strict=True):
            rows.put_scores(row, variant, of_image)

    def _batches(self, rows: ShardRows, samples: Sequence[Sample]) -> Iterator[Batch]:
        """Describe every image and yield those that are ok by their row, a batch at a time."""
        batch: dict[int, Loaded] = {}
        for row, loaded in enumerate(self._load(samples)):
            rows.describe(row, loaded, self.plan.facts(loaded, self.dataset))
            if loaded.is_ok:
                rows.put_foreground(row, loaded, self.plan.region_labels(loaded))
                batch[row] = loaded
            if len(batch) == self.request.batch:
                yield batch
                batch = {}
            self.watch.advance(1)
        if batch:
            yield batch

    def _load(self, samples: Iterable[Sample]) -> Iterator[Loaded]:
        request, preprocess = self.request, self.backbone.preprocess
        return load_ahead(self.dataset, samples, preprocess, workers=request.workers, ahead=2 * request.batch)


def restore_grid(staged: Staged, rows: Sequence[int]) -> Grid:
    """The grid of staged images from their unit vectors and norms (fp16: to 2e-4 of the logits)."""
    features = torch.from_numpy(staged.features[rows].astype(np.float32) * staged.norms[rows][..., None])
    return Grid(features, torch.from_numpy(np.array(staged.pooled[rows])), None, None)
