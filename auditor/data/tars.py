"""What a tar holds, and where: its members are read in place, by their offsets."""

from __future__ import annotations

import posixpath
import tarfile
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

from auditor.errors import DatasetError

_END = bytes(512)
_BROKEN = (tarfile.TarError, ValueError, OverflowError, EOFError)  # what a spoilt header raises


class Member(NamedTuple):
    """A file in a tar: its name, where its bytes begin, and how many there are."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class TarListing:
    """The whole regular members in the order in which they lie, and what of the tar could not be used.

    A tar may hold millions, so of each no more is kept than its name and, in `places`, its offset and size.
    """

    names: Sequence[str]
    places: array[int]
    problems: tuple[str, ...]

    def members(self) -> Iterator[Member]:
        """All of them."""
        return map(Member, self.names, self.places[::2], self.places[1::2])

    def find(self, name: str) -> Member | None:
        """The first of this name."""
        at = bisect_left(self._by_name, name, key=self.names.__getitem__)
        if at == len(self.names) or self.names[number := self._by_name[at]] != name:
            return None
        return Member(name, self.places[2 * number], self.places[2 * number + 1])

    @cached_property
    def _by_name(self) -> array[int]:
        return array("q", sorted(range(len(self.names)), key=self.names.__getitem__))


def list_tar(path: Path) -> TarListing:
    """What a tar holds, read once per state of the file; DatasetError where it is none."""
    status = path.stat()
    return _list_tar(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _list_tar(path: Path, size: int, mtime_ns: int) -> TarListing:
    names: list[str] = []
    places = array("q")
    problems: list[str] = []
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in _whole_members(tar, path, size, problems):
                if name := _safe_name(member.name):
                    names.append(name)
                    places.extend((member.offset_data, member.size))
                else:
                    problems.append(f"its member {member.name!r} leads out of it")
    except _BROKEN as error:
        raise DatasetError(f"{path} is no tar that can be read: {error}; fetch it again") from error
    return TarListing(names, places, tuple(problems))


def _whole_members(
    tar: tarfile.TarFile, path: Path, size: int, problems: list[str]
) -> Iterator[tarfile.TarInfo]:
    """The regular files up to where the tar ends or was cut, which is a problem."""
    try:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # all that were read: a kilobyte each
            if member.isreg() and not member.issparse() and member.offset_data + member.size <= size:
                yield member
    except _BROKEN:
        problems.append("it ends in the middle")
        return
    with path.open("rb") as file:
        file.seek(tar.offset)
        if file.read(len(_END)) != _END:
            problems.append("it ends in the middle")


def _safe_name(name: str) -> str | None:
    """The name as a path below the tar; None for one that would lead elsewhere."""
    is_text = name.isprintable() and name.encode(errors="replace").decode() == name
    leads_out = name.startswith("/") or ".." in name.split("/")
    return posixpath.normpath(name) if is_text and not leads_out else None


def member_of(path: Path, name: str) -> Member:
    """Where a member of this name lies; OSError where there is none, or no tar that can be read."""
    try:
        member = list_tar(path).find(name)
    except DatasetError as error:
        raise OSError(str(error)) from error
    if member is None:
        raise FileNotFoundError(f"{path} has no member {name}")
    return member
