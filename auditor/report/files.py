"""Files that are whole or not there at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditor.errors import AuditError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write to; it takes the name only once it is whole and on the disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _refusal(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _settle(temporary)
        temporary.replace(path)
    except OSError as error:
        raise _refusal(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole, or leave what was there."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _settle(temporary: Path) -> None:
    """Onto the disk, with the permissions of an ordinary new file (mkstemp's are the owner's only)."""
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)
    with temporary.open("rb") as opened:
        os.fsync(opened.fileno())


def _refusal(path: Path, error: OSError) -> AuditError:
    return AuditError(f"cannot write {path}: {error.strerror or error}; name another place for it")
