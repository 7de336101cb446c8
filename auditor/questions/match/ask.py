"""Correspondence between two images: which pairs of cells make them alike (Figure 9, A.8)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auditor.questions.match.record import Match, Pair
from auditor.report.page_parts import Answer, Wish
from auditor.store import Index


def match(index: Index, a: str, b: str, k: int = 20, *, only_mutual: bool = False) -> Match:
    """The k pairs of cells with the largest cosine, and how much of the images' cosine each accounts for.

    With h = unit feature * norm and means over the N and M cells, cos(mean a, mean b) is the sum over all
    pairs of h_a . h_b / (N * M * |mean a| * |mean b|): these are the shares.
    """
    first, second = index.image(a), index.image(b)
    cosines = _cells(index, first) @ _cells(index, second).T
    shares = pair_shares(index, first, second)
    order = np.lexsort((np.arange(cosines.size), -cosines.ravel()))
    if only_mutual:
        order = order[are_mutual(cosines).ravel()[order]]
    candidates = len(order)
    order = order[:k]
    width = index.grid[1]
    pairs = tuple(
        Pair(
            a=divmod(int(row), width),
            b=divmod(int(col), width),
            cosine=min(float(cosines[row, col]), 1.0),
            share=float(shares[row, col]),
        )
        for row, col in zip(*np.unravel_index(order, cosines.shape), strict=True)
    )
    certificate = index.manifest.certificate
    return Match(
        index=index.name,
        a=index.path_of(first),
        b=index.path_of(second),
        cosine=float(shares.sum()),
        explained=sum(pair.share for pair in pairs),
        is_exact=certificate is not None and certificate.aggregation == "gap",
        pairs=pairs,
        mutual=candidates if only_mutual else None,
    )


def are_mutual(cosines: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pairs (N, M) that are the largest of their row and of their column; among equals the first is."""
    nearest, back = cosines.argmax(axis=1), cosines.argmax(axis=0)
    mutual = np.zeros(cosines.shape, dtype=np.bool_)
    rows = np.flatnonzero(back[nearest] == np.arange(len(cosines)))
    mutual[rows, nearest[rows]] = True
    return mutual


def pair_shares(index: Index, a: int, b: int) -> NDArray[np.float64]:
    """Shares (H * W, H * W) of the cosine of the two images' mean-pooled vectors; they add up to it."""
    left, right = (_cells(index, image) * index.norms(image).reshape(-1, 1) for image in (a, b))
    lengths = np.linalg.norm(left.mean(axis=0)) * np.linalg.norm(right.mean(axis=0))
    return np.asarray(left @ right.T / (left.shape[0] * right.shape[0] * max(lengths, 1e-30)))


def _cells(index: Index, image: int) -> NDArray[np.float64]:
    return index.features(image).reshape(-1, index.manifest.dim).astype(np.float64)


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: the first two images of the commonest class that has two."""
    pairs = index.query(
        "SELECT list(path ORDER BY id)[:2] AS pair FROM images WHERE usable AND label IS NOT NULL "
        "GROUP BY label HAVING count(*) > 1 ORDER BY count(*) DESC, label LIMIT 1"
    )["pair"]
    for a, b in pairs.tolist():
        yield Answer(match(index, a, b), (a, b))
