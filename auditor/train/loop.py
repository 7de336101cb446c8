"""Training small classifiers from random initialization with one label per image (paper 4.4, A.2, A.4)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from auditor.errors import BackboneError
from auditor.files import new_file
from auditor.models.catalog import CATALOG, resolve
from auditor.models.checkpoints import read_checkpoint
from auditor.models.runtime import emulates_bfloat16
from auditor.models.timm_models import TimmSource, replace_classifier
from auditor.records import ClassName, Preprocess

Optimizer = Literal["sgd", "adamw"]
TrainedHead = Literal["fc", "mlp"]


class Batches(Protocol):
    """The training images of an epoch from one of its steps on: normalised (B, 3, S, S), labels (B,)."""

    def __call__(self, epoch: int, first_step: int) -> Iterator[tuple[Tensor, Tensor]]: ...


class Pace(NamedTuple):
    """How fast a model learns: rates after the warm-up and at the end, weight decay."""

    rate: float
    weight_decay: float
    final_rate: float


PACES: dict[Optimizer, Pace] = {"sgd": Pace(0.15, 1e-4, 0.0), "adamw": Pace(1.5e-3, 0.05, 1e-5)}
"""By optimizer, what A.2 trains its two architectures with: ResNet-18 by SGD, ViT-S/32 by AdamW."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast; the defaults are A.2's for ResNet-18."""

    steps_per_epoch: int
    epochs: int = 100
    batch: int = 512
    optimizer: Optimizer = "sgd"
    rate: float = PACES["sgd"].rate
    weight_decay: float = PACES["sgd"].weight_decay
    warmup: float = 0.05  # share of all steps; A.2 has 5 of 100 epochs
    final_rate: float = 0.0
    seed: int = 0

    @property
    def steps(self) -> int:
        """Optimizer steps in the whole run."""
        return self.epochs * self.steps_per_epoch

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0: linear warm-up, then cosine decay (A.2)."""
        ramp = max(1, round(self.warmup * self.steps))
        if step < ramp:
            return self.rate * (step + 1) / ramp
        progress = (step - ramp) / max(1, self.steps - ramp)
        return self.final_rate + (self.rate - self.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: steps done, the loss averaged over the last of them."""

    step: int
    steps: int
    loss: float


def find_arch(name: str, model_args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """timm's name and arguments of NAME, timm/NAME, or a short name of the catalog."""
    if name not in CATALOG and "/" not in name:
        return name, model_args
    spec = resolve(name)
    if spec.library != "timm":
        raise BackboneError(f"{name} is a model of {spec.library}; only timm's can be trained")
    return spec.model.partition(".")[0], {**spec.model_args, **model_args}


def build_classifier(
    arch: str,
    classes: int,
    model_args: dict[str, Any],
    seed: int,
    *,
    size: int = 224,
    head: TrainedHead = "fc",
) -> nn.Module:
    """A timm model with random weights under a seed; raises BackboneError for an unknown name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TimmSource(arch).build(size, {**model_args, "num_classes": classes}, None)
        if head == "mlp":
            replace_classifier(model)
    return model


def pick_optimizer(model: nn.Module) -> Optimizer:
    """SGD for models with batch norm as ResNets have it, AdamW for the rest: the paper's two cases (A.2)."""
    has_batch_norm = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    return "sgd" if has_batch_norm else "adamw"


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a file that `save_classifier` wrote; BackboneError where it is of another architecture."""
    try:
        model.load_state_dict(read_checkpoint(path))
    except RuntimeError as error:
        raise BackboneError(f"the weights in {path} are not of this architecture: {error}") from error


def train_classifier(
    model: nn.Module,
    schedule: Schedule,
    batches: Batches,
    *,
    checkpoint: Path,
    on_step: Callable[[Progress], None],
    on_epoch: Callable[[int, nn.Module], None],
    device: str = "cpu",
    save_every: int = 200,
) -> None:
    """Train in place with image-level cross-entropy, continuing from `checkpoint` where there is one.

    bf16 autocast and channels_last: 1.8 times the speed of float32 on a core with AVX-512 bf16; one that
    would emulate it computes in float32.
    """
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(model, schedule)
    step = _resume(checkpoint, model, optimizer, schedule)
    loss_average = float("nan")
    while step < schedule.steps:
        model.train()
        epoch = step // schedule.steps_per_epoch
        for images, labels in batches(epoch, step % schedule.steps_per_epoch):
            loss = _update(model, optimizer, images.to(device), labels.to(device), schedule.rate_at(step))
            loss_average = loss if math.isnan(loss_average) else 0.98 * loss_average + 0.02 * loss
            step += 1
            on_step(Progress(step, schedule.steps, loss_average))
            if step % save_every == 0:
                _save_checkpoint(checkpoint, model, optimizer, step, schedule)
        on_epoch(epoch, model.eval())
        _save_checkpoint(checkpoint, model, optimizer, step, schedule)


def _update(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, rate: float
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    images = images.contiguous(memory_format=torch.channels_last)
    is_slower = images.device.type == "cpu" and emulates_bfloat16()
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=not is_slower):
        loss = nn.functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())


def _optimizer(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), schedule.rate, momentum=0.9, nesterov=True, weight_decay=schedule.weight_decay
        )
    return torch.optim.AdamW(model.parameters(), schedule.rate, weight_decay=schedule.weight_decay)


# ------------------------------------------------------------------------------------------------ files


def _save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, schedule: Schedule
) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    with new_file(path) as temporary, temporary.open("wb") as file:
        torch.save(state | {"schedule": asdict(schedule)}, file)


def _resume(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["schedule"] != asdict(schedule):
        raise BackboneError(f"{path} is of a run with other settings; remove it to start again")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def save_classifier(
    path: Path,
    model: nn.Module,
    *,
    arch: str,
    model_args: dict[str, Any],
    classes: Sequence[ClassName],
    preprocess: Preprocess,
    training: dict[str, Any],
) -> None:
    """Weights as fp16 safetensors whose header says all that is needed to use them as a backbone."""
    header = {
        "arch": arch,
        "model_args": model_args,
        "classes": [each.name for each in classes],
        "preprocess": asdict(preprocess),
        "training": training,
    }
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in model.state_dict().items()
    }
    with new_file(path) as temporary:
        save_file(tensors, temporary, metadata={"audit": json.dumps(header, sort_keys=True)})
