"""Checksums by block, so that verifying costs what reading costs; a whole file once per state of it.

An array has a block for its header and one for each row (an image), any other file one for all of it. The
sums are CRC-32 (zlib, GB/s): they find what a disk, a copy or a swap did, and are no signature.
"""

from __future__ import annotations

import base64
import json
import mmap
import os
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from auditor.errors import AuditError, IndexDamaged
from auditor.files import new_file
from auditor.store.places import VERIFIED, inside

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file's size and checksums: of its first `head` bytes, then of every `block` bytes (0: of the rest).

    `sums` are little-endian 32-bit numbers in base64.
    """

    bytes: int
    sums: str
    head: int = 0
    block: int = 0

    @classmethod
    def of(cls, path: Path, rows: int = 0) -> FileFacts:
        """Measure a file; an array of `rows` rows has a sum for each."""
        size = path.stat().st_size
        head, block = 0, 0
        if rows:
            with path.open("rb") as file:
                head = header_length(file)
            block = (size - head) // rows
        sums = np.array(_sums(path, size, head, block), dtype="<u4")
        return cls(size, base64.b64encode(sums.tobytes()).decode(), head, block)

    @property
    def numbers(self) -> NDArray[np.uint32]:
        """The sums, the header's first."""
        return np.frombuffer(base64.b64decode(self.sums), dtype="<u4").astype(np.uint32)

    def hold_for(self, path: Path) -> bool:
        """Whether the file is there and unchanged; reads all of it."""
        try:
            if path.stat().st_size != self.bytes:
                return False
            found = _sums(path, self.bytes, self.head, self.block)
        except OSError:
            return False
        return bool(np.array_equal(np.array(found, dtype=np.uint32), self.numbers))


def header_length(file: BinaryIO) -> int:
    """Bytes of a .npy file before its first row."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    read(file)
    return file.tell()


def _sums(path: Path, size: int, head: int, block: int) -> list[int]:
    """The CRC-32 of each block."""
    starts = [*([0] if head else []), *(range(head, size, block) if block else [head])]
    ends = [*starts[1:], size]
    sums = []
    with path.open("rb", buffering=CHUNK) as file:
        for start, end in zip(starts, ends, strict=True):
            crc, left = 0, end - start
            while left > 0 and (data := file.read(min(left, CHUNK))):
                crc, left = zlib.crc32(data, crc), left - len(data)
            sums.append(crc)
    return sums


class Verified:
    """Which files of an index were read whole and held, each in the state that it was in then."""

    def __init__(self, index: Path) -> None:
        self.index = index
        self._states = _read(index)
        self._is_changed = False

    def require(self, parts: Sequence[str], facts: FileFacts, fix: str) -> Path:
        """The file's path, verified now or in this state before; IndexDamaged, with the fix, otherwise."""
        path = inside(self.index, *parts)
        if not self.is_known(parts, facts):
            if not facts.hold_for(path):
                raise IndexDamaged(f"{path} is missing or damaged; {fix}")
            self.note(parts, facts)
        return path

    def is_known(self, parts: Sequence[str], facts: FileFacts) -> bool:
        """Whether the file held in the very state that it is in."""
        name = "/".join(parts)
        known = self._states.get(name)
        return known is not None and known == _state(f"{self.index}/{name}", facts)

    def note(self, parts: Sequence[str], facts: FileFacts) -> None:
        """Remember that the file holds as it is."""
        name = "/".join(parts)
        state = _state(f"{self.index}/{name}", facts)
        if state is not None:
            self._states[name] = state
            self._is_changed = True

    def save(self) -> None:
        """Keep what was noted beside the index; where that cannot be written, it is verified again."""
        if not self._is_changed or self.index.joinpath(VERIFIED).is_symlink():
            return
        try:
            with new_file(self.index / VERIFIED) as temporary:
                temporary.write_text(json.dumps(self._states), encoding="utf-8")
        except (AuditError, OSError):
            return
        self._is_changed = False


class Rows:
    """A shard's array, memory-mapped; rows are verified before they are given out for the first time.

    Its pages go back to the system, which keeps what it has room for, as soon as they were read: whoever
    goes over a whole index holds none of it.
    """

    def __init__(
        self, verified: Verified, parts: Sequence[str], facts: FileFacts, shape: Sequence[int], fix: str
    ) -> None:
        path = inside(verified.index, *parts)
        self._path, self._facts, self._fix, self._verified = path, facts, fix, verified
        self._parts, self._sums = parts, facts.numbers
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                head = file.read(facts.head)
        except OSError:
            raise IndexDamaged(f"{path} is missing or cannot be read; {fix}") from None
        if size != facts.bytes or zlib.crc32(head) != self._sums[0]:
            raise self._damaged()
        self._array: NDArray[Any] = np.load(path, mmap_mode="r")
        self._map: mmap.mmap = self._array.base
        if self._array.shape != tuple(shape):
            raise self._damaged()
        self._seen = np.full(len(self._array), verified.is_known(parts, facts))

    def take(self, rows: NDArray[np.integer] | int) -> NDArray[Any]:
        """A copy of these rows: a view would keep the file open, and read again what may have changed."""
        self._require(rows)
        chosen: NDArray[Any] = self._array[rows] if np.ndim(rows) else np.array(self._array[rows])
        self.release()
        return chosen

    def take_cells(self, rows: NDArray[np.integer], cells: NDArray[np.integer]) -> NDArray[Any]:
        """Of each of these rows one cell, by its number; no more is copied, though the row is verified."""
        self._require(rows)
        by_cell = self._array.reshape(len(self._array), -1, *self._array.shape[3:])
        chosen: NDArray[Any] = by_cell[rows, cells]
        self.release()
        return chosen

    def all(self) -> NDArray[Any]:
        """A copy of the whole array."""
        return self.take(np.arange(len(self._array)))

    def between(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from one number up to another where they lie; their pages stay until `release`."""
        self._require(np.arange(start, stop))
        return self._array[start:stop]

    def release(self) -> None:
        """Give the pages back to the system; whoever reads there again maps them again."""
        if sys.platform != "win32":  # which has no such call
            self._map.madvise(mmap.MADV_DONTNEED)

    def _require(self, rows: NDArray[np.integer] | int) -> None:
        """Verify what was not yet; once that is the whole file, it is known in this state."""
        asked = np.atleast_1d(rows)
        unseen = list(
            set(asked[~self._seen[asked]].tolist())
        )  # np.unique would load numpy.ma for every command
        for row in unseen:
            if zlib.crc32(self._array[row].data) != self._sums[row + 1]:
                raise self._damaged()
        self._seen[unseen] = True
        if unseen and self._seen.all():
            self._verified.note(self._parts, self._facts)

    def _damaged(self) -> IndexDamaged:
        return IndexDamaged(f"{self._path} is damaged; {self._fix}")


def _state(path: str, facts: FileFacts) -> list[int] | None:
    """What changes with any write to the file, and what it was held against; None for no plain file."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    stated = zlib.crc32(facts.sums.encode())
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, stated]


def _read(index: Path) -> dict[str, list[int]]:
    try:
        states = json.loads(inside(index, VERIFIED).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, IndexDamaged):
        return {}
    return states if isinstance(states, dict) else {}
