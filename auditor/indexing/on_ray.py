"""Shards made by the workers of a Ray cluster; this process plans, and commits them as they arrive.

A shard is one task. A worker holds the model, makes the shard in a folder of its own and sends its files: the
same bytes, whoever makes them. A worker that dies is replaced and its task placed again;
where this process dies, what it had committed is there for the next run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import AuditError, BackboneError, DatasetError, IndexMismatch, first_line
from auditor.files import machine_name
from auditor.indexing.plan import Plan, library_versions
from auditor.indexing.request import Request
from auditor.models.runtime import check_runtime
from auditor.records import Dataset
from auditor.records.watch import Silence
from auditor.store.manifest import Manifest
from auditor.store.places import SHARDS, STAGING
from auditor.store.shards import files_of, is_staged, put_files
from auditor.store.writer import IndexWriter

if TYPE_CHECKING:
    from auditor.indexing.build import Build, Task
    from auditor.models.backbone import Backbone

TRIES = 3  # of one task, whose worker may have died of it


class Worker:
    """Lives in a process of the cluster."""

    def __init__(self, request: Request, dataset: Dataset, plan: Plan, versions: Mapping[str, str]) -> None:
        self.request, self.dataset, self.plan, self.versions = request, dataset, plan, versions

    def make(
        self, manifest: Manifest, task: Task, place: str, files: Mapping[str, bytes]
    ) -> dict[str, bytes]:
        """The files of a shard, or of what is staged, by name; `files` of the index it is made from."""
        from auditor.indexing.build import Build
        from auditor.indexing.head import find_head

        self._check(manifest)
        with tempfile.TemporaryDirectory() as scratch, IndexWriter.create(Path(scratch), manifest) as writer:
            for name, content in files.items():
                (writer.path / name).parent.mkdir(parents=True, exist_ok=True)
                (writer.path / name).write_bytes(content)
            build = Build(writer, self.dataset, self.backbone, self.plan, self.request, Silence())
            if place == STAGING:
                build.stage([task])
            else:
                head = find_head(writer, self.backbone, self.plan, self.request.template)
                build.add_shard(task, build.load(task.samples), head)
            folder = writer.path / place / task.name
            return {name: (folder / name).read_bytes() for name in files_of(place)}

    @cached_property
    def backbone(self) -> Backbone:
        """The model, loaded with the first task."""
        from auditor.indexing.extract import load_request

        return load_request(self.request)

    def _check(self, manifest: Manifest) -> None:
        """Refuse to make what another worker would make otherwise."""
        host = machine_name()
        check_runtime(self.request.runtime)
        for name, version in library_versions(self.request.runtime).items():
            if version != self.versions[name]:
                raise IndexMismatch(f"{host} has {name} {version}, and this index {self.versions[name]}")
        if not self.dataset.root.exists():
            raise DatasetError(f"{host} does not have {self.dataset.root}: every worker reads it there")
        if self.backbone.weights_sha256 != manifest.backbone.weights_sha256:
            raise BackboneError(f"{host} has other weights of {manifest.backbone.name} than this index")


def make_on_ray(build: Build, todo: Sequence[Task], place: str) -> None:
    """Have every task made and commit each as it arrives."""
    if todo:
        Cluster(build, place).run(todo)


class Cluster:
    """The workers, and which task each has."""

    def __init__(self, build: Build, place: str) -> None:
        self.build, self.place, self.ray = build, place, _connect(build.request.address)
        request, self.per_worker = _share(self.ray, build.request)
        dataset, plan = replace(build.dataset, samples=()), replace(build.plan, given=None)
        self.about = request, dataset, plan, library_versions(request.runtime)
        self.workers = self.ray.remote(Worker)

    def run(self, todo: Sequence[Task]) -> None:
        """Hand out tasks until all are done; AuditError where no worker can do one."""
        waiting, tries = list(reversed(todo)), dict.fromkeys((task.name for task in todo), 0)
        running: dict[Any, tuple[Task, Any]] = {}
        idle = [self._start() for _ in range(min(len(todo), self._room()))]
        while waiting or running:
            while waiting and idle:
                task, worker = waiting.pop(), idle.pop()
                running[self._hand_out(worker, task)] = task, worker
            (done, *_), _ = self.ray.wait(list(running))
            task, worker = running.pop(done)
            tries[task.name] += 1
            try:
                put_files(self.build.writer.path, self.place, task.name, self.ray.get(done))
            except self.ray.exceptions.RayError as error:
                waiting.append(task)
                is_dead = isinstance(error, self.ray.exceptions.RayActorError)
                reason = first_line(getattr(error, "cause", None) or error)
                if tries[task.name] == TRIES or not (is_dead or idle or running):
                    raise AuditError(
                        f"{reason}; what was made is kept, run the same command to go on"
                    ) from error
                self.build.watch.say(f"a worker {'died' if is_dead else 'is left out'}: {reason}")
                idle += [self._start()] if is_dead else []
            else:
                self.build.watch.advance(len(task.samples))
                idle.append(worker)

    def _hand_out(self, worker: Any, task: Task) -> Any:
        staged = {}
        if self.place == SHARDS and is_staged(self.build.writer.path, task.name):
            names = (f"{STAGING}/{task.name}/{name}" for name in files_of(STAGING))
            staged = {name: (self.build.writer.path / name).read_bytes() for name in names}
        return worker.make.remote(self.build.writer.manifest, task, self.place, staged | self._head())

    def _head(self) -> dict[str, bytes]:
        file = self.build.writer.manifest.head.file
        return {file: (self.build.writer.path / file).read_bytes()} if file else {}

    def _start(self) -> Any:
        return self.workers.options(**self.per_worker).remote(*self.about)

    def _room(self) -> int:
        (kind, each), total = next(iter(self.per_worker.items())), self.ray.cluster_resources()
        return max(1, int(total.get({"num_gpus": "GPU", "num_cpus": "CPU"}[kind], 0)) // each)


def _connect(address: str | None) -> Any:
    try:
        import ray
    except ImportError:
        raise AuditError("--engine ray needs Ray: pip install 'auditor[ray]'") from None
    if not ray.is_initialized():
        local = {} if address else {"include_dashboard": False}
        try:
            ray.init(address=address, log_to_driver=False, **local)
        except Exception as error:
            raise AuditError(f"no Ray cluster answers at {address}: {first_line(error)}") from error
    return ray


def _share(ray: Any, request: Request) -> tuple[Request, dict[str, int]]:
    """A GPU for each worker where the cluster has some, else as many CPUs as threads that read images."""
    request = replace(request, engine="local")  # of a worker, which hands on nothing
    if request.processor != "cpu" and ray.cluster_resources().get("GPU"):
        return replace(request, device="cuda"), {"num_gpus": 1}
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))  # a worker that wants more never starts
    return replace(request, device="cpu"), {"num_cpus": min(request.workers, cpus)}
