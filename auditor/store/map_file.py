"""The map of an index: where its cells lie in two dimensions, and in which cluster.

It is derived from the shards as the database is, but by a question and not by every build.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from auditor.parquet import rows_of
from auditor.store.columns import Columns, write_parquet
from auditor.store.generations import MAP
from auditor.store.index import Index

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
    path = index.keep(MAP, lambda temporary: write_parquet(temporary, columns, PLACES))
    assert path is not None
    return path


def stored_map(index: Index) -> Path | None:
    """The map of these very shards, verified; None where none was made."""
    return index.file(MAP)


def find_map(index: Index, sample: int, seed: int) -> Path | None:
    """The stored map if it was made with this sample and seed."""
    path = stored_map(index)
    if path is None:
        return None
    return path if made_with(index, path) == {"sample": sample, "seed": seed} else None


def query_map(index: Index, path: Path, sql: str, **parameters: Any) -> dict[str, NDArray[Any]]:
    """Columns of a query on a stored map, the table `places`, and on the tables of its index."""
    return index.query(f"WITH places AS (FROM {rows_of(path)}) {sql}", parameters)


def made_with(index: Index, path: Path) -> dict[str, int]:
    """The sample and the seed that a stored map was asked for with."""
    made = query_map(index, path, "SELECT sample, seed FROM places LIMIT 1")
    return {name: int(values[0]) for name, values in made.items()}
