"""Where the files of an index lie: fixed names, plain files and folders, and nothing outside its folder."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from auditor.errors import IndexDamaged
from auditor.files import TEMPORARY, UNFINISHED, machine_name, temporary_name

MANIFEST = "index.json"
PLAN = "plan"
SHARDS = "shards"
STAGING = "staging"
HEADS = "heads"
DERIVED = "derived"
CURRENT = "CURRENT"
VERIFIED = ".verified"
LOCK = ".lock"
HOLDER = ".writer"
OWN_NAMES = {MANIFEST, PLAN, SHARDS, STAGING, HEADS, DERIVED, CURRENT, VERIFIED, LOCK, HOLDER}

SHARD_NAME = re.compile(r"[0-9]{5,12}")
PLAN_NAME = re.compile(r"[0-9]{5}-[0-9a-f]{16}\.parquet")
GENERATION_NAME = re.compile(r"[0-9]{6}")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
STALE = 24 * 3600.0  # seconds after which another machine's unfinished files count as left over


def inside(index: Path, *names: str) -> Path:
    """A path below the index; IndexDamaged where a name is none of ours, or what is there no plain file.

    A link could lead out of the index, and whoever opens a pipe waits for a writer that never comes.
    """
    path = os.fspath(index)  # as text: with a hundred thousand shards a Path for each step is felt
    for name in names:
        if not FILE_NAME.fullmatch(name) and name not in OWN_NAMES:
            raise IndexDamaged(f"{index} names {name!r}, which is no file of an index; it is not opened")
        path = f"{path}/{name}"
        if what := _is_not_plain(path):
            raise IndexDamaged(f"{path} is {what}, and audit follows none inside an index; remove it")
    return index.joinpath(*names)


def _is_not_plain(path: str) -> str:
    """What it is that is there, where it is neither a file nor a folder; else nothing."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return ""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return "a link" if stat.S_ISLNK(mode) else "a pipe or a device"


def names_in(index: Path, folder: str, pattern: re.Pattern[str]) -> list[str]:
    """What the folder of the index holds under such names, in order; links among them are an error."""
    place = inside(index, folder)
    if not place.is_dir():
        return []
    names = sorted(path.name for path in place.iterdir() if pattern.fullmatch(path.name))
    for name in names:
        inside(index, folder, name)
    return names


def sweep(index: Path) -> None:
    """Delete what ended writers left unfinished: their files and folders, never those of a living one."""
    for path in left_over(index):
        remove_known(path)


def left_over(index: Path) -> Iterator[Path]:
    """Unfinished files and folders whose writer is gone: its process here, or a day's silence elsewhere."""
    for path in index.iterdir():
        match = UNFINISHED.fullmatch(path.name)
        if match is None or path.is_symlink():
            continue
        is_here = match["host"] == machine_name()
        if (is_here and not _is_alive(int(match["pid"]))) or time.time() - path.stat().st_mtime > STALE:
            yield path


def remove_known(path: Path) -> None:
    """Delete a file, or a folder of plain files and folders of such names as audit gives; links stay."""
    if path.is_symlink():
        return
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for entry in list(os.scandir(path)):
        known = FILE_NAME.fullmatch(entry.name) or entry.name.startswith(TEMPORARY)
        if known and not entry.is_symlink():
            remove_known(Path(entry.path))
    if not any(os.scandir(path)):
        path.rmdir()


def retire(index: Path, path: Path) -> None:
    """Delete a folder of the index under a temporary name, so that a kill half-way leaves nothing whole."""
    if path.is_symlink() or not path.is_dir():
        return
    doomed = index / temporary_name()
    path.rename(doomed)
    remove_known(doomed)


def bytes_below(index: Path) -> int:
    """Size of every file in the folder, links not followed."""
    total, folders = 0, [index]
    while folders:
        for entry in os.scandir(folders.pop()):
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            else:
                total += entry.stat(follow_symlinks=False).st_size
    return total


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
