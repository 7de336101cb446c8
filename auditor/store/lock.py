"""The one writer of an index: a lock that the system lets go of when its process ends, and who has it."""

from __future__ import annotations

import errno
import json
import os
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import IndexBusy
from auditor.files import machine_name
from auditor.store.places import HOLDER, LOCK, inside

if TYPE_CHECKING:
    from filelock import FileLock


def take_lock(index: Path) -> FileLock:
    """The lock, taken; IndexBusy, naming the process and machine that has it, where another does."""
    from filelock import FileLock, Timeout  # which readers do not wait for

    lock = FileLock(inside(index, LOCK))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise IndexBusy(
            f"another process{_holder(index)} is writing {index}; wait until it is done, then try again"
        ) from None
    about = {"pid": os.getpid(), "host": machine_name(), "since": datetime.now(UTC).isoformat("T", "seconds")}
    inside(index, HOLDER).write_text(json.dumps(about), encoding="utf-8")
    return lock


def hold_still(index: Path) -> AbstractContextManager[object]:
    """The lock of an index that is only read, by whoever must not see it change.

    On a disk that is read-only there is no lock to take, and nobody to be kept out.
    """
    try:
        return take_lock(index)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return nullcontext()


def _holder(index: Path) -> str:
    try:
        about = json.loads(inside(index, HOLDER).read_text(encoding="utf-8"))
        return f" ({int(about['pid'])} on {about['host']}, since {about['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
