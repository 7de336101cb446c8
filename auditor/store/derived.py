"""What is built from the shards and can be rebuilt at any time: audit.duckdb and cells.faiss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from auditor.errors import IndexDamaged
from auditor.files import new_file
from auditor.store.columns import CELLS, IMAGES, connect, quoted
from auditor.store.manifest import FileFacts, Manifest, ShardEntry
from auditor.store.repair import repair_sentence
from auditor.store.shards import SHARDS

DATABASE = "audit.duckdb"
VECTORS = "cells.faiss"
MAP = "map.parquet"  # made when it is asked for, see store/maps.py
STORAGE = "v1.2.0"  # the oldest format DuckDB writes, so that 1.4 reads what 2.0 wrote


def build_derived(index: Path, manifest: Manifest) -> dict[str, FileFacts]:
    """Build both files from the shards; each replaces its old self when it is whole."""
    with new_file(index / VECTORS) as temporary:
        _build_vectors(temporary, index, manifest)
    with new_file(index / DATABASE) as temporary:
        _build_database(temporary, index, manifest)
    return {name: FileFacts.of(index / name) for name in (DATABASE, VECTORS)}


def _build_database(path: Path, index: Path, manifest: Manifest) -> None:
    with connect() as connection:
        connection.execute(f"ATTACH {quoted(path)} AS built (STORAGE_VERSION '{STORAGE}')")
        connection.execute("USE built")
        images = _source(index, manifest, "images.parquet", IMAGES)
        cells = _source(index, manifest, "cells.parquet", CELLS)
        create_tables(connection, manifest, images, cells)
        connection.execute("CHECKPOINT built; USE memory; DETACH built")


def create_tables(connection: duckdb.DuckDBPyConnection, manifest: Manifest, images: str, cells: str) -> None:
    """Tables images (`usable`: ok and not removed), cells (with `top1`), classes and about of two sources."""
    connection.execute("CREATE TABLE about AS SELECT ? AS fingerprint", [manifest.fingerprint])
    connection.execute(
        "CREATE TABLE images AS SELECT *, "
        "list_contains(?::INTEGER[], id) AS is_removed, status = 'ok' AND NOT is_removed AS usable "
        f"FROM {images} ORDER BY id",
        [list(manifest.removed)],
    )
    connection.execute(f"CREATE TABLE cells AS SELECT *, top5[1] AS top1 FROM {cells}")
    _fill_classes(connection, manifest)


def _source(index: Path, manifest: Manifest, file: str, schema: dict[str, str]) -> str:
    """The table of all shards in order, or an empty one where there are none yet."""
    if not manifest.shards:
        columns = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in schema.items())
        return f"(SELECT {columns} WHERE false)"
    paths = ", ".join(quoted(index / SHARDS / shard.name / file) for shard in manifest.shards)
    return f"read_parquet([{paths}])"


def _fill_classes(connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
    names = [class_.name for class_ in manifest.classes]
    synsets = [class_.synset for class_ in manifest.classes]
    connection.execute(
        "CREATE TABLE classes AS SELECT * FROM (SELECT unnest(range(len($names)))::INTEGER AS id, "
        "unnest($names::VARCHAR[]) AS name, unnest($synsets::VARCHAR[]) AS synset)",
        {"names": names, "synsets": synsets},
    )


def _build_vectors(path: Path, index: Path, manifest: Manifest) -> None:
    """An exact inner-product index whose codes are the fp16 rows themselves; id = position = cell id."""
    import faiss

    kind = faiss.ScalarQuantizer.QT_fp16
    vectors = faiss.IndexScalarQuantizer(manifest.dim, kind, faiss.METRIC_INNER_PRODUCT)
    for shard in manifest.shards:
        vectors.add_sa_codes(codes(shard_array(index, shard, "features.npy")))
    faiss.write_index(vectors, str(path))


def codes(features: NDArray[np.float16]) -> NDArray[np.uint8]:
    """Rows (n, H, W, C) as FAISS's fp16 codes (n * H * W, 2 * C)."""
    return np.asarray(features.reshape(-1, features.shape[-1]).view(np.uint8))


def shard_array(index: Path, shard: ShardEntry, file: str) -> NDArray[Any]:
    """One of the shard's arrays, memory-mapped."""
    array: NDArray[Any] = np.load(index / SHARDS / shard.name / file, mmap_mode="r")
    return array


def open_database(index: Path, manifest: Manifest) -> duckdb.DuckDBPyConnection:
    """The read-only connection; IndexDamaged where the file does not open or is older than the shards."""
    try:
        connection = connect(index / DATABASE)
    except duckdb.Error as error:
        raise IndexDamaged(
            f"{index / DATABASE} does not open ({_first_line(error)}); {repair_sentence(index)}"
        ) from None
    try:
        fingerprint = connection.execute("SELECT fingerprint FROM about").fetchone()
    except duckdb.Error:
        fingerprint = None
    if fingerprint != (manifest.fingerprint,):
        connection.close()
        raise IndexDamaged(f"{index / DATABASE} does not belong to these shards; {repair_sentence(index)}")
    return connection


def open_vectors(index: Path, manifest: Manifest) -> Any:
    """The FAISS index, memory-mapped; IndexDamaged where it does not open or fit the shards."""
    import faiss

    limit = faiss.get_deserialization_vector_byte_limit()
    # a crafted size could ask for a terabyte: nothing in a file is larger than the file
    faiss.set_deserialization_vector_byte_limit((index / VECTORS).stat().st_size)
    try:
        vectors = faiss.read_index(str(index / VECTORS), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise IndexDamaged(
            f"{index / VECTORS} does not open ({_first_line(error)}); {repair_sentence(index)}"
        ) from None
    finally:
        faiss.set_deserialization_vector_byte_limit(limit)
    if (vectors.ntotal, vectors.d) != (manifest.images * manifest.cells_per_image, manifest.dim):
        raise IndexDamaged(f"{index / VECTORS} does not belong to these shards; {repair_sentence(index)}")
    return vectors


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
