"""The lists that a large index is searched by, in one file that is memory-mapped as it lies.

FAISS itself reads such lists into memory. Here the file begins with the lists: of each its codes, in the
blocks that FAISS scans, and the ids of its cells. Then follow the FAISS index with its lists empty, the size
of each list, and two numbers: of the lists, and of the bytes of the FAISS index.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import IndexDamaged, first_line

NUMBER = np.dtype("<i8")


def write_lists(path: Path, lists: Any) -> None:
    """Write an inverted file of fast-scan codes, whose lists are empty afterwards."""
    import faiss

    held = _held(lists)
    sizes = np.array([held.list_size(number) for number in range(held.nlist)], NUMBER)
    layout = _Layout.of(held, sizes)
    with path.open("wb") as file:
        for number in np.flatnonzero(sizes).tolist():
            room = int(layout.rooms[number])
            ids = np.full(room, -1, NUMBER)
            ids[: sizes[number]] = faiss.rev_swig_ptr(held.get_ids(number), int(sizes[number]))
            file.write(faiss.rev_swig_ptr(held.get_codes(number), room * layout.code).data)
            file.write(ids.data)
        held.reset()
        head = faiss.serialize_index(lists)
        file.write(head.data)
        file.write(sizes.data)
        file.write(np.array([len(sizes), len(head)], NUMBER).data)


def open_lists(path: Path, dim: int, fix: str) -> Any:
    """The FAISS index over the file, memory-mapped; IndexDamaged where it is none of such vectors."""
    import faiss

    lists, sizes, layout = _read(path, dim, fix)
    mapped: Any = faiss.OnDiskInvertedLists()
    mapped.nlist, mapped.code_size = len(sizes), layout.code
    mapped.filename, mapped.totsize, mapped.read_only = str(path), layout.bytes, True
    mapped.prefetch_nthread = 0
    for row in np.stack([sizes, layout.rooms, layout.offsets], axis=1).tolist():
        one = faiss.OnDiskOneList()
        one.size, one.capacity, one.offset = row
        mapped.lists.push_back(one)
    if layout.bytes:
        mapped.do_mmap()
    mapped.this.disown()  # it is the FAISS index's from here on
    faiss.extract_index_ivf(lists).replace_invlists(mapped, True)
    return lists


def load_lists(path: Path, dim: int, fix: str) -> Any:
    """The FAISS index in memory, so that cells can be added; IndexDamaged as above."""
    import faiss

    lists, sizes, layout = _read(path, dim, fix)
    held = _held(lists)
    content = np.memmap(path, np.uint8, "r")
    for number in np.flatnonzero(sizes).tolist():
        size, start = int(sizes[number]), int(layout.offsets[number])
        middle = start + int(layout.rooms[number]) * layout.code
        held.resize(number, size)
        faiss.rev_swig_ptr(held.get_codes(number), middle - start)[:] = content[start:middle]
        ids = content[middle : middle + size * NUMBER.itemsize].view(NUMBER)
        faiss.rev_swig_ptr(held.get_ids(number), size)[:] = ids
    return lists


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where each list begins, for how many cells there is room in it, and the bytes of a code."""

    code: int
    rooms: NDArray[np.int64]
    offsets: NDArray[np.int64]
    bytes: int

    @classmethod
    def of(cls, held: Any, sizes: NDArray[np.int64]) -> _Layout:
        """Of lists in FAISS's blocks, the last of which may not be full."""
        code = held.block_size // held.n_per_block
        rooms = -(-sizes // held.n_per_block) * held.n_per_block
        ends = np.cumsum(rooms * (code + NUMBER.itemsize))
        return cls(code, rooms, ends - rooms * (code + NUMBER.itemsize), int(ends[-1]))


def _read(path: Path, dim: int, fix: str) -> tuple[Any, NDArray[np.int64], _Layout]:
    """The FAISS index with its lists empty, their sizes, and where they lie."""

    try:
        content = np.memmap(path, np.uint8, "r")
        count, length = content[-2 * NUMBER.itemsize :].view(NUMBER).tolist()
        end = len(content) - (2 + count) * NUMBER.itemsize
        sizes = content[end : -2 * NUMBER.itemsize].view(NUMBER).astype(np.int64)
        lists = _deserialize(np.array(content[end - length : end]), 16 * len(content))
        layout = _Layout.of(_held(lists), sizes)
    except (OSError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        raise IndexDamaged(f"{path} does not open ({first_line(error)}); {fix}") from None
    if (lists.d, _held(lists).nlist, layout.bytes) != (dim, count, end - length) or (sizes < 0).any():
        raise IndexDamaged(f"{path} does not belong to these shards; {fix}")
    return lists, sizes, layout


def _held(lists: Any) -> Any:
    """The lists of an inverted file, as what they are."""
    import faiss

    held: Any = faiss.extract_index_ivf(lists).invlists
    return faiss.downcast_InvertedLists(held)


def _deserialize(head: NDArray[np.uint8], most: int) -> Any:
    """The FAISS index; no part of it, nor a table that is made of them, may take more bytes than that."""
    import faiss

    limit = faiss.get_deserialization_vector_byte_limit()
    faiss.set_deserialization_vector_byte_limit(most)
    try:
        return faiss.deserialize_index(head)
    finally:
        faiss.set_deserialization_vector_byte_limit(limit)
