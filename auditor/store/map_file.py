"""The map of an index: where its cells lie in two dimensions, and in which cluster.

It is derived from the shards as the database is, but by a question and not by every build: it is recorded in
the manifest when it is made and forgotten with the next change of the shards.
"""

from __future__ import annotations

from pathlib import Path

from auditor.errors import IndexMismatch
from auditor.store.columns import Columns, write_parquet
from auditor.store.derived import MAP
from auditor.store.index import Index
from auditor.store.manifest import read_manifest
from auditor.store.writer import IndexWriter

PLACES = {
    "image": "INTEGER",
    "cell": "USMALLINT",
    "x": "FLOAT",
    "y": "FLOAT",
    "cluster": "INTEGER",
    "is_sampled": "BOOLEAN",
    "sample": "INTEGER",
    "seed": "INTEGER",
}
"""One row per usable cell; cluster 0 is none; sample and seed are those that were asked for."""


def save_map(index: Index, columns: Columns) -> Path:
    """Write map.parquet and record it; IndexMismatch where the index was changed since it was opened."""
    with IndexWriter.resume(index.path) as writer:
        if writer.manifest.fingerprint != index.manifest.fingerprint:
            raise IndexMismatch(f"{index.name} was changed meanwhile; make its map again with: audit map")
        writer.keep(MAP, lambda temporary: write_parquet(temporary, columns, PLACES))
    return index.path / MAP


def find_map(index: Index, sample: int, seed: int) -> Path | None:
    """The stored map if there is one of these shards, made with this sample and seed."""
    manifest = read_manifest(index.path)
    if MAP not in manifest.derived or manifest.fingerprint != index.manifest.fingerprint:
        return None
    path = index.path / MAP
    made = index.query("SELECT sample, seed FROM read_parquet($map) LIMIT 1", {"map": str(path)})
    return path if (made["sample"].tolist(), made["seed"].tolist()) == ([sample], [seed]) else None
