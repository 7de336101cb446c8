"""Correspondence between two images: which pairs of cells make them alike (Figure 9, A.8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.explain.crops import is_outside
from auditor.questions.match.record import Match, Pair
from auditor.report.wish import Answer, Wish
from auditor.search.content import require_content
from auditor.store import Index


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two images: its path, its cells' unit vectors (N, C) and lengths (N, 1)."""

    path: str
    units: NDArray[np.float64]
    norms: NDArray[np.float64]


def match(index: Index, a: str, b: str, k: int = 20, *, only_mutual: bool = False) -> Match:
    """The k pairs of cells with the largest cosine, and how much of the images' cosine each accounts for.

    With h = unit feature * norm and means over the N and M cells, cos(mean a, mean b) is the sum over all
    pairs of h_a . h_b / (N * M * |mean a| * |mean b|): these are the shares. Either image may be a file that
    is not indexed. Cells without content make no pair.
    """
    left, right = _sides(index, a, b)
    cosines, shares = left.units @ right.units.T, pair_shares(left, right)
    has_content = (left.norms > 0) & (right.norms > 0).T
    order = np.lexsort((np.arange(cosines.size), -cosines.ravel()))
    order = order[has_content.ravel()[order]]
    if only_mutual:
        order = order[are_mutual(np.where(has_content, cosines, -np.inf)).ravel()[order]]
    width = index.grid[1]
    pairs = tuple(
        Pair(
            a=divmod(int(row), width),
            b=divmod(int(col), width),
            cosine=min(float(cosines[row, col]), 1.0),
            share=float(shares[row, col]),
        )
        for row, col in zip(*np.unravel_index(order[:k], cosines.shape), strict=True)
    )
    certificate = index.manifest.certificate
    return Match(
        index=index.name,
        a=left.path,
        b=right.path,
        cosine=float(shares.sum()),
        explained=sum(pair.share for pair in pairs),
        is_exact=certificate is not None and certificate.aggregation == "gap",
        pairs=pairs,
        mutual=len(order) if only_mutual else None,
        empty=sum(int((side.norms == 0).sum()) for side in (left, right)),
    )


def are_mutual(cosines: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pairs (N, M) that are the largest of their row and of their column; among equals the first is."""
    nearest, back = cosines.argmax(axis=1), cosines.argmax(axis=0)
    mutual = np.zeros(cosines.shape, dtype=np.bool_)
    rows = np.flatnonzero(back[nearest] == np.arange(len(cosines)))
    mutual[rows, nearest[rows]] = True
    return mutual


def pair_shares(left: Side, right: Side) -> NDArray[np.float64]:
    """Shares (N, M) of the cosine of the two images' mean-pooled vectors; they add up to it."""
    a, b = left.units * left.norms, right.units * right.norms
    lengths = float(np.linalg.norm(a.mean(axis=0)) * np.linalg.norm(b.mean(axis=0)))
    return np.asarray(a @ b.T / (len(a) * len(b) * max(lengths, 1e-30)))


def _sides(index: Index, a: str, b: str) -> list[Side]:
    """The images, those that are no indexed ones read by the backbone that made the index."""
    files = [Path(image) for image in dict.fromkeys((a, b)) if is_outside(index, image)]
    live: dict[str, NDArray[np.float32]] = {}
    if files:
        from auditor.explain.live import features_of_files

        live = dict(zip(map(str, files), features_of_files(index, files), strict=True))
    sides = [
        _live_side(image, live[str(Path(image))]) if str(Path(image)) in live else _stored_side(index, image)
        for image in (a, b)
    ]
    for side in sides:
        require_content(side.path, side.norms)
    return sides


def _live_side(path: str, features: NDArray[np.float32]) -> Side:
    cells = features.reshape(-1, features.shape[-1]).astype(np.float64)
    norms = np.linalg.norm(cells, axis=1, keepdims=True)
    return Side(path, cells / np.where(norms > 0, norms, 1), norms)


def _stored_side(index: Index, path: str) -> Side:
    image = index.image(path)
    units = index.features(image).reshape(-1, index.manifest.dim).astype(np.float64)
    return Side(index.path_of(image), units, index.norms(image).reshape(-1, 1).astype(np.float64))


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: the first two images of the commonest class that has two."""
    pairs = index.query(
        "SELECT list(path ORDER BY id)[:2] AS pair FROM images WHERE usable AND label IS NOT NULL "
        "GROUP BY label HAVING count(*) > 1 ORDER BY count(*) DESC, label LIMIT 1"
    )["pair"]
    for a, b in pairs.tolist():
        yield Answer(match(index, a, b), (a, b))
