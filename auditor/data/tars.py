"""What a tar holds, and where: its members are read in place, by their offsets."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from auditor.errors import DatasetError

_END = bytes(512)
_BROKEN = (tarfile.TarError, ValueError, OverflowError, EOFError)  # what a spoilt header raises


class Member(NamedTuple):
    """A file in a tar: its name, where its bytes begin, and how many there are."""

    name: str
    offset: int
    size: int


class TarListing(NamedTuple):
    """The whole regular members in the order in which they lie, and what of the tar could not be used."""

    members: tuple[Member, ...]
    problems: tuple[str, ...]

    def by_name(self) -> dict[str, Member]:
        """Of members that share a name the first."""
        named: dict[str, Member] = {}
        for member in self.members:
            named.setdefault(member.name, member)
        return named


def list_tar(path: Path) -> TarListing:
    """What a tar holds, read once per state of the file; DatasetError where it is none."""
    status = path.stat()
    return _list_tar(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _list_tar(path: Path, size: int, mtime_ns: int) -> TarListing:
    members: list[Member] = []
    problems: list[str] = []
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in _whole_members(tar, path, size, problems):
                if name := _safe_name(member.name):
                    members.append(Member(name, member.offset_data, member.size))
                else:
                    problems.append(f"its member {member.name!r} leads out of it")
    except _BROKEN as error:
        raise DatasetError(f"{path} is no tar that can be read: {error}; fetch it again") from error
    return TarListing(tuple(members), tuple(problems))


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
    path = PurePosixPath(name)
    is_text = name.isprintable() and name.encode(errors="replace").decode() == name
    return path.as_posix() if is_text and not path.is_absolute() and ".." not in path.parts else None


@lru_cache(maxsize=64)
def _members(path: Path, size: int, mtime_ns: int) -> dict[str, Member]:
    return _list_tar(path, size, mtime_ns).by_name()


def member_of(path: Path, name: str) -> Member:
    """Where a member of this name lies; OSError where there is none, or no tar that can be read."""
    status = path.stat()
    try:
        member = _members(path, status.st_size, status.st_mtime_ns).get(name)
    except DatasetError as error:
        raise OSError(str(error)) from error
    if member is None:
        raise FileNotFoundError(f"{path} has no member {name}")
    return member
