"""Files that are whole or not there at all, whatever ends the process: temporary name, fsync, rename."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from auditor.errors import AuditError, OutputError

INDEXES = Path("indexes")
"""Where indexes lie that are called by a name, below the working directory."""

TEMPORARY = ".tmp-"
"""What the names of unfinished files and folders begin with; what an ended process left is swept up."""

UNFINISHED = re.compile(
    re.escape(TEMPORARY) + r"(?P<host>[A-Za-z0-9.-]+)~(?P<pid>[0-9]+)~[0-9a-f]{32}(\..*)?"
)


def temporary_name() -> str:
    """A new name of something unfinished; it says which process of which machine makes it."""
    return f"{TEMPORARY}{machine_name()}~{os.getpid()}~{os.urandom(16).hex()}"


def machine_name() -> str:
    """The host's name in letters that any file system takes."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64] or "host"


NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_IN_WORDS = {*NO_ROOM, errno.EROFS, errno.EIO}
"""What DuckDB, FAISS and safetensors tell in words alone."""


def disk_error(error: BaseException | None) -> int | None:
    """The system's number of what a disk refused, also where a library tells it in words; else None."""
    while error is not None and not isinstance(error, AuditError):
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        for number in _IN_WORDS:
            if os.strerror(number) in str(error):
                return number
        error = error.__cause__
    return None


@contextmanager
def new_folder(index: Path, target: Path, needed: int | None = None) -> Iterator[Path]:
    """A temporary folder inside the index that becomes `target` when the block ends well.

    OutputError, with the bytes that are `needed` where they are known, where it cannot be written.
    """
    temporary = index / temporary_name()
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for path in temporary.iterdir():
            flush(path)
        flush(temporary)
        make_folder(target.parent)
        temporary.rename(target)
        flush(target.parent)
        flush(index)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _refuse(target, error, needed)
        raise


@contextmanager
def new_file(target: Path, needed: int | None = None) -> Iterator[Path]:
    """A temporary path beside `target` that replaces it when the block ends well.

    The folder is made where it is missing; OutputError, with the bytes that are `needed` where they are
    known, where it cannot be written.
    """
    temporary = target.with_name(temporary_name() + target.suffix[-16:])
    try:
        make_folder(target.parent)
        yield temporary
        if target.is_file():  # who may read it is not for the umask of whoever writes it next
            temporary.chmod(target.stat().st_mode)
        flush(temporary)
        temporary.replace(target)
        flush(target.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        _refuse(target, error, needed)
        raise


def _refuse(target: Path, error: BaseException, needed: int | None) -> None:
    """OutputError where it was the disk that ended the writing of `target`."""
    number = disk_error(error)
    if number is None:
        return
    fix = "name another place for it"
    if number in NO_ROOM:
        wanted = "" if needed is None else f"at least {needed:,} bytes are needed, "
        fix = f"{wanted}{free_bytes(target):,} are free; make room or {fix}"
    raise OutputError(f"cannot write {target}: {os.strerror(number)}; {fix}") from error


def free_bytes(path: Path) -> int:
    """Bytes that the disk of a path has left, whether the path is there or not."""
    return shutil.disk_usage(next(each for each in path.absolute().parents if each.is_dir())).free


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file whole, or leave what was there."""
    with new_file(target, len(content)) as temporary:
        temporary.write_bytes(content)


def flush(path: Path) -> None:
    """Fsync a file, or a folder so that a rename in it lasts."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """A folder, and those above it, whose names last; what is there stays."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        flush(path.parent)


def digest(path: Path, algorithm: str = "blake2b") -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def index_word(path: Path) -> str:
    """What --index and --name call an index: its name below indexes/, else its full path."""
    full = path.resolve()
    return full.name if full.parent == INDEXES.resolve() else str(full)


def is_file(path: Path) -> bool:
    """Whether there is a file of this name, which may be one that no file can have."""
    try:
        return path.is_file()
    except OSError:  # it is too long
        return False
