"""Object stores: `s3://bucket/photos` and other URLs of fsspec as paths that are read like any other.

A process sees an object as it was when it was first looked at; `files` looks again.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PosixPath
from typing import Any, Self

from auditor.errors import AuditError, OutputError, first_line

BLOCK_BYTES = 8 << 20  # of an object that is read in pieces, asked for at once
KEPT_BLOCKS = 3  # of each such object: threads are not in step
_URL = re.compile(r"(?P<protocol>[a-z][a-z0-9+.-]+):/+(?P<rest>[^/].*)", re.DOTALL)
_LOCAL = re.compile(r"(?:file|local)://(?:localhost)?(/.*)", re.DOTALL)
_TIMES = ("LastModified", "mtime", "updated", "last_modified", "created")  # as stores call it
_UNREACHABLE = {errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT}
_NUMBERS = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}


def locate(place: str | Path) -> Path:
    """A URL as a path that reads it, anything else as it is; what a file:// names lies on this machine."""
    if isinstance(place, Path):
        return place
    if place.endswith("://"):
        raise AuditError(
            f"{place} names a store and nothing in it; name a place, such as {place}bucket/photos"
        )
    if match := _LOCAL.fullmatch(place):
        return Path(match[1])
    return RemotePath(place) if "://" in place and _URL.fullmatch(place) else Path(place)


class RemotePath(PosixPath):
    """What lies at a URL: an object, or a prefix of objects, which is a folder.

    OSError for what the store answers of it; OutputError where nothing answers at all.
    """

    def __str__(self) -> str:
        text = super().__str__()
        match = _URL.fullmatch(text)
        return f"{match['protocol']}://{match['rest']}" if match else text

    def __fspath__(self) -> str:
        return str(self)

    @property
    def file_system(self) -> Any:
        """The store; AuditError where what reads it is not installed."""
        return _file_system(str(self).partition("://")[0])

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Size, time of the last change where the store tells one, and whether it is a folder."""
        return _look(str(self))

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there is an object or a folder."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there is an object."""
        return self.exists() and stat.S_ISREG(self.stat().st_mode)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether objects lie below it."""
        return self.exists() and stat.S_ISDIR(self.stat().st_mode)

    def is_symlink(self) -> bool:
        """Stores have no links."""
        return False

    def absolute(self) -> Self:
        """Itself."""
        return self

    def resolve(self, strict: bool = False) -> Self:
        """Itself."""
        return self

    def iterdir(self) -> Generator[Self]:
        """What lies directly in it."""
        with _asking(self):
            names = self.file_system.ls(str(self), detail=False)
        yield from (self / name.rstrip("/").rsplit("/", 1)[-1] for name in names)

    def refresh(self) -> None:
        """Look again at all that is here, once, so that nothing is asked for one by one."""
        list(self.files())

    def files(self) -> Iterator[str]:
        """The keys of all objects below it, after its own and a slash."""
        with _asking(self):
            self.file_system.invalidate_cache()
            _look.cache_clear()
            root = self.file_system._strip_protocol(str(self))
            names = self.file_system.find(str(self), detail=True)  # so that it need not ask for each size
        yield from (name.removeprefix(root).removeprefix("/") for name in names)

    def read_bytes(self) -> bytes:
        """The whole object, in one request."""
        with _asking(self):
            return bytes(self.file_system.cat_file(str(self)))

    def get(self, file: Path) -> None:
        """Write the object to a file."""
        with _asking(self):
            self.file_system.get_file(str(self), os.fspath(file))

    def put(self, file: Path) -> None:
        """Make the object of a file; it is there as a whole, or not."""
        with _asking(self):
            self.file_system.put_file(os.fspath(file), str(self))

    def remove(self) -> None:
        """Remove all objects below it."""
        with _asking(self):
            self.file_system.rm(str(self), recursive=True)

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """The object to be read in pieces, as a stream."""
        file = io.BufferedReader(_Stream(self))
        return file if "b" in mode else io.TextIOWrapper(file, encoding, errors, newline)


class _Blocks:
    """The last blocks of an object that were asked for, for all who read it."""

    def __init__(self, path: RemotePath, size: int) -> None:
        self.path, self.size = path, size
        self._blocks: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def read(self, first: int, count: int) -> bytes:
        """At most so many bytes of one block, none at the end."""
        number, offset = divmod(first, BLOCK_BYTES)
        if first >= self.size:
            return b""
        with self._lock:
            if number not in self._blocks:
                self._blocks[number] = self._fetch(number)
                for oldest in list(self._blocks)[:-KEPT_BLOCKS]:
                    del self._blocks[oldest]
            return self._blocks[number][offset : offset + count]

    def _fetch(self, number: int) -> bytes:
        start, end = number * BLOCK_BYTES, min((number + 1) * BLOCK_BYTES, self.size)
        with _asking(self.path):
            return bytes(self.path.file_system.cat_file(str(self.path), start=start, end=end))


class _Stream(io.RawIOBase):
    """An object as a file."""

    def __init__(self, path: RemotePath) -> None:
        status = path.stat()
        self._at, self._size = 0, status.st_size
        self._blocks = _blocks(path, status.st_size, status.st_mtime_ns)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = self._blocks.read(self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


@lru_cache(maxsize=4)
def _blocks(path: RemotePath, size: int, mtime_ns: int) -> _Blocks:
    return _Blocks(path, size)


@lru_cache(maxsize=4096)
def _look(url: str) -> os.stat_result:
    path = RemotePath(url)
    with _asking(path):
        info = path.file_system.info(url)
    mode = stat.S_IFDIR if info["type"] == "directory" else stat.S_IFREG
    when = next((info[name] for name in _TIMES if info.get(name)), 0)
    seconds = when.timestamp() if isinstance(when, datetime) else 0.0
    status = (mode, 0, 0, 1, 0, 0, info.get("size") or 0, 0, int(seconds), 0)
    return os.stat_result(status, {"st_mtime_ns": int(seconds * 1e9)})


def _file_system(protocol: str) -> Any:
    import fsspec

    try:
        return fsspec.filesystem(protocol)
    except ImportError as error:
        raise AuditError(
            f"{protocol}:// needs a library of its own ({first_line(error)}): pip install 'auditor[remote]'"
        ) from error
    except ValueError as error:
        raise AuditError(f"{protocol}:// is nothing that fsspec reads: {first_line(error)}") from error


@contextmanager
def _asking(path: RemotePath) -> Iterator[None]:
    """Tell what a store says of one object from a store that does not answer, whatever its library raises.

    One object that is never sent, while another is answered for, is the object's fault.
    """
    try:
        yield
    except AuditError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
            number = error.errno or _NUMBERS.get(type(error), errno.EIO)
            if number not in _UNREACHABLE:
                raise OSError(number, error.strerror or first_line(error), str(path)) from error
        if _answers(path):
            raise OSError(errno.EIO, first_line(error), str(path)) from error
        raise OutputError(
            f"{path} is out of reach, its store does not answer: {first_line(error)}; what was made is kept, "
            "run the same command to go on"
        ) from error


def _answers(path: RemotePath) -> bool:
    """Whether the store says anything of an object that is not there."""
    store = RemotePath(*path.parts[:2]) / ".audit-asks-whether-anybody-answers"
    try:
        path.file_system.cat_file(str(store))
    except (FileNotFoundError, PermissionError):
        return True
    except Exception:
        return False
    return True
