"""Files that are whole or not there at all, whatever ends the process: temporary name, fsync, rename."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditor.errors import AuditError

INDEXES = Path("indexes")
"""Where indexes lie that are called by a name, below the working directory."""

TEMPORARY = ".tmp-"
"""What the names of unfinished files and folders begin with; whatever carries it may be swept up."""


@contextmanager
def new_folder(index: Path, target: Path) -> Iterator[Path]:
    """A temporary folder inside the index that becomes `target` when the block ends well."""
    temporary = index / f"{TEMPORARY}{uuid.uuid4().hex}"
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
    temporary = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:12]}-{target.name[-64:]}")
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


def remove_folder(path: Path) -> None:
    """Delete a folder under a temporary name, so that a kill half-way leaves nothing that looks whole."""
    doomed = path.parent.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    path.rename(doomed)
    shutil.rmtree(doomed)


def digest(path: Path, algorithm: str = "blake2b") -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
