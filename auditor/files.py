"""Files that are whole or not there at all, whatever ends the process: temporary name, fsync, rename."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditor.errors import AuditError

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


@contextmanager
def new_folder(index: Path, target: Path) -> Iterator[Path]:
    """A temporary folder inside the index that becomes `target` when the block ends well."""
    temporary = index / temporary_name()
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for path in temporary.iterdir():
            flush(path)
        flush(temporary)
        target.parent.mkdir(exist_ok=True)
        temporary.rename(target)
        flush(target.parent)
        flush(index)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that replaces it when the block ends well.

    The folder is made where it is missing; AuditError where the place cannot be written to.
    """
    temporary = target.with_name(temporary_name() + target.suffix[-16:])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush(temporary)
        temporary.replace(target)
        flush(target.parent)
    except OSError as error:
        raise AuditError(
            f"cannot write {target}: {error.strerror or error}; name another place for it"
        ) from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file whole, or leave what was there."""
    with new_file(target) as temporary:
        temporary.write_bytes(content)


def flush(path: Path) -> None:
    """Fsync a file, or a folder so that a rename in it lasts."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path, algorithm: str = "blake2b") -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def index_word(path: Path) -> str:
    """What --index and --name call an index: its name below indexes/, else its full path."""
    full = path.resolve()
    return full.name if full.parent == INDEXES.resolve() else str(full)
