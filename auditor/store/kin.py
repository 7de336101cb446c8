"""Indexes beside an index: the same features under another head, and other images under the same backbone."""

from __future__ import annotations

from dataclasses import replace

from auditor.errors import IndexMismatch
from auditor.store.columns import CELLS, IMAGES, Columns, connect, select_columns
from auditor.store.derived import create_tables
from auditor.store.index import Index
from auditor.store.manifest import Manifest


def rescore(index: Index, manifest: Manifest, images: Columns, cells: Columns) -> Index:
    """The index with other tables, in memory: what another head makes of it answers the same questions.

    Columns as in `columns.IMAGES` and `columns.CELLS`; features are those of `index`.
    """
    connection = connect()
    sources = (
        f"({select_columns(connection, name, columns, schema)})"
        for name, columns, schema in (("new_images", images, IMAGES), ("new_cells", cells, CELLS))
    )
    current = replace(index.generation, files={}, fingerprint="of another head")
    create_tables(connection, manifest, current.fingerprint, current.removed, *sources)
    return Index(index.path, manifest, current, connection, index.verified)


def require_same_features(index: Index, other: Index) -> None:
    """IndexMismatch, naming the first difference, where two indexes' features cannot be compared.

    float32 by another runtime is the same but for rounding: `audit index` makes sure of it. bfloat16 may be
    off by a seventh of a feature (benchmarks/RESULTS.md), and by each runtime otherwise: a threshold, or a
    probe's accuracy, would tell of that instead of the images.
    """
    ours, theirs = index.manifest, other.manifest
    pairs = (
        ("weights", ours.backbone.weights_sha256, theirs.backbone.weights_sha256),
        ("model arguments", dict(ours.backbone.model_args), dict(theirs.backbone.model_args)),
        ("preprocessing", ours.preprocess, theirs.preprocess),
        ("grid", ours.grid, theirs.grid),
        ("dim", ours.dim, theirs.dim),
        ("precision", _precision(ours), _precision(theirs)),
    )
    for name, mine, other_one in pairs:
        if mine != other_one:
            raise IndexMismatch(
                f"{index.name} and {other.name} differ in {name} ({mine} and {other_one}), so what is learnt "
                "on one says nothing of the other; index both with the same backbone and options"
            )


def _precision(manifest: Manifest) -> str:
    by = "" if manifest.precision == "float32" else f" by {manifest.runtime}"
    return f"{manifest.precision}{by}"
