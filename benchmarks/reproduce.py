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
from collections.abc import Mapping, Sequence
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
from auditor.questions.metrics.ask import metrics
from auditor.questions.metrics.record import Metrics
from auditor.records import Rate
from auditor.store import Index
from auditor.terminal.progress import Bar
from auditor.train.examples import SceneExamples
from auditor.train.loop import TrainedHead
from auditor.train.training import TrainingRequest, train, validate

Row = Sequence[float | None]
INDEXES = Path("indexes")
app = typer.Typer(no_args_is_help=True, add_completion=False)

T1 = (
    *("top1", "top5", "fg_det", "loc", "loc_without_bg"),
    *("bg_act", "bg_act_without_fg", "real_acc", "real_rec"),
)
TABLE1: Mapping[str, Row] = {
    "efficientnet_b0": (78.4, 94.3, 93.7, 44.0, 42.2, 55.3, 24.6, 84.7, 91.8),
    "resnet50": (80.3, 95.1, 94.3, 33.7, 33.5, 34.5, 28.7, 86.1, 92.0),
    "convnext_base": (83.7, 96.7, 94.7, 58.3, 57.0, 55.2, 34.7, 88.3, 90.9),
    "swin_base": (83.1, 96.4, 94.2, 75.2, 76.0, 89.2, 35.8, 87.7, 89.8),
    "maxvit_base": (84.7, 96.9, 94.8, 77.3, 77.1, 90.3, 37.9, 88.5, 89.7),
}
T2 = ("top1", "det_top1", "top5", "det_top5")
TABLE2: Mapping[str, Row] = {
    "efficientnet_b0": (3.8, 30.6, 16.6, 57.5),
    "resnet50": (7.2, 38.9, 24.8, 66.9),
    "convnext_base": (17.9, 51.9, 43.9, 78.8),
    "swin_base": (18.0, 51.1, 42.9, 76.1),
    "maxvit_base": (23.3, 56.9, 49.2, 79.5),
}
T3 = ("top1", "top5", "fg_det", "loc", "bg_act")
TABLE3: Mapping[str, Row] = {
    "clip_resnet50": (47.1, 88.8, 50.7, 44.8, 75.7),
    "clip_convnext": (47.8, 90.4, 89.4, 59.4, 89.1),
    "clip_vit": (46.5, 89.0, 74.5, 61.8, 88.8),
    "dinov1_resnet50": (45.9, 86.2, 87.1, 59.0, 83.8),
    "dinov1_vit": (44.2, 83.1, 51.6, 16.1, 90.5),
    "dinov2": (47.7, 91.6, 93.5, 69.0, 93.2),
    "dinov3": (47.7, 91.5, 92.1, 77.9, 91.1),
    "dinov3_convnext": (47.5, 90.0, 90.3, 66.3, 81.4),
    "mae": (40.2, 77.5, 78.4, 54.7, 81.8),
    "beit3": (43.0, 81.6, 80.5, 60.6, 84.8),
}
T6 = ("top1", "fg_det", "loc", "bg_act", "bg_act_without_fg", "real_rec")
TABLE6: Mapping[str, Row] = {"vit_base_cls": (75.7, 90.8, 72.7, 86.2, 24.4, 86.6)}
PROBE: dict[str, Any] = {"head": "probe", "preprocess": "paper"}
Folder = Annotated[Path, typer.Option(exists=True, file_okay=False)]
File = Annotated[Path, typer.Option(exists=True)]


def build(name: str, request: Request) -> Path:
    """Build or continue the index of a row."""
    with Bar() as bar:
        build_index(request, bar, path=INDEXES / name)
    return INDEXES / name


def show(rows: Mapping[str, Metrics], paper: Mapping[str, Row], columns: Sequence[str]) -> None:
    """Markdown: ours / the paper's, cell by cell."""
    print("| backbone | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, found in rows.items():
        cells = (percent(getattr(found, column)) for column in columns)
        pairs = (f"{ours} / {theirs}" for ours, theirs in zip(cells, paper[name], strict=True))
        print(f"| {name} | " + " | ".join(pairs) + " |")


def percent(rate: Rate) -> str:
    """One decimal, as in the paper."""
    return "-" if rate.value is None else f"{100 * rate.value:.1f}"


def run(dataset: Path, annotations: Path | None, paper: Mapping[str, Row], columns: Sequence[str]) -> None:
    """Index a dataset with every backbone of a table and print both."""
    rows = {}
    for name in paper:
        request = Request(dataset, name, annotations, preprocess="paper")
        try:
            path = build(f"{dataset.resolve().name}-{name}", request)
        except BackboneError as error:
            print(f"{name}: {error}")
            continue
        with Index.open(path) as index:
            rows[name] = metrics(index)
    show(rows, paper, columns)


@app.command()
def table1(imagenet: Folder, boxes: Folder) -> None:
    """ImageNet validation with ILSVRC boxes."""
    run(imagenet, boxes, TABLE1, T1)


@app.command()
def table2(imagenet_a: Folder) -> None:
    """ImageNet-A: accuracy and detection among all 1000 classes."""
    run(imagenet_a, None, TABLE2, T2)


@app.command()
def table6(imagenet: Folder, boxes: Folder) -> None:
    """The pretrained class-token row; the trained ones need ImageNet's training set."""
    run(imagenet, boxes, TABLE6, T6)


@app.command()
def table3(coco: Folder, annotations: File, train: Folder, train_annotations: File) -> None:
    """COCO: a linear probe trained on the pooled vectors of one split, applied to the cells of the other."""
    rows = {}
    for name in TABLE3:
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
    show(rows, TABLE3, T3)


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
