"""Images that lie in containers: members of tars, as WebDataset, and rows of Parquet files, as Hugging Face.

Such an image has a path like any other: `train-000.tar/000012.jpg`, `train.parquet/000012/cat.jpg`.
"""

from __future__ import annotations

import re
import tarfile
import threading
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from auditor.data.files import SPLITS
from auditor.errors import DatasetError, ImageError, first_line
from auditor.parquet import pattern_of, rows_of
from auditor.remote import RemotePath

if TYPE_CHECKING:
    import duckdb

TAR, PARQUET = ".tar", ".parquet"
BLOCK_BYTES = 64 << 20  # of a Parquet file's rows, read at once
_END = bytes(512)
_BROKEN = (tarfile.TarError, ValueError, OverflowError, EOFError)  # what a spoilt header raises


class Member(NamedTuple):
    """A file in a tar: its name, where its bytes begin, and how many there are."""

    name: str
    offset: int
    size: int


class TarListing(NamedTuple):
    """The whole regular members in the order in which they lie, and what of the tar could not be used."""

    members: tuple[Member, ...]
    problems: tuple[str, ...]

    def by_name(self) -> dict[str, Member]:
        """Of members that share a name the first."""
        named: dict[str, Member] = {}
        for member in self.members:
            named.setdefault(member.name, member)
        return named


class FileState(NamedTuple):
    """By what one sees that a file may be another: bytes (None where that would have to be read), mtime."""

    size: int | None
    mtime_ns: int


def split_of_container(path: str) -> str | None:
    """The split that a file is named after: `train-00000-of-00002.parquet` is of train."""
    match = re.match(r"[A-Za-z]+", PurePosixPath(path).name)
    word = match[0].lower() if match else ""
    return word if word in SPLITS else None


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
        return FileState(_member(container, name).size, mtime_ns)
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
    member = _member(container, name)
    _refuse_large(container / name, member.size, most)
    with container.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size), mtime_ns


def _refuse_large(path: Path, size: int, most: int) -> None:
    if size > most:
        raise ImageError("too_large", f"{path} has {size:,} bytes; save it smaller")


# ------------------------------------------------------------------------------------- tars


def list_tar(path: Path) -> TarListing:
    """What a tar holds, read once per state of the file; DatasetError where it is none."""
    status = path.stat()
    return _list_tar(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _list_tar(path: Path, size: int, mtime_ns: int) -> TarListing:
    members: list[Member] = []
    problems: list[str] = []
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in _whole_members(tar, path, size, problems):
                if name := _safe_name(member.name):
                    members.append(Member(name, member.offset_data, member.size))
                else:
                    problems.append(f"its member {member.name!r} leads out of it")
    except _BROKEN as error:
        raise DatasetError(f"{path} is no tar that can be read: {error}; fetch it again") from error
    return TarListing(tuple(members), tuple(problems))


def _whole_members(
    tar: tarfile.TarFile, path: Path, size: int, problems: list[str]
) -> Iterator[tarfile.TarInfo]:
    """The regular files up to where the tar ends or was cut, which is a problem."""
    try:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # all that were read: a kilobyte each
            if member.isreg() and not member.issparse() and member.offset_data + member.size <= size:
                yield member
    except _BROKEN:
        problems.append("it ends in the middle")
        return
    with path.open("rb") as file:
        file.seek(tar.offset)
        if file.read(len(_END)) != _END:
            problems.append("it ends in the middle")


def _safe_name(name: str) -> str | None:
    """The name as a path below the tar; None for one that would lead elsewhere."""
    path = PurePosixPath(name)
    is_text = name.isprintable() and name.encode(errors="replace").decode() == name
    return path.as_posix() if is_text and not path.is_absolute() and ".." not in path.parts else None


@lru_cache(maxsize=64)
def _members(path: Path, size: int, mtime_ns: int) -> dict[str, Member]:
    return _list_tar(path, size, mtime_ns).by_name()


def _member(path: Path, name: str) -> Member:
    status = path.stat()
    try:
        member = _members(path, status.st_size, status.st_mtime_ns).get(name)
    except DatasetError as error:
        raise OSError(str(error)) from error
    if member is None:
        raise FileNotFoundError(f"{path} has no member {name}")
    return member


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
