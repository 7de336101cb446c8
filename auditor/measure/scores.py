"""Scores of all classes in every stored cell, for measures that cannot do without them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditor.errors import BackboneError
from auditor.measure.counts import require_head
from auditor.store import Index
from auditor.store.scores import Scores, StoredScores, stored_scores

TOGETHER = 64  # images whose evidence for all classes fits into a cache
CLOSE = 1e-3  # to a probability: far more than single precision is off by


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


def evidence(scores: StoredScores, images: NDArray[np.int64], masks: NDArray[np.floating]) -> Scores:
    """What weighted sums of images' cells (n, P, H * W) add to every class (n, P, K), as `centred` has it."""
    return centred(scores.parts(images, masks))


def centred(scores: Scores) -> Scores:
    """Less the mean of all classes: a constant that is added to every class changes no answer."""
    return np.asarray(scores - scores.mean(axis=-1, keepdims=True))


def are_surer(scores: Scores, tau: float) -> NDArray[np.bool_]:
    """Whether the largest softmax probability over the last axis, whose numerator is 1, exceeds tau.

    Single precision tells it of all but those that are close to tau, in a quarter of the time.
    """
    lead = scores.max(axis=-1, keepdims=True)
    surest = 1 / np.exp(scores - lead).sum(axis=-1, dtype=np.float64)
    close = np.abs(surest - tau) < CLOSE
    surest[close] = 1 / np.exp(scores[close].astype(np.float64) - lead[close]).sum(axis=-1)
    return np.asarray(surest > tau)
