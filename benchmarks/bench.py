"""What must stay fast, as ratios measured side by side: `make bench`.

    python benchmarks/bench.py [NAME ...]

Each line has its goal; figures of the last run are in RESULTS.md.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import coordinator
import numpy as np
import torch
from big import make_big
from maps import time_map
from PIL import Image
from side_by_side import Usage, compare, load, measure, run
from sklearn.linear_model import LogisticRegression

from auditor.data.occlusion import normalise
from auditor.data.pixels import load_input
from auditor.data.read import read_dataset
from auditor.indexing.build import Build, Task
from auditor.indexing.extract import load_request
from auditor.indexing.heap import kept_heap
from auditor.indexing.plan import make_manifest, make_plan
from auditor.indexing.request import Request
from auditor.measure.counts import CLASSES, PAIRS, count_images, count_pairs
from auditor.models.heads import OwnHead, certify
from auditor.models.probe import train_probe
from auditor.models.remembered import identify, remember_certificate
from auditor.models.weights import assemble, load_backbone
from auditor.records import ClassName, Region
from auditor.records.watch import Silence
from auditor.search import proposals
from auditor.search.make_lists import prepare_search
from auditor.search.nearest import find_cells, nearest_cells, searchable
from auditor.store import Index, IndexWriter, Placed, read_placement, read_shard
from auditor.store.blocks import Verified
from auditor.store.generations import LISTS
from auditor.store.placement import extend_placement
from auditor.store.places import SHARDS
from auditor.store.sealed import seal
from auditor.store.shards import SHARD, files_of, put_files

FOLDER = Path(tempfile.gettempdir()) / "audit-bench"
FINISH = "from pathlib import Path\nimport sys\nfrom auditor.store import IndexWriter\n"
FINISH += "with IndexWriter.resume(Path(sys.argv[1])) as writer: writer.finish()\n"
# many shards at either size: what one holds in memory follows from its 64 MiB of features
COMMAND = "import sys\nfrom auditor.cli.app import app\napp(sys.argv[1:], standalone_mode=False)\n"
INDEX = f"from auditor.indexing import build\nbuild.SHARD_BYTES = 1 << 18\n{COMMAND}"
ASK = """
import sys
from pathlib import Path
import auditor
from auditor.questions.metrics.ask import metrics
from auditor.search.nearest import nearest_cells, searchable
with auditor.open(Path(sys.argv[1])) as index:
    for cell in range(int(sys.argv[2])):
        metrics.__wrapped__(index)  # what it takes when nothing is kept
        nearest_cells(index, index.vectors([cell])[0], 20, searchable(index))
"""

SCRIPTS = {"finish": FINISH, "audit": COMMAND, "index": INDEX, "ask": ASK}


@cache
def script(name: str) -> Path:
    """One of `SCRIPTS` as a file, to be measured in a process of its own."""
    path = FOLDER / f"{name}.py"
    path.write_text(SCRIPTS[name], encoding="utf-8")
    return path


@cache
def big(images: int, dim: int = 64, clusters: int = 0) -> Path:
    """An index of so many images of 49 cells and 3 variants; kept between runs."""
    path = FOLDER / "indexes" / f"big-{images}-{dim}-{clusters}"
    if not (path / "CURRENT").exists():
        shutil.rmtree(path, ignore_errors=True)
        make_big(path, images, dim=dim, clusters=clusters)
    return path


def verification() -> None:
    """What it costs to verify what an answer reads: nothing once a file is known in its state."""
    path = big(20_000)

    def ask() -> None:
        with Index.open(path) as index:
            index.query(PAIRS.format(classes=CLASSES["all"]))
            nearest_cells(index, index.vectors(np.array([24]))[0], 20, searchable(index))

    def ask_unverified() -> None:
        is_known = Verified.is_known
        Verified.is_known = lambda *_: True  # type: ignore[method-assign]
        try:
            ask()
        finally:
            Verified.is_known = is_known  # type: ignore[method-assign]

    def ask_first() -> None:
        (path / ".verified").unlink(missing_ok=True)
        ask()

    compare("answers, files verified before / never verified", ask, ask_unverified, 1.05)
    compare("answers, first time that files are read / never verified", ask_first, ask_unverified)


def counts() -> None:
    """Table 1's counts, made once for each generation."""
    path = big(100_000)

    def ask() -> None:
        with Index.open(path) as index:
            count_pairs(index, "all"), count_images(index, "all")

    def count() -> None:
        with Index.open(path) as index:
            index.query(PAIRS.format(classes=CLASSES["all"]))

    compare("Table 1 over 14.7 million cell rows / counting its pairs", ask, count, 0.5)


def search() -> None:
    """One exact query against the product that it needs at least."""
    with Index.open(big(20_000, 512, 5_000)) as index:
        allowed, vector = searchable(index), index.vectors(np.array([24]))[0]
        matrix = torch.empty(allowed.size, index.manifest.dim)
        for start in range(0, len(matrix), 10_000):
            cells = np.arange(start, min(start + 10_000, len(matrix)))
            matrix[start : start + 10_000] = torch.from_numpy(index.vectors(cells))
        query = torch.from_numpy(vector)
        compare(
            "exact query, 980,000 x 512 / float32 product in torch",
            lambda: nearest_cells(index, vector, 20, allowed),
            lambda: torch.topk(matrix @ query, 20),
            0.7,
        )


def lists() -> None:
    """A query by the lists of a large index against an exact one, and what they take; made-up clusters."""
    large, proposals.LARGE = proposals.LARGE, 900_000
    for dim in (128, 512):
        path = big(20_000, dim, 5_000)
        cpu = time.process_time()
        prepare_search(path, Silence())
        cpu = time.process_time() - cpu
        with Index.open(path) as index:
            search, file = index.generation.search, index.file(LISTS)
            assert search is not None
            assert file is not None
            each = file.stat().st_size / search.cells
            print(f"{search}, {each:.1f} bytes a cell, made in {cpu:.0f} CPU-s (0: made before)", flush=True)
            allowed, cpu = searchable(index), time.process_time()
            by_lists, by_all = proposals.proposer(index, allowed), proposals.All(index.codes)
            print(f"opened in {1000 * (time.process_time() - cpu):.1f} CPU-ms", flush=True)
            vectors = index.vectors(np.random.default_rng(0).choice(allowed.size, 20))

            def ask(by: proposals.Proposer, index: Index, vectors: Any, allowed: Any) -> None:
                for vector in vectors:
                    find_cells(index, by, vector, 20, allowed, 1)

            ours, other = (partial(ask, each, index, vectors, allowed) for each in (by_lists, by_all))
            compare(f"20 queries of 980,000 x {dim}, lists / exact", ours, other, 0.2)
    proposals.LARGE = large


def start() -> None:
    """Commands against the imports that none can do without."""
    path, listed = big(20_000), FOLDER / "listed"
    for each in (path, big(100_000), big(4_000, 512)):
        with suppress(FileExistsError):
            (listed / "indexes").mkdir(parents=True, exist_ok=True)
            (listed / "indexes" / each.name).symlink_to(each)
    pictured = FOLDER / "indexes" / "photos-1000"
    if not (pictured / "CURRENT").exists():
        model = ("--backbone", "timm/test_resnet", "--weights", "random:0", "--name", pictured)
        run("-m", "auditor", "index", photos(1_000), *model, cwd=FOLDER)
    needed = "import numpy, duckdb, faiss, typer, rich"
    for words, goal in (
        (("--help",), 1.3),
        (("list",), 1.3),
        (("context", "--index", path), 1.3),
        (("metrics", "--index", path), 1.3),
        (("similar", "--patch", "000000.png:2,2", "--index", pictured), 1.8),
    ):
        compare(
            f"audit {words[0]} / numpy, duckdb, faiss, typer, rich",
            lambda words=words: run("-m", "auditor", *words, cwd=listed),  # type: ignore[misc]
            lambda: run("-c", needed, cwd=listed),
            goal,
        )


def opening() -> None:
    """A model taken apart and its head certified on eight images: remembered, and measured."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 224, 224, generator=generator)
    for name in ("resnet18", "resnet50"):
        first = load_backbone(name, weights="random:0", device="cpu")
        built = first.spec, first.anatomy.tower.module, first.preprocess
        words = {"weights_sha256": first.weights_sha256, "classes": first.classes}

        def remember(built: Any = built, words: Any = words) -> None:
            identity = identify(built[0], 224, words["weights_sha256"], torch.device("cpu"))
            backbone = assemble(*built, **words, identity=identity)
            remember_certificate(backbone, OwnHead(backbone), "own", images)

        def measure(built: Any = built, words: Any = words) -> None:
            backbone = assemble(*built, **words)
            certify(backbone, OwnHead(backbone), images)

        compare(f"opening {name}, remembered / measured", remember, measure)


def steady() -> None:
    """A shard of photographs in one variant, and in three, against reading and running them alone.

    Both keep the memory that the network frees; what that alone gains is measured beside it.
    """
    root = photos(256, (500, 375))
    every = read_dataset(root)
    half = tuple(replace(s, regions=(Region(0, box=(100, 80, 400, 300)),)) for s in every.samples[:16])
    for name, samples, precision, least in (
        ("resnet18", every.samples, "float32", 0.95),
        ("resnet18", half, "float32", 0.95),
        ("resnet18", every.samples, "bfloat16", 0.9),
        ("resnet50", every.samples[:64], "float32", 0.95),
    ):
        dataset = replace(every, samples=samples, classes=(ClassName("thing"),))
        request = Request(root, name, weights="random:0", device="cpu", precision=precision)
        backbone = load_request(request)
        plan = make_plan(dataset, backbone, request)
        path = FOLDER / "indexes" / "steady"
        shutil.rmtree(path, ignore_errors=True)
        with IndexWriter.create(path, make_manifest(dataset, backbone, plan, request)) as writer:
            build = Build(writer, dataset, backbone, plan, request, Silence())
            head, task = OwnHead(backbone), Task("000000000", 0, samples)
            autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")

            def index(build: Build = build, task: Task = task, head: OwnHead = head) -> None:
                build.add_shard(task, build.load(task.samples), head)

            def run_alone(build: Build = build, samples: Any = samples, autocast: Any = autocast) -> None:
                with torch.no_grad(), autocast:
                    for first in range(0, len(samples), 32):
                        read = [
                            load_input(root / sample.path, build.backbone.preprocess)[0]
                            for sample in samples[first : first + 32]
                        ]
                        inputs = normalise(torch.from_numpy(np.stack(read)), build.backbone.preprocess)
                        for _ in build.plan.variants:
                            build.backbone.anatomy.tower.module(inputs)

            def run_kept(run_alone: Callable[[], None] = run_alone) -> None:
                with kept_heap():
                    run_alone()

            what = f"{name}, {precision}, {len(plan.variants)} variants"
            compare(f"indexing {what} / reading and running it", index, run_kept, 1 / least, 7)
            compare(f"reading and running {what}, memory kept / given back", run_kept, run_alone)


def probes() -> None:
    """A probe of 2,000 images and five folds against scikit-learn's regressions on the same folds."""
    rng = np.random.default_rng(0)
    labels, folds = rng.integers(0, 20, 2000), rng.integers(0, 5, 2000)
    pooled = rng.normal(size=(20, 512))[labels] * 0.12 + rng.normal(size=(2000, 512))
    pooled = (pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).astype(np.float32)
    positives, classes = [(int(label),) for label in labels], [ClassName(str(label)) for label in range(20)]

    def regress() -> None:
        for fold in range(5):
            LogisticRegression(max_iter=1000).fit(pooled[folds != fold], labels[folds != fold])

    compare(
        "probe, 2,000 x 512, 20 classes, 5 folds / scikit-learn",
        lambda: train_probe(pooled, positives, classes, folds),
        regress,
        2,
    )


@cache
def photos(count: int, size: tuple[int, int] = (64, 48)) -> Path:
    """A folder of so many images, small PNGs or larger JPEGs of coarse noise; kept between runs."""
    is_small = size == (64, 48)
    folder = FOLDER / (f"photos-{count}" if is_small else f"photos-{count}-{size[0]}")
    folder.mkdir(exist_ok=True)
    for number in range(len(list(folder.iterdir())), count):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        if is_small:
            image.save(folder / f"{number:06d}.png")
        else:
            image.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number:06d}.jpg", quality=90)
    return folder


@cache
def tar(count: int) -> Path:
    """A tar of so many photographs of 16 x 16 pixels, each of its own noise, and their classes."""
    path = FOLDER / f"photos-{count}.tar"
    if not path.exists():
        with tarfile.open(path.with_suffix(".new"), "w") as file:
            for number in range(count):
                pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
                image = BytesIO()
                Image.fromarray(pixels).save(image, "PNG")
                for kind, data in (("png", image.getvalue()), ("cls", str(number % 10).encode())):
                    member = tarfile.TarInfo(f"{number:06d}.{kind}")
                    member.size = len(data)
                    file.addfile(member, BytesIO(data))
        path.with_suffix(".new").rename(path)
    return path


def memory() -> None:
    """What a process takes at most, whatever the size: flat in images, and in how often one asks."""

    def tell(name: str, words: Callable[[int], tuple[str | Path, ...]], small: int, large: int) -> None:
        least, most = (measure(words(size)).memory for size in (small, large))
        print(f"memory of {name}: {most} MiB at {large:,}, {least} MiB at {small:,}", flush=True)

    def index(dataset: Path, *words: str, by: str = "index") -> tuple[str | Path, ...]:
        path = FOLDER / "indexes" / f"memory-{dataset.name}"
        shutil.rmtree(path, ignore_errors=True)
        model = ("--backbone", "timm/test_resnet", "--weights", "random:0", "--name", path, *words)
        return script(by), "index", dataset, *model

    def index_tar(count: int) -> tuple[str | Path, ...]:
        return index(tar(count), "--size", "64", "--head", "none", "--batch", "64")

    tell("finish, by images", lambda n: (script("finish"), big(n)), 1_000, 100_000)
    tell("index, by images", lambda n: index(photos(n)), 1_000, 10_000)
    tell("index, by images of one shard", lambda n: index(photos(n), by="audit"), 500, 7_000)
    tell("index of a tar, by images", index_tar, 1_000, 100_000)
    tell("metrics and similar, by images", lambda n: (script("ask"), big(n), "2"), 1_000, 100_000)
    for words in (("ledger",), ("threshold", "--calibration", "train")):
        ask = (script("audit"), *words, "--json", "--index")  # no torch is loaded
        tell(f"audit {words[0]}, by images", lambda n, ask=ask: (*ask, big(n)), 1_000, 100_000)  # type: ignore[misc]
    tell("metrics and similar, by times asked", lambda n: (script("ask"), big(1_000), str(n)), 20, 200)


def commands() -> None:
    """Every command that needs no model, at 100,000 images, when it is asked for the first time and again."""
    path, image = big(100_000), "00/0000100.jpg"
    measure((script("finish"), path))  # a new generation, which nothing was asked yet
    for words in (
        ("list",),
        *((name,) for name in ("check", "metrics", "context", "causes", "hygiene", "confusion")),
        ("similar", "--patch", f"{image}:3,3"),
        ("find", "--box", f"{image}:64,64,96,96"),
        ("match", image, "01/0000101.jpg"),
        ("grid", image),
        *((name,) for name in ("ledger", "shortcuts", "artifacts", "labels", "leaks")),
        ("threshold", "--calibration", "train"),
        *((name,) for name in ("pool", "map", "findings")),
    ):
        where = () if words == ("list",) else ("--index", path)
        used = [measure((script("audit"), *words, *where, "--json"), FOLDER) for _ in range(2)]
        print(f"audit {words[0]:<10} {'; '.join(map(_told, used))}", flush=True)


def _told(used: Usage) -> str:
    goals = {"2 s": used.seconds > 2, "500 MiB": used.memory > 500}
    missed = " and ".join(goal for goal, is_missed in goals.items() if is_missed)
    return f"{used.seconds:6.1f} CPU-s, {used.memory:4} MiB ({f'{missed} missed' if missed else 'both met'})"


def plans() -> None:
    """100,000 shards planned and found again, against writing and reading as many plain lines."""
    path, lines = FOLDER / "plan", FOLDER / "lines.txt"
    shards = [Placed(f"{first:09d}", first, (f"{first}.jpg",)) for first in range(100_000)]

    def plan() -> None:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        extend_placement(path, shards)
        read_placement(path)

    def write() -> None:
        lines.write_text("\n".join(f"{s.name},{s.first},{s.paths[0]}" for s in shards), encoding="utf-8")
        lines.read_text(encoding="utf-8").split("\n")

    compare("a plan of 100,000 shards / as many lines of text", plan, write)


def commits() -> None:
    """Shards committed as they arrive: 100,000 in memory by a coordinator that is killed; on the disk."""
    if coordinator.MEMORY.is_dir():
        coordinator.simulate(100_000)
    one = make_big(FOLDER / "one", 1, dim=8, grid=(1, 1), classes=10)
    shard = read_shard(one, "000000000")
    files = {file: (one / SHARDS / shard.name / file).read_bytes() for file in files_of(SHARDS)}
    index = Path(tempfile.mkdtemp(prefix="audit-bench-", dir=FOLDER))
    records = [replace(shard, name=f"{first:09d}", first=first) for first in range(1_000)]
    sealed = [seal(record).encode() for record in records]  # which is the work of whoever made the shard
    wall, cpu = time.perf_counter(), time.process_time()
    for record, text in zip(records, sealed, strict=True):
        put_files(index, SHARDS, record.name, files | {SHARD: text})
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"1,000 shards committed in {FOLDER}: {cpu:.1f} CPU-s, {wall:.1f} s", flush=True)
    shutil.rmtree(index)
    shutil.rmtree(one)


def map_() -> None:
    """A map of 98,000 cells against UMAP on its sample, and what one of a million cells takes."""
    time_map(big(2_000, 512, 5_000), 1.15)
    path = big(20_409, 512, 5_000)
    words = ("--seed", str(time.time_ns() % 1_000_000), "--out", FOLDER / "map.png")  # made anew each time
    most = measure((script("audit"), "map", "--index", path, *words)).memory
    print(f"memory of a map of 1,000,041 cells, 20,000 of them in UMAP: {most} MiB", flush=True)


ALL = (
    verification,
    counts,
    search,
    lists,
    start,
    opening,
    steady,
    probes,
    memory,
    commands,
    map_,
    plans,
    commits,
)
BENCHES: dict[str, Callable[[], None]] = {bench.__name__.rstrip("_"): bench for bench in ALL}

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(load())
    for chosen in sys.argv[1:] or BENCHES:
        BENCHES[chosen]()
    print(load())
