"""What became of an index's images on disk: changed, gone, or back again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auditor.data.changes import IndexedFile, changed
from auditor.errors import AuditError
from auditor.remote import RemotePath, locate
from auditor.store.derived import image_rows
from auditor.store.manifest import read_manifest
from auditor.store.placement import Placement, read_placement


@dataclass(frozen=True, slots=True)
class Differences:
    """Ids of indexed images: with other content than indexed, not there, and set aside but there again.

    `paths` are those of all images that have been looked at, by id.
    """

    changed: frozenset[int]
    gone: frozenset[int]
    returned: frozenset[int]
    paths: dict[int, str]

    def names(self, images: frozenset[int]) -> tuple[str, ...]:
        """The paths of some of the images, sorted."""
        return tuple(sorted(self.paths[image] for image in images))


def compare(index: Path, root: Path) -> Differences:
    """The indexed images against the files below `root`: size and mtime first, content where those differ."""
    placement = read_placement(index)
    files = {file.id: file for file in _files(index)}
    active = [file for file in files.values() if file.id not in placement.removed]
    now = changed(root, active)
    kept = {file.path for file in active} - {files[image].path for image in (*now.changed, *now.gone)}
    aside = [files[image] for image in _last_of_each_path(files, placement) if files[image].path not in kept]
    then = changed(root, aside)
    other = {*then.changed, *then.gone}
    returned = frozenset(file.id for file in aside if file.id not in other)
    paths = {file.id: file.path for file in files.values()}
    return Differences(frozenset(now.changed), frozenset(now.gone), returned, paths)


def dataset_differences(index: Path) -> Differences | None:
    """The same for a finished index and the folder that it names; None where that cannot be looked at."""
    root = locate(read_manifest(index).dataset.root)
    if isinstance(root, RemotePath):
        try:
            root.refresh()
        except (AuditError, OSError):
            return None
    return compare(index, root) if root.exists() else None


def _files(index: Path) -> Iterator[IndexedFile]:
    rows = image_rows(index, ("id", "path", "size", "mtime_ns", "hash"))
    columns = (column.tolist() for column in rows.values())
    yield from (IndexedFile(*row) for row in zip(*columns, strict=True))


def _last_of_each_path(files: dict[int, IndexedFile], placement: Placement) -> list[int]:
    """Of the images that were set aside the one that had each path last."""
    return list({files[image].path: image for image in sorted(placement.removed) if image in files}.values())
