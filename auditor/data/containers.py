"""Images that lie in containers: members of tars, as WebDataset, and rows of Parquet files, as Hugging Face.

Such an image has a path like any other: `train-000.tar/000012.jpg`, `train.parquet/000012/cat.jpg`.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from auditor.errors import ImageError, first_line
from auditor.parquet import pattern_of, rows_of
from auditor.remote import RemotePath

if TYPE_CHECKING:
    import duckdb

TAR, PARQUET = ".tar", ".parquet"
BLOCK_BYTES = 64 << 20  # of a Parquet file's rows, read at once


class FileState(NamedTuple):
    """By what one sees that a file may be another: bytes (None where that would have to be read), mtime."""

    size: int | None
    mtime_ns: int


def find_container(path: Path) -> tuple[Path, str] | None:
    """The tar or Parquet file that a path leads into, and the rest of it; None for a file of its own."""
    for parent in path.parents:
        if parent.suffix.lower() in (TAR, PARQUET) and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return None


def is_there(path: Path) -> bool:
    """Whether there is such a file, or such a place in a container."""
    try:
        state_of(path)
    except (OSError, ValueError):
        return False
    return True


def state_of(path: Path) -> FileState:
    """Of an image's file, or of where it lies in its container; OSError where it is not there."""
    place = find_container(path)
    if place is None:
        status = path.stat()
        return FileState(status.st_size, status.st_mtime_ns)
    container, name = place
    mtime_ns = container.stat().st_mtime_ns
    if container.suffix.lower() == TAR:
        from auditor.data.tars import member_of  # few datasets lie in tars, and commands wait for no other

        return FileState(member_of(container, name).size, mtime_ns)
    if _row_of(name) >= _open_rows(container).count:
        raise FileNotFoundError(f"{container} has no row {name}")
    return FileState(None, mtime_ns)


def read_contained(container: Path, name: str, most: int) -> tuple[bytes, int]:
    """The bytes of a member or row, at most so many, and the container's mtime; OSError or ImageError."""
    mtime_ns = container.stat().st_mtime_ns
    if container.suffix.lower() == PARQUET:
        data = _open_rows(container).read(_row_of(name))
        _refuse_large(container / name, len(data), most)
        return data, mtime_ns
    from auditor.data.tars import member_of

    member = member_of(container, name)
    _refuse_large(container / name, member.size, most)
    with container.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size), mtime_ns


def _refuse_large(path: Path, size: int, most: int) -> None:
    if size > most:
        raise ImageError("too_large", f"{path} has {size:,} bytes; save it smaller")


# ------------------------------------------------------------------------------------- Parquet


def connect(place: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB in memory, in one thread, never fetching extensions; it reads the store of the place."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={"threads": 1, "autoinstall_known_extensions": False, "autoload_known_extensions": False},
    )
    if isinstance(place, RemotePath):
        connection.register_filesystem(place.file_system)
    return connection


def why_not(error: duckdb.Error) -> str:
    """What DuckDB says in one line: of a store's error that is the last of a Python traceback's."""
    text = str(error).partition("\n\n")[0].strip()
    return text.splitlines()[-1] if text.startswith("Traceback") else first_line(error)


def quoted(name: str) -> str:
    """A name of a column in SQL."""
    return '"' + name.replace('"', '""') + '"'


def image_column(connection: duckdb.DuckDBPyConnection, path: Path) -> str | None:
    """The first column whose values are images: a struct that has bytes; duckdb.Error for no Parquet file."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {rows_of(path)}").fetchall()
    return next((name for name, kind, *_ in rows if re.match(r"STRUCT\(.*\bbytes BLOB\b", kind)), None)


def row_name(row: int, written: str | None) -> str:
    """Where a row's image lies below its file: its number, and the name that it was written under."""
    name = PurePosixPath((written or "").replace("\\", "/")).name
    is_text = name.isprintable() and name.encode(errors="replace").decode() == name
    return f"{row:06d}/{name}" if name and is_text and name not in (".", "..") else f"{row:06d}"


def _row_of(name: str) -> int:
    number = name.split("/")[0]
    if not re.fullmatch(r"[0-9]{6,12}", number):
        raise FileNotFoundError(f"{name} is no row")
    return int(number)


class Rows:
    """The images of one Parquet file, read a block of rows at a time, since neighbours are asked for next."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()
        self._blocks: dict[int, dict[int, bytes | None]] = {}
        with connect(path) as connection:
            self.column = image_column(connection, path)
            groups = connection.execute(
                "SELECT DISTINCT row_group_id, row_group_num_rows, row_group_bytes FROM parquet_metadata(?) "
                "ORDER BY row_group_id",
                [pattern_of(path)],
            ).fetchall()
        self._ends: list[int] = []
        self.count = 0
        for _, rows, size in groups:
            step = max(1, min(rows, rows * BLOCK_BYTES // max(size, 1)))
            last = self.count + rows
            self._ends += [*range(self.count + step, last, step), last]
            self.count = last

    def read(self, row: int) -> bytes:
        """The bytes of a row's image; ImageError where it has none."""
        if row >= self.count:
            raise FileNotFoundError(f"{self.path} has no row {row}")
        block = bisect_right(self._ends, row)
        with self._lock:
            if block not in self._blocks:
                self._blocks = dict(list(self._blocks.items())[-1:])  # the last one: threads are not in step
                self._blocks[block] = self._fetch(self._ends[block - 1] if block else 0, self._ends[block])
            data = self._blocks[block].get(row)
        if data is None:
            raise ImageError("missing", f"{self.path} has no bytes of an image in row {row}")
        return data

    def _fetch(self, first: int, end: int) -> dict[int, bytes | None]:
        import duckdb

        sql = (
            f"SELECT file_row_number, {quoted(self.column or '')}.bytes FROM "
            f"{rows_of(self.path, file_row_number=True)} WHERE file_row_number >= ? AND file_row_number < ?"
        )
        try:
            with connect(self.path) as connection:
                return dict(connection.execute(sql, [first, end]).fetchall())
        except duckdb.Error as error:
            raise OSError(f"{self.path} is damaged in rows {first} to {end}: {why_not(error)}") from error


def _open_rows(path: Path) -> Rows:
    import duckdb

    status = path.stat()
    try:
        return _rows(path, status.st_size, status.st_mtime_ns)
    except duckdb.Error as error:
        raise OSError(f"{path} is no Parquet file that can be read: {why_not(error)}") from error


@lru_cache(maxsize=4)
def _rows(path: Path, size: int, mtime_ns: int) -> Rows:
    return Rows(path)
