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
from auditor.store.code_runs import NUMBER, CodeRuns


def write_lists(path: Path, lists: Any, added: CodeRuns, before: StoredLists | None = None) -> None:
    """Write lists of the cells that were added, behind those that such lists held before.

    `lists` is the FAISS index, an inverted file of fast-scan codes without any in it. No more than a list is
    held in memory.
    """
    import faiss

    held, sizes = _held(lists), added.sizes()
    with path.open("wb") as file:
        for number in np.flatnonzero(sizes + (before.sizes if before else 0)).tolist():
            codes, ids = added.of_list(number)
            if before:
                blocks, others, first_ids = before.of_list(number, held)
                file.write(blocks.data)
                codes, ids = np.concatenate([others, codes]), np.concatenate([first_ids, ids])
            file.write(_pack(held, codes).data)
            file.write(ids.data)
            file.write(np.full(-len(ids) % held.n_per_block, -1, NUMBER).data)
        if before:
            sizes += before.sizes
        lists.ntotal = faiss.extract_index_ivf(lists).ntotal = int(sizes.sum())
        head = faiss.serialize_index(lists)
        file.write(head.data)
        file.write(sizes.data)
        file.write(np.array([len(sizes), len(head)], NUMBER).data)


def open_lists(path: Path, dim: int, fix: str) -> Any:
    """The FAISS index over the file, memory-mapped; IndexDamaged where it is none of such vectors."""
    import faiss

    stored = read_lists(path, dim, fix)
    layout = stored.layout
    mapped: Any = faiss.OnDiskInvertedLists()
    mapped.nlist, mapped.code_size = len(stored.sizes), layout.code
    mapped.filename, mapped.totsize, mapped.read_only = str(path), layout.bytes, True
    mapped.prefetch_nthread = 0
    for row in np.stack([stored.sizes, layout.rooms, layout.offsets], axis=1).tolist():
        one = faiss.OnDiskOneList()
        one.size, one.capacity, one.offset = row
        mapped.lists.push_back(one)
    if layout.bytes:
        mapped.do_mmap()
    mapped.this.disown()  # it is the FAISS index's from here on
    faiss.extract_index_ivf(stored.lists).replace_invlists(mapped, True)
    return stored.lists


@dataclass(frozen=True, slots=True)
class StoredLists:
    """What a file holds: the FAISS index with its lists empty, their sizes, and where they lie in it."""

    lists: Any
    sizes: NDArray[np.int64]
    layout: _Layout
    content: NDArray[np.uint8]

    def of_list(
        self, number: int, held: Any
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
        """A list's full blocks as they lie, the codes (n, bytes) of the one that is not, and all ids."""
        import faiss

        size, start = int(self.sizes[number]), int(self.layout.offsets[number])
        middle = start + int(self.layout.rooms[number]) * self.layout.code
        ids = self.content[middle : middle + size * NUMBER.itemsize].view(NUMBER)
        full, left = divmod(size, held.n_per_block)
        end = start + full * held.block_size
        codes = np.zeros((held.n_per_block, self.layout.code), np.uint8)
        if left:
            block = np.array(self.content[end : end + held.block_size])
            held.packer.unpack_all(faiss.swig_ptr(block), faiss.swig_ptr(codes))
        return np.array(self.content[start:end]), codes[:left], np.array(ids)


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


def read_lists(path: Path, dim: int, fix: str) -> StoredLists:
    """What lies in the file, which is not read yet; IndexDamaged where it holds no lists of such vectors."""
    try:
        content = np.memmap(path, np.uint8, "r")
        count, length = content[-2 * NUMBER.itemsize :].view(NUMBER).tolist()
        end = len(content) - (2 + count) * NUMBER.itemsize
        sizes = content[end : -2 * NUMBER.itemsize].view(NUMBER).astype(np.int64)
        if (sizes < 0).any() or (sizes > len(content)).any():  # their sums could come round to anything
            raise ValueError("a list is larger than the file")
        lists = _deserialize(np.array(content[end - length : end]), 16 * len(content))
        layout = _Layout.of(_held(lists), sizes)
    except (OSError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        raise IndexDamaged(f"{path} does not open ({first_line(error)}); {fix}") from None
    if (lists.d, _held(lists).nlist, layout.bytes) != (dim, count, end - length):
        raise IndexDamaged(f"{path} does not belong to these shards; {fix}")
    return StoredLists(lists, sizes, layout, content)


def _pack(held: Any, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes (n, bytes) in the blocks that FAISS scans.

    FAISS's `add_sa_codes` is not for such lists: it writes outside its memory (1.15).
    """
    import faiss

    count = -(-len(codes) // held.n_per_block)
    plain = np.zeros((count, held.n_per_block, codes.shape[1]), np.uint8)
    plain.reshape(-1, codes.shape[1])[: len(codes)] = codes
    blocks = np.zeros((count, held.block_size), np.uint8)
    for one, block in zip(plain, blocks, strict=True):
        held.packer.pack_all(faiss.swig_ptr(one), faiss.swig_ptr(block))
    return blocks


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
