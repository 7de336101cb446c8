"""Columns to Parquet and back through DuckDB, which is fed NumPy arrays (2,140 times executemany's speed).

DuckDB takes no two-dimensional arrays, so a list column travels as one array per position and is put together
in SQL: eight times faster than an array of Python lists.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from tempfile import gettempdir
from typing import Any, TypeVar
from weakref import WeakSet

import duckdb
import numpy as np
from numpy.typing import NDArray

from auditor.files import temporary_name
from auditor.parquet import rows_of, text_of
from auditor.records import VARIANTS

IMAGES = {
    "id": "INTEGER",
    "path": "VARCHAR",
    "hash": "VARCHAR",
    "size": "BIGINT",
    "mtime_ns": "BIGINT",
    "width": "INTEGER",
    "height": "INTEGER",
    "label": "INTEGER",
    "labels": "INTEGER[]",
    "true_name": "VARCHAR",
    "split": "VARCHAR",
    "metadata": "VARCHAR",
    "real": "INTEGER[]",
    "fold": "UTINYINT",
    "foreground": "VARCHAR",
    "status": "VARCHAR",
    "error": "VARCHAR",
    "code": "VARCHAR",
    **{f"top5_{variant}": "INTEGER[]" for variant in VARIANTS},
    **{f"top5_{variant}_p": "FLOAT[]" for variant in VARIANTS},
}
"""One row per image; status is ok, broken or filtered, foreground the run-length code of its mask.

`size` in bytes and `mtime_ns` are the file's when it was read; `code` is `error` in one word: why an image is
broken, or `annotation` where one is ok and its foreground unknown.
"""

CELLS = {
    "image": "INTEGER",
    "variant": "UTINYINT",
    "cell": "USMALLINT",
    "foreground": "BOOLEAN",
    "present": "INTEGER[]",
    "top5": "INTEGER[]",
    "top5_p": "FLOAT[]",
    "entropy": "FLOAT",
    "target_rank": "INTEGER[]",
    "target_logit": "FLOAT[]",
}
"""One row per image x variant x cell; target_* are aligned with the image's labels, null without a head."""

DTYPES: dict[str, type[np.generic]] = {
    "INTEGER": np.int32,
    "BIGINT": np.int64,
    "UTINYINT": np.uint8,
    "USMALLINT": np.uint16,
    "FLOAT": np.float32,
    "BOOLEAN": np.bool_,
    "VARCHAR": np.object_,
}


@dataclass(frozen=True, slots=True)
class Ragged:
    """A list column: the values of all rows end to end, and each row's length (-1 for null)."""

    values: NDArray[Any]
    lengths: NDArray[np.int64]


Column = NDArray[Any] | Sequence[Any] | Ragged
Columns = Mapping[str, Column]
"""By name: an array (masked where null), a sequence with None, an (n, k) array or a `Ragged` for lists."""


MEMORY, THREADS = "128MB", 4

Result = TypeVar("Result")

OPEN: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()
"""Whoever ends the process interrupts these: DuckDB itself hears of a signal and works on to its answer."""


def connect(path: Path | None = None) -> duckdb.DuckDBPyConnection:
    """DuckDB in memory or reading `path`, never fetching extensions from a server.

    What reads a file keeps little of it: whatever the size, an answer takes `MEMORY`, and puts aside what
    does not fit among the system's temporary files, never in an index.
    """
    settings: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    if path is not None:
        threads = min(THREADS, os.cpu_count() or 1)
        settings |= {"memory_limit": MEMORY, "threads": threads, "temp_directory": _aside(os.getpid())}
    database = ":memory:" if path is None else text_of(path)  # `~` is the user's home to it
    connection = duckdb.connect(database, read_only=path is not None, config=settings)
    OPEN.add(connection)
    return connection


@cache
def _aside(process: int) -> str:
    """A folder that DuckDB makes when it needs it, and clears; a process may open a file again only alike."""
    return text_of(Path(gettempdir(), temporary_name()))


def in_little_memory(connection: duckdb.DuckDBPyConnection, run: Callable[[], Result]) -> Result:
    """What cannot be put aside, such as lists of very many images, gets more, and then what there is."""
    for limit in ("SET memory_limit = '256MB'", "RESET memory_limit"):
        try:
            return run()
        except duckdb.OutOfMemoryException:
            connection.execute(limit)
    return run()


def quoted(path: Path) -> str:
    """A file to be written, as a literal of SQL."""
    return "'" + text_of(path).replace("'", "''") + "'"


def write_parquet(path: Path, columns: Columns, schema: Mapping[str, str]) -> None:
    """Write the columns with the schema's types; those that are left out become null."""
    unknown = sorted(columns.keys() - schema.keys())
    if unknown:
        raise ValueError(f"{path.name} has no columns {', '.join(unknown)}")
    with connect() as connection:
        connection.execute("SET threads = 1")  # the same bytes for the same rows
        select = select_columns(connection, "columns", columns, schema)
        connection.execute(f"COPY ({select}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd)")


def select_columns(
    connection: duckdb.DuckDBPyConnection, name: str, columns: Columns, schema: Mapping[str, str]
) -> str:
    """Register the columns under a name; the query that gives them the schema's types."""
    rows = len_of(columns[next(iter(schema))])
    arrays: dict[str, NDArray[Any]] = {"row": np.arange(rows)}
    chosen = [_feed(arrays, column, kind, columns.get(column)) for column, kind in schema.items()]
    connection.register(name, arrays)
    return f"SELECT {', '.join(chosen)} FROM {name}"


def read_parquet(path: Path, what: str = "*", where: str = "true") -> dict[str, NDArray[Any]]:
    """All columns: masked arrays where there are nulls, object arrays of arrays for lists."""
    with _reader(os.getpid()).cursor() as connection:
        OPEN.add(connection)
        return connection.execute(f"SELECT {what} FROM {rows_of(path)} WHERE {where}").fetchnumpy()


@cache
def _reader(process: int) -> duckdb.DuckDBPyConnection:
    """One for all that a process reads: to start DuckDB takes longer than to read a small file.

    A fork has the connection of its parent without the threads that answer it, and would wait for ever.
    """
    return connect()


def len_of(column: Column) -> int:
    """Rows of a column."""
    return len(column.lengths if isinstance(column, Ragged) else column)


def _feed(arrays: dict[str, NDArray[Any]], name: str, kind: str, column: Column | None) -> str:
    """Add the arrays that DuckDB reads for one column; return the SQL expression that puts it together."""
    if column is None:
        return f'NULL::{kind} AS "{name}"'
    if len_of(column) != len(arrays["row"]):
        raise ValueError(f"column {name} has {len_of(column)} rows, not {len(arrays['row'])}")
    if not kind.endswith("[]"):
        assert not isinstance(column, Ragged)
        arrays[name] = _scalars(column, DTYPES[kind])
        return f'"{name}"::{kind} AS "{name}"'
    padded, lengths = _pad(column, DTYPES[kind[:-2]])
    arrays[f"{name}.n"] = lengths
    parts = [f"{name}.{position}" for position in range(padded.shape[1])]
    arrays.update({part: padded[:, position] for position, part in enumerate(parts)})
    items = ", ".join(f'"{part}"' for part in parts)
    return f'CASE WHEN "{name}.n" >= 0 THEN list_slice([{items}]::{kind}, 1, "{name}.n") END AS "{name}"'


def _scalars(column: NDArray[Any] | Sequence[Any], dtype: type[np.generic]) -> NDArray[Any]:
    if isinstance(column, np.ndarray) and column.dtype != np.object_ and dtype != np.object_:
        return column.astype(dtype)
    plain = _without_mask(column)
    if dtype == np.object_:
        return np.fromiter(plain, dtype=np.object_, count=len(plain))
    missing = np.array([value is None for value in plain], dtype=np.bool_)
    values = np.array([0 if value is None else value for value in plain], dtype=dtype)
    return np.ma.masked_array(values, mask=missing) if missing.any() else values


def _pad(column: Column, dtype: type[np.generic]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """A list column as (rows, longest) values and the length of each row, -1 for null."""
    if isinstance(column, np.ndarray) and column.ndim == 2:
        missing = np.ma.getmaskarray(column).any(axis=1)
        return np.ma.getdata(column).astype(dtype), np.where(missing, -1, column.shape[1])
    ragged = column if isinstance(column, Ragged) else _ragged(column, dtype)
    lengths = np.asarray(ragged.lengths, dtype=np.int64)
    counts = np.maximum(lengths, 0)
    row = np.repeat(np.arange(len(counts)), counts)
    position = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded = np.zeros((len(counts), int(counts.max(initial=0))), dtype=dtype)
    padded[row, position] = ragged.values
    return padded, lengths


def _ragged(column: NDArray[Any] | Sequence[Any], dtype: type[np.generic]) -> Ragged:
    rows = _without_mask(column)
    lengths = np.array([-1 if row is None else len(row) for row in rows], dtype=np.int64)
    values = chain.from_iterable(row for row in rows if row is not None)
    return Ragged(np.fromiter(values, dtype=dtype), lengths)


def _without_mask(column: NDArray[Any] | Sequence[Any]) -> Sequence[Any]:
    """The values with None in place of what is masked."""
    if not isinstance(column, np.ma.MaskedArray):
        return list(column)
    mask = np.ma.getmaskarray(column)
    data = np.ma.getdata(column)
    return [None if hidden else value for value, hidden in zip(data, mask, strict=True)]
