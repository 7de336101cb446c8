"""`audit plan`: what an index would take on this machine, from a few of its images; nothing of it is made."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import torch

from auditor.errors import AuditError, DatasetError
from auditor.files import free_bytes
from auditor.indexing.build import SHARD_BYTES, Build, Task
from auditor.indexing.extract import load_request
from auditor.indexing.head import find_head
from auditor.indexing.plan import FOLDS, make_manifest, make_plan
from auditor.indexing.request import Request
from auditor.models.heads import Head, LinearHead
from auditor.records import ClassName, Dataset, Estimate, Sample
from auditor.records.watch import Silence, Watch
from auditor.search.make_lists import bytes_of_lists
from auditor.store.derived import EMPTY, derived_bytes
from auditor.store.places import SHARDS
from auditor.store.shards import ARRAYS, TABLES
from auditor.store.writer import IndexWriter

PROBED = 20


@dataclass(frozen=True, slots=True)
class Probed:
    """What was measured of a shard of `images`, all of them ok: seconds and bytes.

    `decode` is spent by the threads that read, `forward` by the model and what follows it; `arrays`, `tables`
    and `rest` are the shard's files, `heads` those of the head, `memory` what this process took at most and
    `batch_memory` how much of it came with the images.
    """

    images: int
    decode: float
    forward: float
    arrays: int
    tables: int
    rest: int
    heads: int
    memory: int
    batch_memory: int


def estimate(request: Request, dataset: Dataset, path: Path, watch: Watch) -> Estimate:
    """What the index at `path` would take; DatasetError where no image of the probe can be read."""
    backbone = load_request(request, watch)
    watch.advance(1)
    plan = make_plan(dataset, backbone, request)
    probe = replace(dataset, samples=_spread(dataset.samples))
    watch.start("probing images", len(probe.samples))
    with tempfile.TemporaryDirectory() as folder:
        manifest = make_manifest(dataset, backbone, plan, request)
        with IndexWriter.create(Path(folder) / "probe", manifest) as writer:
            build = Build(writer, probe, backbone, plan, request, Silence())
            head = find_head(writer, backbone, plan, request.template)
            if head is None and plan.head == "probe":
                head = _untrained(backbone.dim, plan.classes)
            probed = _probe(build, head)
    watch.advance(len(probe.samples))
    images, per_shard = len(dataset.samples), build.shard_images
    lists = bytes_of_lists(images * math.prod(backbone.grid), backbone.dim)
    return Estimate(
        index=path.name,
        images=images,
        grid=backbone.grid,
        dim=backbone.dim,
        size=backbone.preprocess.crop,
        head=plan.head,
        variants=plan.variants,
        bytes_per_image=_bytes_per_image(probed) + lists / images,
        lists_bytes=lists,
        fixed_bytes=probed.heads + (1 + math.ceil(images / per_shard)) * probed.rest + EMPTY,
        free_bytes=free_bytes(path),
        memory_bytes=probed.memory + _rest_of_batch(probed, min(request.batch, images)) + 2 * SHARD_BYTES,
        machine_bytes=_machine_bytes(),
        seconds_per_image=_seconds(probed, request.workers, backbone.device.type) / probed.images,
        probed=probed.images,
    )


def refuse(made: Estimate, path: Path) -> AuditError | None:
    """Why disk or memory do not hold the index, and the options that fit; None where they do."""
    if made.bytes > made.free_bytes:
        return AuditError(
            f"{path} would take {made.bytes:,} bytes, and its disk has {made.free_bytes:,} free; "
            f"{_smaller(made)}"
        )
    if not made.is_possible:
        return AuditError(
            f"indexing would take {made.memory_bytes:,} bytes of memory, and this machine has "
            f"{made.machine_bytes:,}; take a smaller --batch, or a smaller --size"
        )
    return None


def _smaller(made: Estimate) -> str:
    """The options under which an index that is too large would fit."""
    images = int(0.95 * (made.free_bytes - made.fixed_bytes) / made.bytes_per_image)
    if images < 1:
        return "make room, or name another place"
    stride, rows = made.size // made.grid[0], int(made.grid[0] * math.sqrt(images / made.images))
    coarser = f", or --size {rows * stride} ({rows} x {rows} cells)" if rows else ""
    return f"it would hold --sample {images}{coarser}"


def _spread(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """At most `PROBED` of the samples, evenly from first to last."""
    count = min(PROBED, len(samples))
    return tuple(samples[number * len(samples) // count] for number in range(count))


def _untrained(dim: int, classes: tuple[ClassName, ...]) -> Head:
    """A head of the size of the probe that will be trained."""
    weight = torch.randn(len(classes), dim, generator=torch.Generator().manual_seed(0))
    return LinearHead(weight, torch.zeros(len(classes)), classes)


def _probe(build: Build, head: Head | None) -> Probed:
    """The probe's shard, written twice: the first time wakes up what is slow once."""
    started, before = perf_counter(), _peak_memory()
    loaded = [item for item in build.load(build.dataset.samples) if item.is_ok]
    decode = perf_counter() - started
    if not loaded:
        raise DatasetError(f"none of {len(build.dataset.samples)} images of {build.dataset.root} can be read")
    task = Task("000000000", 0, [item.sample for item in loaded])
    build.add_shard(task, loaded, head)
    started = perf_counter()
    build.add_shard(task, loaded, head)
    forward = perf_counter() - started
    path = build.writer.path
    files = {file.name: file.stat().st_size for file in (path / SHARDS / task.name).iterdir()}
    arrays, tables = (sum(files.pop(name) for name in names) for names in (ARRAYS, TABLES))
    heads = sum(file.stat().st_size for file in path.glob("heads/*"))
    if build.plan.head == "probe":
        heads = (FOLDS + 1) * len(build.plan.classes) * build.backbone.dim * 4
    memory, rest = _peak_memory(), sum(files.values())
    return Probed(len(loaded), decode, forward, arrays, tables, rest, heads, memory, memory - before)


def _rest_of_batch(probed: Probed, batch: int) -> int:
    """What a batch takes beyond the images of it that were probed."""
    return round(probed.batch_memory * (batch / min(batch, probed.images) - 1))


def _bytes_per_image(probed: Probed) -> float:
    return (probed.arrays + probed.tables + derived_bytes(probed.tables)) / probed.images


def _seconds(probed: Probed, workers: int, device: str) -> float:
    """What the probe takes in a long run, where threads decode the next images meanwhile.

    An accelerator leaves the processor to them; without one they take their share of its time from the model.
    """
    cores = os.cpu_count() or 1
    taken = probed.decode * min(workers / cores, 1) if device == "cpu" else 0.0
    return max(probed.decode, probed.forward + taken)


def _peak_memory() -> int:
    status = Path("/proc/self/status")  # which, unlike the other, does not begin at the parent's
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _machine_bytes() -> int | None:
    """The machine's memory, or what this process may have of it; None where the system does not say."""
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
    allowed = Path("/sys/fs/cgroup/memory.max")
    text = allowed.read_text().strip() if allowed.is_file() else ""
    return min(whole, int(text)) if text.isdecimal() else whole
