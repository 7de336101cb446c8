"""Codes of cells on their way into lists: sorted on the disk, a run at a time, whatever memory there is."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

RUN = 16 << 20  # bytes that are held, and sorted, at a time
NUMBER = np.dtype("<i8")


class CodeRuns:
    """Codes and ids of cells by their lists, in the order in which they came; a context manager.

    The file has no name: whatever ends the process, nothing of it is left.
    """

    def __init__(self, lists: Any, folder: Path) -> None:
        import faiss

        ivf: Any = faiss.downcast_index(faiss.extract_index_ivf(lists))
        self._lists, self._count, self._word = lists, int(ivf.nlist), int(ivf.coarse_code_size())
        self._record = np.dtype([("code", "u1", (int(ivf.code_size),)), ("id", NUMBER)])
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 (closed with the whole)
        self._numbers: list[NDArray[np.int64]] = []
        self._held: list[NDArray[np.void]] = []
        self._starts: list[NDArray[np.int64]] = []  # of each run: where its lists begin, and where it ends

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, vectors: NDArray[np.float32], ids: NDArray[np.int64]) -> None:
        """Encode unit vectors (n, C) of cells with these ids."""
        codes = self._lists.sa_encode(np.ascontiguousarray(vectors))  # each begins with its list's number
        numbers = np.zeros((len(ids), NUMBER.itemsize), np.uint8)
        numbers[:, : self._word] = codes[:, : self._word]
        records = np.empty(len(ids), self._record)
        records["code"], records["id"] = codes[:, self._word :], ids
        self._numbers.append(numbers.view(NUMBER).ravel())
        self._held.append(records)
        if sum(map(len, self._held)) * self._record.itemsize >= RUN:
            self._put_aside()

    def sizes(self) -> NDArray[np.int64]:
        """How many cells came to each list."""
        self._put_aside()
        sizes: NDArray[np.int64] = np.sum([np.diff(starts) for starts in self._starts], axis=0)
        return sizes

    def of_list(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The codes (n, bytes) and ids (n,) of a list."""
        parts = [np.empty(0, self._record)]
        for starts in self._starts:
            self._file.seek(int(starts[number]) * self._record.itemsize)
            held = self._file.read(int(starts[number + 1] - starts[number]) * self._record.itemsize)
            parts.append(np.frombuffer(held, self._record))
        records = np.concatenate(parts)
        return np.ascontiguousarray(records["code"]), np.ascontiguousarray(records["id"])

    def _put_aside(self) -> None:
        """Sort what is held behind the runs that are there."""
        numbers = np.concatenate([np.empty(0, NUMBER), *self._numbers])
        records = np.concatenate([np.empty(0, self._record), *self._held])
        ends = np.cumsum(np.bincount(numbers, minlength=self._count))
        start = self._starts[-1][-1] if self._starts else 0
        self._starts.append(start + np.concatenate([[0], ends]))
        self._file.seek(0, 2)
        self._file.write(records[np.argsort(numbers, kind="stable")].view(np.uint8).data)
        self._numbers, self._held = [], []
