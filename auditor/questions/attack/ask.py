"""Targeted PGD on the image's scores, read cell by cell after every step (Figure 11, A.9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.errors import DatasetError
from auditor.explain.live import OpenImage, open_image
from auditor.questions.attack.record import Attack
from auditor.report.wish import Answer, Subject, Wish
from auditor.store import Index

Scorer = Callable[[Tensor], Tensor]

STEPS = 6  # on a page: they move a pixel by more than eps, so it is as strong as a longer one may be


def attack(
    index: Index, image: str, target: int, *, steps: int = 20, epsilon: float = 8 / 255, step: float = 2 / 255
) -> Attack:
    """Move the pixels of an image, by at most `epsilon` of their range [0, 1], towards a class."""
    opened = open_image(index, image)
    frames = [
        pixels.detach() for pixels in descend(_scorer(opened), opened.pixels, target, steps, epsilon, step)
    ]
    seen = [_read(opened, pixels, target) for pixels in frames]
    labels, probabilities, image_labels, chances = (np.stack(column) for column in zip(*seen, strict=True))
    saved = int(_read(opened, _rounded(frames[-1]), target)[2])
    shown = np.unique(np.concatenate([labels.ravel(), image_labels, [target, saved]])).tolist()
    return Attack(
        index=index.name,
        path=opened.path,
        target=target,
        epsilon=epsilon,
        step=step,
        labels=labels,
        probabilities=probabilities,
        image_labels=image_labels,
        target_probabilities=chances,
        saved_label=saved,
        names={label: index.manifest.classes[label].name for label in shown},
        original=(_channels_last(frames[0]) * 255).round().astype(np.uint8),
        perturbed=_channels_last(frames[-1]),
    )


def descend(
    scorer: Scorer, pixels: Tensor, target: int, steps: int, epsilon: float, step: float
) -> Iterator[Tensor]:
    """PGD in the maximum norm (Madry et al.): the pixels (1, 3, S, S), then those after each step.

    Every step goes by `step` against the sign of the gradient of the cross-entropy with the target, then back
    into the ball around the original and into [0, 1]. No random start, so the answer is always the same.
    """
    low, high = (pixels - epsilon).clamp(0, 1), (pixels + epsilon).clamp(0, 1)
    current = pixels
    yield current
    for _ in range(steps):
        current = (current - step * loss_gradient(scorer, current, target).sign()).clamp(low, high)
        yield current


def loss_gradient(scorer: Scorer, pixels: Tensor, target: int) -> Tensor:
    """The gradient (1, 3, S, S) of the cross-entropy of scores (1, K) with the target."""
    moving = pixels.detach().requires_grad_()
    scores = scorer(moving)
    loss = F.cross_entropy(scores, torch.tensor([target], device=scores.device))
    (gradient,) = torch.autograd.grad(loss, moving)
    return gradient


def _scorer(opened: OpenImage) -> Scorer:
    return lambda pixels: opened.head.image_scores(opened.grid_of(pixels), opened.fold)


@torch.no_grad()
def _read(opened: OpenImage, pixels: Tensor, target: int) -> tuple[np.ndarray, ...]:
    """Top-1 of the cells (H, W), its probability (H, W), the image's top-1 and the target's probability."""
    grid = opened.grid_of(pixels)
    cells = opened.head.scores(grid.features, opened.fold)[0].softmax(-1).max(-1)
    image = opened.head.image_scores(grid, opened.fold)[0].softmax(-1)
    return (
        cells.indices.cpu().numpy(),
        cells.values.cpu().numpy().astype(np.float64),
        image.argmax().cpu().numpy(),
        image[target].cpu().numpy().astype(np.float64),
    )


def _rounded(pixels: Tensor) -> Tensor:
    """As a file of 8 bits gives them back."""
    return (pixels * 255).round() / 255


def _channels_last(pixels: Tensor) -> np.ndarray:
    return pixels[0].permute(1, 2, 0).cpu().numpy()


# ------------------------------------------------------------------------------------- on a page


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: Figure 11, towards the likeliest class that its image has not and is not taken for."""
    if wish.subject is not None:
        path, target = wish.subject.path, _runner_up(index, wish.subject)
        words = (path, "--target", str(target), "--steps", str(STEPS))
        yield Answer(attack(index, path, target, steps=STEPS), words)


def _runner_up(index: Index, subject: Subject) -> int:
    rows = index.query(
        "SELECT coalesce(labels, []) AS own, top5_original[2:] AS likely FROM images WHERE id = ?",
        [index.image(subject.path)],
    )
    own = set(rows["own"][0])
    for label in rows["likely"][0]:
        if label not in own:
            return int(label)
    raise DatasetError(f"{subject.path} has every class that it is likely to be taken for: no target is left")
