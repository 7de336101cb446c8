"""Are relevance maps right, and not only conserved? The rules beside plain gradient times input, as a table.

    python benchmarks/relevance.py                     50 images a network (about 10 minutes on one core)
    python benchmarks/relevance.py symbols --images 8

Networks: mobilenetv2 and deit_tiny of ../shared/real/weights on ../shared/real/ilsvrc, and the demo's symbols
on scenes of its own kind. Explained is the score of the image's class in the object's cell that is surest of
it. The positive relevance on the object stands beside the object's share of the crop. Patches of 8 pixels are
blanked to the mean colour, most relevant first and least relevant first: where the map is right the score
falls early in the one order and late in the other, and the gap between its two mean values is wide.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor

from auditor.data.load import load
from auditor.data.read import read_dataset
from auditor.data.scenes import Recipe
from auditor.data.synth import write_scenes
from auditor.explain.live import OpenImage
from auditor.grids import Mask, occupancy
from auditor.indexing.matching import match_classes
from auditor.models.backbone import Backbone
from auditor.models.heads import OwnHead
from auditor.models.weights import load_backbone
from auditor.questions.relevance.ask import explain
from auditor.records import Dataset

REAL = Path(__file__).parents[2] / "shared" / "real"
PATCH = 8  # pixels of the patches that are blanked together
STEPS = 20  # from the whole image to none of it

Pixels = NDArray[np.float64]
Method = Callable[["Case"], Pixels]


@dataclass(frozen=True, slots=True)
class Case:
    """One score to be explained, and the pixels (S, S) where its object is."""

    opened: OpenImage
    cell: tuple[int, int]
    label: int
    object: Mask

    @property
    def images(self) -> Tensor:
        """The network's input (1, 3, S, S)."""
        return self.opened.normalise(self.opened.pixels)

    def scores(self, images: Tensor) -> Tensor:
        """The score (B,) of the cell and class for other inputs (B, 3, S, S)."""
        features = self.opened.backbone.grid_of(images).features[:, self.cell[0], self.cell[1]]
        return self.opened.head.scores(features)[:, self.label]


@dataclass(frozen=True, slots=True)
class Trial:
    """What one map of one case is worth."""

    error: float  # |sum of relevance - score| / |score|
    inside: float  # share of the positive relevance on the object
    area: float  # share of the crop that the object takes
    score: float
    falling: float  # mean score while patches are blanked, most relevant first
    rising: float  # the same, least relevant first: the more relevant ones come last


def by_rules(case: Case) -> Pixels:
    """The map of `audit relevance`."""
    return explain(case.opened, case.cell, case.label)[0][0].sum(0).double().numpy()


def by_gradient(case: Case) -> Pixels:
    """Gradient times input of the network as it is."""
    moving = case.images.requires_grad_()
    (gradient,) = torch.autograd.grad(case.scores(moving).sum(), moving)
    return (gradient * moving).detach()[0].sum(0).double().numpy()


METHODS: Mapping[str, Method] = {"the rules": by_rules, "gradient x input": by_gradient}


def mobilenetv2() -> tuple[Backbone, Dataset]:
    """A real MobileNetV2 and real photos."""
    return load_backbone(
        "timm/mobilenetv2_100", weights=REAL / "weights" / "mobilenetv2_100_tf2.safetensors", device="cpu",
        model_args={"pad_type": "same"}, mean=0.5, std=0.5, interpolation="bilinear",
    ), photos()  # fmt: skip


def deit_tiny() -> tuple[Backbone, Dataset]:
    """A real DeiT-Tiny and real photos."""
    weights = REAL / "weights" / "deit_tiny_patch16_224.safetensors"
    return load_backbone("timm/deit_tiny_patch16_224", weights=weights, device="cpu"), photos()


def symbols() -> tuple[Backbone, Dataset]:
    """The demo's network and scenes that it has not seen."""
    folder = Path(tempfile.mkdtemp()) / "scenes"
    for _ in write_scenes(folder, Recipe(seed=7), 50):
        pass
    return load_backbone("symbols", device="cpu"), read_dataset(folder)


def photos() -> Dataset:
    """The ILSVRC photos with boxes."""
    return read_dataset(REAL / "ilsvrc" / "images", REAL / "ilsvrc" / "boxes")


NETWORKS = {"mobilenetv2": mobilenetv2, "deit_tiny": deit_tiny, "symbols": symbols}


def cases(backbone: Backbone, dataset: Dataset, images: int) -> Iterator[Case]:
    """One case an image, of images evenly spread over the dataset."""
    head = OwnHead(backbone)
    labels = match_classes(dataset.classes, head.classes).heads
    places = np.linspace(0, len(dataset.samples) - 1, min(images, len(dataset.samples))).astype(int)
    for sample in (dataset.samples[place] for place in places):
        loaded = load(dataset, sample, backbone.preprocess)
        if loaded.foreground is None or not loaded.foreground.labels:
            continue
        mask, label = loaded.foreground.masks[0], labels[loaded.foreground.labels[0]]
        pixels = torch.tensor(loaded.pixels).permute(2, 0, 1)[None].float() / 255
        opened = OpenImage(sample.path, pixels, backbone, head, None)
        if label is not None:
            yield Case(opened, _surest(opened, mask, label), label, mask)


@torch.no_grad()
def _surest(opened: OpenImage, mask: Mask, label: int) -> tuple[int, int]:
    """The cell that the object touches with the highest probability of its class."""
    scores = opened.head.scores(opened.grid_of(opened.pixels).features)[0].softmax(-1)[..., label].numpy()
    touched = occupancy(mask, opened.backbone.grid)
    row, col = np.unravel_index(np.where(touched, scores, -1).argmax(), scores.shape)
    return int(row), int(col)


def judge(case: Case, pixels: Pixels) -> Trial:
    """All that is measured of one map."""
    with torch.no_grad():
        score = float(case.scores(case.images))
    positive = pixels.clip(min=0)
    order = _patches(pixels).flatten().argsort()
    return Trial(
        error=abs(pixels.sum() - score) / abs(score),
        inside=float(positive[case.object].sum() / positive.sum()) if positive.any() else 0.0,
        area=float(case.object.mean()),
        score=score,
        falling=_mean_score(case, order[::-1].copy()),
        rising=_mean_score(case, order),
    )


def _patches(pixels: Pixels) -> Pixels:
    across = pixels.shape[0] // PATCH
    summed: Pixels = pixels.reshape(across, PATCH, across, PATCH).sum((1, 3))
    return summed


@torch.no_grad()
def _mean_score(case: Case, order: NDArray[np.int64]) -> float:
    """The score, averaged over the way from the whole image to the mean colour in patches of this order."""
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    across = case.images.shape[-1] // PATCH
    ranks = torch.tensor(rank.reshape(across, across)).repeat_interleave(PATCH, 0).repeat_interleave(PATCH, 1)
    kept = torch.stack([ranks >= len(order) * step / STEPS for step in range(STEPS + 1)])[:, None]
    return float(case.scores(case.images * kept).mean())


def row(name: str, method: str, trials: list[Trial]) -> str:
    """One line of the table."""
    errors = [trial.error for trial in trials]
    values = {name: float(np.mean([getattr(trial, name) for trial in trials])) for name in ("inside", "area")}
    more = sum(trial.inside > trial.area for trial in trials)
    score, falling, rising = (
        float(np.mean([getattr(trial, name) for trial in trials])) for name in ("score", "falling", "rising")
    )
    return (
        f"| {name} | {method} | {len(trials)} | {np.median(errors):.1%} | {max(errors):.1%} "
        f"| {values['inside']:.1%} | {values['area']:.1%} | {more} "
        f"| {score:.2f} | {falling:.2f} | {rising:.2f} | {rising - falling:+.2f} |"
    )


HEADER = (
    "| network | map | images | error, median | error, largest | on the object | its area | images above it "
    "| score | most relevant first | least first | gap |\n" + "|---|---" + "|---:" * 10 + "|"
)


def main(
    networks: Annotated[list[str] | None, typer.Argument()] = None,
    images: Annotated[int, typer.Option()] = 50,
) -> None:
    """Print the table."""
    torch.manual_seed(0)
    print(HEADER)
    for name in networks or NETWORKS:
        backbone, dataset = NETWORKS[name]()
        found: dict[str, list[Trial]] = {method: [] for method in METHODS}
        for case in cases(backbone, dataset, images):
            for method, draw in METHODS.items():
                found[method].append(judge(case, draw(case)))
        for method, trials in found.items():
            print(row(name, method, trials), flush=True)


if __name__ == "__main__":
    typer.run(main)
