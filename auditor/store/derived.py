"""What is built from the shards' tables and can be rebuilt at any time: audit.duckdb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
from numpy.typing import NDArray

from auditor.errors import IndexDamaged, OutputError, first_line
from auditor.parquet import rows_of, text_of
from auditor.store.blocks import Verified
from auditor.store.columns import CELLS, IMAGES, connect, in_little_memory, quoted
from auditor.store.generations import DATABASE
from auditor.store.manifest import Manifest, check_command
from auditor.store.places import SHARDS, inside
from auditor.store.shards import TABLES, Shard, read_shard, shard_names

SCHEMAS = (IMAGES, CELLS)
MEMORY = "64MB"  # what one thread builds with, at any size: 14.7 million cells took 2 GB without
EMPTY = 1 << 20  # bytes of a database without rows, about
SPILLED = "spilled"  # what does not fit meanwhile
FOREIGN = """
SELECT (SELECT count(*) FROM duckdb_views() WHERE NOT internal)
     + (SELECT count(*) FROM duckdb_functions() WHERE NOT internal)
"""
"""What a crafted database could hold beside tables: a view or a macro reads any file that the user can."""
STORAGE = "v1.2.0"  # the oldest format DuckDB writes, so that 1.2 reads what 2.0 wrote


def require_writable(index: Path) -> None:
    """OutputError where DuckDB could write no database."""
    if folder := next((each for each in (index, *index.parents) if "?" in each.name), None):
        raise OutputError(
            f"{folder} has a ? in its name, and DuckDB, which keeps an index's tables, takes the rest "
            "for a query; choose another place for the index"
        )
    text_of(index)


def build_derived(
    index: Path,
    manifest: Manifest,
    shards: Sequence[Shard],
    removed: Sequence[int],
    fingerprint: str,
    to: Path,
) -> None:
    """Write the database into the folder `to`."""
    with connect() as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'; SET threads = 1")
        connection.execute(f"SET temp_directory = {quoted(to / SPILLED)}")
        connection.execute(f"ATTACH {quoted(to / DATABASE)} AS built (STORAGE_VERSION '{STORAGE}')")
        connection.execute("USE built")
        images, cells = (
            _source(index, connection, shards, *table) for table in zip(TABLES, SCHEMAS, strict=True)
        )
        tables = partial(create_tables, connection, manifest, fingerprint, removed, images, cells)
        in_little_memory(connection, tables)  # but for rows that are very long, such as of metadata
        connection.execute("CHECKPOINT built; USE memory; DETACH built")


def derived_bytes(tables: int) -> int:
    """About what `build_derived` writes of so many bytes of tables in the shards.

    On three indexes of photos it took 1.3 to 1.4 times as many, beside what an `EMPTY` database takes.
    """
    return round(1.35 * tables)


def create_tables(
    connection: duckdb.DuckDBPyConnection,
    manifest: Manifest,
    fingerprint: str,
    removed: Sequence[int],
    images: str,
    cells: str,
) -> None:
    """Tables images (`usable`: ok and not removed), cells (with `top1`), classes and about of two sources.

    The sources are in order of ids, and so are the tables.
    """
    connection.execute("CREATE OR REPLACE TABLE about AS SELECT ? AS fingerprint", [fingerprint])
    connection.execute(
        "CREATE OR REPLACE TABLE images AS SELECT *, "
        "list_contains(?::INTEGER[], id) AS is_removed, status = 'ok' AND NOT is_removed AS usable "
        f"FROM {images}",
        [list(removed)],
    )
    connection.execute(f"CREATE OR REPLACE TABLE cells AS SELECT *, top5[1] AS top1 FROM {cells}")
    _fill_classes(connection, manifest)


def image_rows(index: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Columns of the images of all committed shards, in order of their ids; removed ones too.

    IndexDamaged where a table does not have the checksum that it was written with.
    """
    shards = [read_shard(index, name) for name in shard_names(index)]
    verified = Verified(index)
    for shard in shards:
        verified.require(
            (SHARDS, shard.name, TABLES[0]), shard.files[TABLES[0]], f"see: {check_command(index)}"
        )
    verified.save()
    with connect() as connection:
        table = _source(index, connection, shards, TABLES[0], IMAGES)
        return connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY id").fetchnumpy()


def _source(
    index: Path,
    connection: duckdb.DuckDBPyConnection,
    shards: Sequence[Shard],
    file: str,
    schema: Mapping[str, str],
) -> str:
    """The table of all shards in order, or an empty one; columns that an older shard lacks are null."""
    if not shards:
        columns = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in schema.items())
        return f"(SELECT {columns} WHERE false)"
    paths = (inside(index, SHARDS, shard.name, file) for shard in shards)
    table = rows_of(*paths, union_by_name=True)
    held = {name for name, *_ in connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()}
    columns = ", ".join(
        f'"{name}"' if name in held else f'NULL::{kind} AS "{name}"' for name, kind in schema.items()
    )
    return f"(SELECT {columns} FROM {table})"


def _fill_classes(connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
    names = [class_.name for class_ in manifest.classes]
    synsets = [class_.synset for class_ in manifest.classes]
    connection.execute(
        "CREATE OR REPLACE TABLE classes AS SELECT * FROM (SELECT unnest(range(len($names)))::INTEGER AS id, "
        "unnest($names::VARCHAR[]) AS name, unnest($synsets::VARCHAR[]) AS synset)",
        {"names": names, "synsets": synsets},
    )


def open_database(
    path: Path, fingerprint: str, fix: str, is_known: bool = False
) -> duckdb.DuckDBPyConnection:
    """The read-only connection; IndexDamaged where the file does not open, is of other shards, or no tables.

    What a file holds beside tables is looked for unless it `is_known`: that takes longer than all else here.
    """
    try:
        connection = connect(path)
    except duckdb.Error as error:
        raise IndexDamaged(f"{path} does not open ({first_line(error)}); {fix}") from None
    try:
        stated = connection.execute("SELECT fingerprint FROM about").fetchone()
        is_plain = is_known or connection.execute(FOREIGN).fetchone() == (0,)
    except duckdb.Error:
        stated, is_plain = None, False
    if stated != (fingerprint,) or not is_plain:
        connection.close()
        raise IndexDamaged(f"{path} does not belong to these shards; {fix}")
    return connection
