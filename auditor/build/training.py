"""Scenes into a classifier: what `audit train` runs (paper 4.4, A.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from auditor.data.synth import CLASSES, Recipe, read_recipe, render, render_image, sample_scene
from auditor.errors import DatasetError
from auditor.grids import occupancy
from auditor.models.checkpoints import sha256_of
from auditor.models.train import (
    Progress,
    Schedule,
    build_classifier,
    load_weights,
    save_classifier,
    train_classifier,
)
from auditor.records import ClassName, Preprocess, Rate

HELD_OUT = 600  # scenes beyond the training ones on which Loc. is measured


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What `audit train` was asked for."""

    arch: str
    model_args: Mapping[str, Any]
    size: int
    epochs: int
    batch: int
    optimizer: str
    rate: float
    weight_decay: float
    seed: int
    device: str
    workers: int
    start: Path | None = None  # weights to go on from; random ones without

    def schedule(self, images: int) -> Schedule:
        """The optimizer's schedule over a set of so many images."""
        if images < self.batch:
            raise DatasetError(f"{images} scenes do not fill a batch of {self.batch}; use --batch {images}")
        return Schedule(
            images // self.batch, self.epochs, self.batch, self.optimizer, self.rate, self.weight_decay,
            seed=self.seed,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Validation:
    """A classifier on unseen scenes: image accuracy against the sampled target, Loc. (A.2)."""

    epoch: int
    accuracy: Rate
    loc: Rate


class SceneImages(Dataset[tuple[Tensor, int]]):
    """Scenes first .. last - 1 of a recipe, rendered as they are read: normalised (3, S, S), target."""

    def __init__(self, recipe: Recipe, first: int, last: int, preprocess: Preprocess) -> None:
        self.recipe, self.first, self.last, self.preprocess = recipe, first, last, preprocess

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        scene = sample_scene(self.recipe, self.first + position)
        return to_input(render_image(scene), self.preprocess), scene.target


def to_input(image: Image.Image, preprocess: Preprocess) -> Tensor:
    """A square image as the network's input (3, S, S)."""
    side = (preprocess.crop, preprocess.crop)
    pixels = (
        torch.from_numpy(np.array(image.resize(side, Image.Resampling.BILINEAR))).permute(2, 0, 1).float()
    )
    return (pixels / 255 - torch.tensor(preprocess.mean)[:, None, None]) / torch.tensor(preprocess.std)[
        :, None, None
    ]


def train_on_scenes(
    scenes: Path,
    out: Path,
    request: TrainingRequest,
    *,
    on_step: Callable[[Progress], None],
    on_validation: Callable[[Validation], None],
) -> Validation:
    """Train on a folder of scenes and write `out`, validating after each epoch; continues a stopped run."""
    recipe, images = read_recipe(scenes)
    preprocess = Preprocess(request.size, request.size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")
    schedule = request.schedule(images)
    model = build_classifier(request.arch, len(CLASSES), dict(request.model_args), request.seed)
    if request.start is not None:
        load_weights(model, request.start)
    result: Validation | None = None

    def batches(epoch: int, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        # Scenes are drawn independently of one another, so their own order is a shuffled one.
        steps = schedule.steps_per_epoch
        rest = SceneImages(recipe, first_step * request.batch, steps * request.batch, preprocess)
        yield from DataLoader(rest, request.batch, num_workers=request.workers, drop_last=True)

    def validate(epoch: int, trained: nn.Module) -> None:
        nonlocal result
        count = min(HELD_OUT, images)
        result = validate_on_scenes(trained, recipe, images, preprocess, epoch, request.device, count)
        on_validation(result)

    checkpoint = out.with_name(out.name + ".checkpoint")
    train_classifier(
        model,
        schedule,
        batches,
        checkpoint=checkpoint,
        on_step=on_step,
        on_epoch=validate,
        device=request.device,
    )
    if result is None:  # the run had ended before its weights were written
        validate(schedule.epochs - 1, model.eval())
    assert result is not None
    save_classifier(
        out,
        model,
        arch=request.arch,
        model_args=dict(request.model_args),
        classes=[ClassName(name) for name in CLASSES],
        preprocess=preprocess,
        training={
            "schedule": asdict(schedule),
            "recipe": asdict(recipe),
            "start": None if request.start is None else sha256_of(request.start),
            "scenes": images,
            "accuracy": result.accuracy.value,
            "loc": result.loc.value,
        },
    )
    checkpoint.unlink()
    return result


@torch.no_grad()
def validate_on_scenes(
    model: nn.Module,
    recipe: Recipe,
    first: int,
    preprocess: Preprocess,
    epoch: int,
    device: str,
    scenes: int = HELD_OUT,
) -> Validation:
    """Image accuracy and Loc. on scenes first .. first + scenes - 1.

    A cell may hold several classes; a prediction is right if it is one of those present in the cell (A.2).
    """
    right = correct = cells = 0
    for number in range(first, first + scenes):
        scene = sample_scene(recipe, number)
        rendered = render(scene)
        image = to_input(rendered.image, preprocess)[None].to(device)
        grid = model.forward_features(image)  # type: ignore[operator]
        right += int(model.forward_head(grid).argmax()) == scene.target  # type: ignore[operator]
        hits, total = _loc(_predict_cells(model, grid), rendered.semantic)
        correct, cells = correct + hits, cells + total
    return Validation(epoch, Rate(right, scenes), Rate(correct, cells))


def _predict_cells(model: nn.Module, grid: Tensor) -> NDArray[np.int64]:
    """Top-1 class per cell (H, W): the head on bags of one cell."""
    _, channels, height, width = grid.shape
    bags = grid[0].permute(1, 2, 0).reshape(-1, channels, 1, 1)
    scores: Tensor = model.forward_head(bags)  # type: ignore[operator]
    return scores.argmax(1).reshape(height, width).cpu().numpy()


def _loc(predicted: NDArray[np.int64], semantic: NDArray[np.uint8]) -> tuple[int, int]:
    height, width = predicted.shape
    present = {
        label: occupancy(semantic == label + 1, (height, width))
        for label in np.unique(semantic[semantic > 0]) - 1
    }
    foreground = np.logical_or.reduce(list(present.values()))
    correct = sum(int((cells & (predicted == label)).sum()) for label, cells in present.items())
    return correct, int(foreground.sum())
