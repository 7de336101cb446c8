"""Scores of all classes in every stored cell, for measures that cannot do without them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditor.errors import BackboneError
from auditor.measure.counts import require_head
from auditor.store import Index
from auditor.store.scores import Scores, StoredScores, stored_scores


def require_scores(index: Index) -> StoredScores:
    """The scores that the stored features give; BackboneError where the head is not affine."""
    require_head(index)
    scores = stored_scores(index)
    if scores is None:
        raise BackboneError(
            f"the {index.manifest.head.name} head of {index.name} is not affine, so the stored features "
            "alone do not give the scores of all classes; index with --head probe for a linear one"
        )
    return scores


def evidence(scores: StoredScores, image: int, masks: NDArray[np.floating]) -> tuple[Scores, Scores]:
    """What weighted sums of an image's cells (P, H * W) add to every class (P, K), and what the bias does.

    Less the mean of all classes: a constant that is added to every class changes no answer.
    """
    parts, bias = scores.parts(image, masks)
    return parts - parts.mean(axis=1, keepdims=True), bias - bias.mean()


def softmax(scores: Scores) -> NDArray[np.float64]:
    """Probabilities over the last axis."""
    shifted = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
