"""Labelled images into a classifier: what `audit train` runs (paper 4.4, A.2, A.4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auditor.data.occlusion import normalise
from auditor.errors import DatasetError
from auditor.files import digest
from auditor.grids import occupancy
from auditor.models.backbone import Backbone
from auditor.models.catalog import BackboneSpec, read_header
from auditor.models.weights import assemble
from auditor.records import Rate
from auditor.train.examples import HeldOut, TrainingSet, find_examples, load_batches
from auditor.train.loop import (
    PACES,
    Optimizer,
    Progress,
    Schedule,
    TrainedHead,
    build_classifier,
    find_arch,
    load_weights,
    pick_optimizer,
    save_classifier,
    train_classifier,
)

_BATCH = 64  # images per forward pass in validation


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What `audit train` was asked for; None is A.2's value for the architecture."""

    arch: str = "resnet18"
    head: TrainedHead = "fc"
    model_args: Mapping[str, Any] = field(default_factory=dict)
    annotations: Path | None = None
    size: int = 224
    epochs: int = 100
    batch: int = 512
    optimizer: Optimizer | None = None
    rate: float | None = None
    weight_decay: float | None = None
    seed: int = 0
    device: str = "cpu"
    workers: int = 1
    start: Path | None = None  # weights to go on from; random ones without

    def schedule(self, model: nn.Module, images: int) -> Schedule:
        """The optimizer's schedule over a set of so many images."""
        optimizer, batch = self.optimizer or pick_optimizer(model), min(self.batch, images)
        pace = PACES[optimizer]
        return Schedule(
            images // batch,
            self.epochs,
            batch,
            optimizer,
            pace.rate if self.rate is None else self.rate,
            pace.weight_decay if self.weight_decay is None else self.weight_decay,
            final_rate=pace.final_rate,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class Validation:
    """A classifier on unseen images: accuracy, and Loc. where their foreground is annotated (A.2)."""

    epoch: int
    accuracy: Rate
    loc: Rate

    @property
    def merit(self) -> float:
        """What the best epoch is chosen by: Loc., or accuracy where there is none."""
        return self.accuracy.value or 0.0 if self.loc.value is None else self.loc.value


def train(
    dataset: Path,
    out: Path,
    request: TrainingRequest,
    *,
    on_step: Callable[[Progress], None],
    on_validation: Callable[[Validation], None],
    say: Callable[[str], None],
) -> Validation:
    """Train, validate after each epoch and keep the best of them in `out`; continues a stopped run."""
    examples = find_examples(dataset, request.annotations, request.size, request.seed)
    run = _Run(examples, request, out, say)
    checkpoint = out.with_name(out.name + ".checkpoint")
    best = run.read_best() if checkpoint.exists() else None

    def validate_epoch(epoch: int, model: nn.Module) -> None:
        nonlocal best
        validation = run.validate(epoch, model)
        if best is None or validation.merit > best.merit:
            best = validation
            run.save(model, validation)
        on_validation(validation)

    train_classifier(
        run.model,
        run.schedule,
        run.batches,
        checkpoint=checkpoint,
        on_step=on_step,
        on_epoch=validate_epoch,
        device=request.device,
    )
    if best is None:  # every step was done before, but the file of the best weights is gone
        validate_epoch(request.epochs - 1, run.model.eval())
    assert best is not None
    checkpoint.unlink()
    return best


class _Run:
    """One training: the model, its schedule and its examples."""

    def __init__(
        self, examples: TrainingSet, request: TrainingRequest, out: Path, say: Callable[[str], None]
    ) -> None:
        self.examples, self.request, self.out, self._say = examples, request, out, say
        self.arch, self.model_args = find_arch(request.arch, dict(request.model_args))
        self.model = build_classifier(
            self.arch,
            len(examples.classes),
            self.model_args,
            request.seed,
            size=request.size,
            head=request.head,
        )
        if request.start is not None:
            load_weights(self.model, request.start)
        self.schedule = request.schedule(self.model, examples.images)
        self._reported: set[str] = set()

    def batches(self, epoch: int, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The rest of an epoch, normalised (B, 3, S, S), with labels (B,); a broken file is reported once."""
        images = self.examples.epoch(epoch)
        for pixels, labels, broken in load_batches(
            images, first_step, self.schedule.batch, self.request.workers
        ):
            for problem in sorted(broken - self._reported):
                self._say(f"left out: {problem}")
            self._reported |= broken
            yield normalise(pixels.to(self.request.device), self.examples.preprocess), labels

    def validate(self, epoch: int, model: nn.Module) -> Validation:
        """The model as a backbone on the images that it never sees."""
        spec = BackboneSpec(self.request.arch, "timm", self.arch)
        backbone = assemble(spec, model, self.examples.preprocess, weights_sha256="")
        return validate(backbone, self.examples.held_out(self._say), epoch)

    def save(self, model: nn.Module, validation: Validation) -> None:
        """The weights, with all that made them."""
        save_classifier(
            self.out,
            model,
            arch=self.arch,
            model_args=self.model_args,
            classes=self.examples.classes,
            preprocess=self.examples.preprocess,
            training={"validation": asdict(validation), **self._settings()},
        )

    def read_best(self) -> Validation | None:
        """The best epoch so far of a stopped run; None where the file is not of this run."""
        header = json.loads(read_header(self.out).get("audit", "{}")) if self.out.is_file() else {}
        training = dict(header.get("training", {}))
        best = training.pop("validation", None)
        if best is None or training != self._settings():
            return None
        return Validation(best["epoch"], Rate(**best["accuracy"]), Rate(**best["loc"]))

    def _settings(self) -> dict[str, Any]:
        start = self.request.start
        return {
            "schedule": asdict(self.schedule),
            "head": self.request.head,
            "start": None if start is None else digest(start, "sha256"),
            **self.examples.describe(),
        }


@torch.no_grad()
def validate(backbone: Backbone, images: Iterable[HeldOut], epoch: int) -> Validation:
    """Image accuracy over all images, and Loc. in the pointwise readout over the cells with foreground.

    A cell may hold several classes; its top-1 class is right if it is one of those (A.2). Images without
    masks add nothing to Loc. Raises DatasetError where there is no image at all.
    """
    right = total = correct = cells = 0
    remaining = iter(images)
    while batch := list(islice(remaining, _BATCH)):
        pixels = torch.from_numpy(np.stack([image.pixels for image in batch]))
        grid = backbone.grid_of(normalise(pixels, backbone.preprocess))
        tops = backbone.pointwise(grid.features).argmax(-1).cpu().numpy()
        assert grid.logits is not None
        for image, top, guess in zip(batch, tops, grid.logits.argmax(1).tolist(), strict=True):
            right, total = right + (guess in image.labels), total + 1
            present = {label: occupancy(mask, backbone.grid) for label, mask in image.masks.items()}
            correct += sum(int((inside & (top == label)).sum()) for label, inside in present.items())
            cells += int(np.logical_or.reduce([*present.values()]).sum()) if present else 0
    if not total:
        raise DatasetError("no image is held out to validate on; name a split val, or add images")
    return Validation(epoch, Rate(right, total), Rate(correct, cells))
