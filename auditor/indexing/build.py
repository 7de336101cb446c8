"""`audit index`: a dataset through a backbone and a head into an index, shard by shard, always resumable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from torch import Tensor

from auditor.data.ahead import load_ahead
from auditor.data.containers import is_there
from auditor.data.load import Loaded
from auditor.errors import IndexMismatch
from auditor.indexing.changes import compare
from auditor.indexing.extract import Extractor, find_staged, load_request, restore_grid
from auditor.indexing.head import find_head, train_head
from auditor.indexing.heap import kept_heap
from auditor.indexing.on_ray import make_on_ray
from auditor.indexing.plan import Plan, check_same, make_manifest, make_plan, widen
from auditor.indexing.replan import cut, recover_plan
from auditor.indexing.request import Request
from auditor.indexing.score import score_grid
from auditor.indexing.shard import ShardRows
from auditor.models.backbone import Backbone, Grid
from auditor.models.heads import Head
from auditor.models.remembered import remember_certificate
from auditor.records import Dataset, IndexSummary, Sample
from auditor.records.watch import Watch
from auditor.search.make_lists import prepare_search
from auditor.store.go_on import unfinished
from auditor.store.listing import summary_of
from auditor.store.manifest import is_index
from auditor.store.places import SHARDS, STAGING
from auditor.store.shards import Staged, promote_staged, write_shard, write_staged
from auditor.store.writer import IndexWriter

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
    prepare_search(path, watch)
    return summary_of(path)


def _open_writer(
    path: Path, dataset: Dataset, backbone: Backbone, plan: Plan, request: Request
) -> IndexWriter:
    manifest = make_manifest(dataset, backbone, plan, request)
    if not is_index(path):
        return IndexWriter.create(path, manifest)
    writer = IndexWriter.resume(path)
    try:
        check_same(writer.manifest, manifest, path)
        options = dict(writer.manifest.options) | widen(writer.manifest.options, manifest.options)
        options["part"] = manifest.options["part"]
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
        self.paths = [sample.path for sample in dataset.samples]
        self.extractor = Extractor.of(writer.manifest, backbone)
        height, width = backbone.grid
        self.shard_images = max(1, SHARD_BYTES // (height * width * backbone.dim * 2))

    def run(self) -> None:
        """Everything that is left to do; safe to kill at any point."""
        if (others := recover_plan(self.writer, self.paths, self.shard_images)) is not None:
            self.watch.say(f"the plan was lost and is made again, and {others} shards that are not of it")
        if damaged := self.writer.drop_damaged():
            self.watch.say(f"{len(damaged)} shards are damaged and will be made again")
        self._place()
        todo = self._todo()
        left = sum(len(task.samples) for task in todo)
        if not left and self.writer.is_complete:
            self.watch.say("nothing is new")
            return
        head = find_head(self.writer, self.backbone, self.plan, self.request.template)
        if head is None and self.plan.head == "probe":
            self.stage(todo)
            if self.request.part:
                return self._tell_part()
            seed = self.request.seed
            head = train_head(self.writer, self.backbone, self.plan, self.dataset, seed, self.watch)
        if self.writer.manifest.certificate is None:
            self._certify(head)
        self.watch.start("images", left)
        self._add_shards(todo, head)
        if self.request.part:
            return self._tell_part()
        self.watch.start("building the database and the search index", 1)
        self.writer.finish()
        self.watch.advance(1)

    # ------------------------------------------------------------------------------------- what is left

    def _place(self) -> None:
        """Plan what is new or has changed and set aside what is gone, before any image is looked at."""
        if self.request.part and self.writer.placement.shards:
            return self._tell_planned()
        self.watch.start("comparing the dataset with the index", 1)
        now = compare(self.writer.path, self.dataset.root)
        listed = set(self.paths)
        returned = {image for image in now.returned if now.paths[image] in listed}
        self._tell(now.names(now.changed), "changed in the dataset since, and will be indexed again")
        self._tell(now.names(now.gone), "gone from the dataset, and set aside")
        self.writer.set_removed((self.writer.placement.removed | now.changed | now.gone) - returned)
        placed = set(self._active_paths())
        new = (path for path in self.paths if path not in placed)
        self.writer.place(cut(new, self.writer.placement.images, self.shard_images))
        self.watch.advance(1)

    def _tell(self, paths: Sequence[str], what: str) -> None:
        if paths:
            others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            self.watch.say(f"{paths[0]}{others}: {what}")

    def _tell_planned(self) -> None:
        """A part keeps to the plan that it began with, or its ids would be those of other images."""
        listed = set(self.paths)
        if differing := sorted(listed ^ set(self._active_paths())):
            self.watch.say(
                f"the dataset is not as it was planned ({len(differing)} images, such as {differing[0]}); "
                "this part goes on as planned, and audit index takes up what is new or gone after the merge"
            )

    def _tell_part(self) -> None:
        shards = self.writer.manifest.own(planned := self.writer.placement.shards)
        images = sum(len(shard.paths) for shard in shards)
        self.watch.say(f"{images} images in {len(shards)} of {len(planned)} shards are done")
        self.watch.say(unfinished(self.writer.path, self.writer.manifest))

    def _active_paths(self) -> Iterator[str]:
        """Paths of the images that were given an id and are not set aside."""
        removed = self.writer.placement.removed
        for shard in self.writer.placement.shards:
            yield from (path for image, path in enumerate(shard.paths, shard.first) if image not in removed)

    def _todo(self) -> list[Task]:
        """The planned shards that are not there, or are damaged."""
        missing = self.writer.missing()
        by_path = {sample.path: sample for sample in self.dataset.samples}
        self._require_listed([path for shard in missing for path in shard.paths if path not in by_path])
        return [
            Task(shard.name, shard.first, [by_path.get(path, Sample(path)) for path in shard.paths])
            for shard in missing
        ]

    def _require_listed(self, unlisted: Sequence[str]) -> None:
        """An image that --limit or --sample leaves out would be indexed without its labels."""
        request, root = self.request, self.dataset.root
        if (request.limit or request.sample) and any(is_there(root / path) for path in unlisted):
            raise IndexMismatch(
                f"{self.writer.path} was planned with images that --limit or --sample leaves out now, such "
                f"as {unlisted[0]}; go on with: {self.writer.command}"
            )

    def _certify(self, head: Head | None) -> None:
        """Measure the head's certificate and, where eager torch in float32 does not make the cells, how near
        they are to its own: both on the dataset's first images."""
        samples, loaded = iter(self.dataset.samples[: 4 * CERTIFIED]), list[Loaded]()
        while wanted := list(islice(samples, CERTIFIED - len(loaded))):
            loaded += [item for item in self.load(wanted) if item.is_ok]
        if loaded:
            images, sha256 = self.extractor.images(loaded), self.writer.manifest.head.sha256
            self.writer.update(
                certificate=remember_certificate(self.backbone, head, sha256, images),
                agreement=self.extractor.agreement(head, self.writer.manifest.readout, images),
            )

    # ------------------------------------------------------------------------------------- the shards

    def stage(self, todo: Sequence[Task]) -> None:
        """Extract the originals alone: the probe needs all pooled vectors before it can score a cell."""
        todo = [task for task in todo if self._staged(task) is None]
        self.watch.start("images for the probe", sum(len(task.samples) for task in todo))
        if self.request.engine == "ray":
            return make_on_ray(self, todo, STAGING)
        loaded = self.load(chain.from_iterable(task.samples for task in todo))
        for task in todo:
            rows = ShardRows(task.first, len(task.samples), self.backbone.grid, self.backbone.dim)
            for batch in self._batches(rows, islice(loaded, len(task.samples))):
                rows.put_features(list(batch), self.extractor.original(list(batch.values())))
            write_staged(self.writer.path, task.name, **rows.arrays(), images=rows.image_columns())

    def _staged(self, task: Task) -> Staged | None:
        return find_staged(self.writer.path, task.name, [s.path for s in task.samples], self.watch)

    def _add_shards(self, todo: Sequence[Task], head: Head | None) -> None:
        if self.request.engine == "ray":
            return make_on_ray(self, todo, SHARDS)
        loaded = self.load(chain.from_iterable(task.samples for task in todo))
        for task in todo:
            self.add_shard(task, islice(loaded, len(task.samples)), head)

    def add_shard(self, task: Task, loaded: Iterable[Loaded], head: Head | None) -> None:
        """Write one shard of its images, which come in their order."""
        rows = ShardRows(task.first, len(task.samples), self.backbone.grid, self.backbone.dim)
        staged = self._staged(task)
        for batch in self._batches(rows, loaded):
            inputs = self.extractor.images(list(batch.values()))
            if staged is None:
                grid = self.extractor.original(list(batch.values()), inputs)
                rows.put_features(list(batch), grid)
            if staged is not None or self._scores_what_is_kept:
                grid = restore_grid(staged or rows, list(batch))
            if head is not None:
                self._score(rows, batch, inputs, grid, head)
        images, cells = rows.image_columns(), rows.cell_columns(has_head=head is not None)
        path, manifest = self.writer.path, self.writer.manifest
        if staged is None:
            write_shard(path, manifest, task.name, **rows.arrays(), images=images, cells=cells)
        else:
            promote_staged(path, manifest, task.name, images=images, cells=cells)

    @property
    def _scores_what_is_kept(self) -> bool:
        """Whether the head is a probe of this index, trained while the first shards were staged.

        A shard that comes later or was lost is scored like those, from features as they are stored.
        """
        return self.writer.manifest.has_own_probe

    def _score(self, rows: ShardRows, batch: Batch, inputs: Tensor, grid: Grid, head: Head) -> None:
        """Class scores of the originals and, where something is annotated, of the occluded variants."""
        self._put_scores(rows, batch, "original", grid, head)
        places = [place for place, item in enumerate(batch.values()) if item.foreground is not None]
        annotated = {row: item for row, item in batch.items() if item.foreground is not None}
        inputs = inputs if len(places) == len(batch) else inputs[places]
        for variant in self.plan.variants[1:] if annotated else ():
            occluded = self.extractor.occluded(list(annotated.values()), variant, inputs)
            self._put_scores(rows, annotated, variant, occluded, head)

    def _put_scores(self, rows: ShardRows, batch: Batch, variant: str, grid: Grid, head: Head) -> None:
        scores = score_grid(head, grid, self.request.readout, rows.folds([*batch]), rows.targets([*batch]))
        for row, of_image in zip(batch, scores, strict=True):
            rows.put_scores(row, variant, of_image)

    def _batches(self, rows: ShardRows, images: Iterable[Loaded]) -> Iterator[Batch]:
        """Describe every image and yield those that are ok by their row, a batch at a time."""
        batch: dict[int, Loaded] = {}
        with kept_heap():
            for row, loaded in enumerate(images):
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

    def load(self, samples: Iterable[Sample]) -> Iterator[Loaded]:
        """Samples of all shards in one stream, so that decoding does not wait at the end of each."""
        workers, ahead = self.request.workers, 2 * self.request.batch
        return load_ahead(self.dataset, samples, self.backbone.preprocess, workers=workers, ahead=ahead)
