"""The paper's tables beside ours, wherever the data and the weights are at hand.

    python benchmarks/reproduce.py synthetic --arch resnet18
    python benchmarks/reproduce.py synthetic --arch resnet10t --size 112 --scenes 300000 --epochs 1 --batch 64
    python benchmarks/reproduce.py table1 --imagenet VAL --boxes XML
    python benchmarks/reproduce.py table2 --imagenet-a DIR
    python benchmarks/reproduce.py table3 --coco VAL --annotations JSON --train TRAIN --train-annotations JSON
    python benchmarks/reproduce.py table6 --imagenet VAL --boxes XML

Each row is an index under indexes/ that is continued when the script is run again. A backbone whose weights
cannot be had is reported and left out.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from auditor.data.scenes import Recipe as SceneRecipe
from auditor.data.synth import write_scenes
from auditor.errors import BackboneError
from auditor.indexing.request import Request
from auditor.indexing.start import build_index
from auditor.indexing.train_probe import probe
from auditor.models.backbone import Backbone
from auditor.models.weights import load_backbone
from auditor.page.compare.paper import TABLE1, TABLE2, TABLE3, TABLE6, PaperTable
from auditor.questions.metrics.ask import metrics
from auditor.questions.metrics.record import Metrics
from auditor.records import Rate
from auditor.store import Index
from auditor.terminal.progress import Bar
from auditor.train.examples import SceneExamples
from auditor.train.loop import TrainedHead
from auditor.train.training import TrainingRequest, train, validate

INDEXES = Path("indexes")
app = typer.Typer(no_args_is_help=True, add_completion=False)

PROBE: dict[str, Any] = {"head": "probe", "preprocess": "paper"}
Folder = Annotated[Path, typer.Option(exists=True, file_okay=False)]
File = Annotated[Path, typer.Option(exists=True)]


def build(name: str, request: Request) -> Path:
    """Build or continue the index of a row."""
    with Bar() as bar:
        build_index(request, bar, path=INDEXES / name)
    return INDEXES / name


def show(rows: Mapping[str, Metrics], paper: PaperTable) -> None:
    """Markdown: ours / the paper's, cell by cell."""
    print("| backbone | " + " | ".join(paper.columns) + " |")
    print("|---" * (len(paper.columns) + 1) + "|")
    for name, found in rows.items():
        cells = (percent(getattr(found, column)) for column in paper.columns)
        pairs = (f"{ours} / {theirs}" for ours, theirs in zip(cells, paper.rows[name], strict=True))
        print(f"| {name} | " + " | ".join(pairs) + " |")


def percent(rate: Rate) -> str:
    """One decimal, as in the paper."""
    return "-" if rate.value is None else f"{100 * rate.value:.1f}"


def run(dataset: Path, annotations: Path | None, paper: PaperTable) -> None:
    """Index a dataset with every backbone of a table and print both."""
    rows = {}
    for name in paper.rows:
        request = Request(dataset, name, annotations, preprocess="paper")
        try:
            path = build(f"{dataset.resolve().name}-{name}", request)
        except BackboneError as error:
            print(f"{name}: {error}")
            continue
        with Index.open(path) as index:
            rows[name] = metrics(index)
    show(rows, paper)


@app.command()
def table1(imagenet: Folder, boxes: Folder) -> None:
    """ImageNet validation with ILSVRC boxes."""
    run(imagenet, boxes, TABLE1)


@app.command()
def table2(imagenet_a: Folder) -> None:
    """ImageNet-A: accuracy and detection among all 1000 classes."""
    run(imagenet_a, None, TABLE2)


@app.command()
def table6(imagenet: Folder, boxes: Folder) -> None:
    """The pretrained class-token row; the trained ones need ImageNet's training set."""
    run(imagenet, boxes, TABLE6)


@app.command()
def table3(coco: Folder, annotations: File, train: Folder, train_annotations: File) -> None:
    """COCO: a linear probe trained on the pooled vectors of one split, applied to the cells of the other."""
    rows = {}
    for name in TABLE3.rows:
        try:
            paths = [
                build(f"{images.resolve().name}-{name}", Request(images, name, labels, **PROBE))
                for images, labels in ((coco, annotations), (train, train_annotations))
            ]
        except BackboneError as error:
            print(f"{name}: {error}")
            continue
        with Index.open(paths[0]) as on, Index.open(paths[1]) as source, Bar() as bar:
            rows[name] = metrics(probe(on, source, watch=bar).index)
    show(rows, TABLE3)


@app.command()
def synthetic(
    arch: str = "resnet18",
    head: TrainedHead = "fc",
    scenes: int = 500_000,
    size: int = 224,
    epochs: int = 100,
    batch: int = 512,
    rate: float | None = None,
    held_out: int = 5_000,
) -> None:
    """4.4: image accuracy near E[1/n] = 26.1 %, Loc. of 94 % (ResNet-18) and 63 % (ViT-S/32) in the paper."""
    folder = Path("scenes") / f"{scenes}"
    for _ in write_scenes(folder, SceneRecipe(seed=0), scenes, recipe_only=True):
        pass
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args = {"output_stride": 16} if arch.startswith("resnet") and size < 224 else {}
    request = TrainingRequest(
        arch, head, args, size=size, epochs=epochs, batch=batch, rate=rate, device=device
    )
    out, started = folder.with_name(f"{scenes}-{arch}-{head}-{size}.safetensors"), time.monotonic()
    with Bar("steps", 1) as bar:
        train(
            folder,
            out,
            request,
            on_step=lambda p: bar.at(p.step, p.steps, f"steps, loss {p.loss:.3f}"),
            on_validation=lambda v: bar.say(f"epoch {v.epoch + 1}: Loc. {percent(v.loc)}"),
            say=bar.say,
        )
    hours = (time.monotonic() - started) / 3600
    report(SceneExamples(SceneRecipe(seed=0), scenes, size), out, held_out)
    print(f"{device}, {platform.machine()}, {torch.get_num_threads()} threads, {hours:.2f} hours")


@app.command()
def evaluate(weights: Path, scenes: int = 500_000, held_out: int = 5_000) -> None:
    """The numbers of weights that `synthetic` or `audit train` left, on scenes after the training ones."""
    size = load_backbone(str(weights)).preprocess.crop
    report(SceneExamples(SceneRecipe(seed=0), scenes, size), weights, held_out)


def report(examples: SceneExamples, weights: Path, held_out: int) -> None:
    """Validation on unseen scenes, and what drawing costs beside a step of the model."""
    backbone = load_backbone(str(weights))
    found = validate(backbone, examples.held_out(scenes=held_out), 0)
    print(f"{weights.name}, grid {backbone.grid}: {held_out} scenes after the first {examples.images}")
    print(f"image accuracy {percent(found.accuracy)} (26.1), Loc. {percent(found.loc)} (94.0, 63.0)")
    print(f"{draw_time(examples):.2f} ms to draw a scene, {step_time(backbone):.2f} ms an image of a step")


def draw_time(examples: SceneExamples, scenes: int = 500) -> float:
    """Milliseconds to sample, draw and shrink a scene."""
    images, started = examples.epoch(0), time.monotonic()
    for number in range(scenes):
        images[number]
    return 1000 * (time.monotonic() - started) / scenes


def step_time(backbone: Backbone, batch: int = 64) -> float:
    """Milliseconds per image of a forward and backward pass, as in training."""
    model, crop = backbone.anatomy.tower.module.train(), backbone.preprocess.crop
    images = torch.randn(batch, 3, crop, crop, device=backbone.device)
    times = []
    for _ in range(4):
        started = time.monotonic()
        with torch.autocast(backbone.device.type, dtype=torch.bfloat16):
            loss = model(images).square().mean()
        loss.backward()
        times.append(time.monotonic() - started)
    return 1000 * min(times) / batch


if __name__ == "__main__":
    app()
