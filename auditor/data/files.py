"""Lists the files below a folder and pairs images with their annotation files."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from auditor.data.notes import Notes
from auditor.errors import DatasetError
from auditor.remote import RemotePath

IMAGE_SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff", "avif"),
        *("ppm", "pgm", "pbm", "pnm", "pfm", "jp2", "j2k", "jpx", "tga", "pcx", "sgi", "ico", "qoi"),
    )
)
SPLITS = frozenset(("train", "val", "valid", "validation", "test"))
CONTAINERS = (".tar", ".parquet")
MIRRORED = 4  # parent folders compared when several files share one stem


@dataclass(frozen=True, slots=True)
class Files:
    """The regular files below a folder, as sorted posix paths relative to it; of a file the empty path."""

    root: Path
    images: tuple[str, ...]
    others: tuple[str, ...]

    def ending(self, *suffixes: str) -> list[str]:
        """The files that are no images and end with one of these suffixes, whatever their case."""
        return [path for path in self.others if suffix(path or self.root.name) in suffixes]

    def without(self, *suffixes: str) -> Files:
        """The same, but for the files that end so."""
        read = set(self.ending(*suffixes))
        return replace(self, others=tuple(path for path in self.others if path not in read))


@dataclass(frozen=True, slots=True)
class Source:
    """What a reader is given: the images' folder and, where the user named some, their annotations."""

    files: Files
    annotations: Files | None = None

    @property
    def annotated(self) -> Files:
        """Where to look for annotations: the place that the user named, else the images' own folder."""
        return self.annotations or self.files

    def inside(self, name: str) -> Files | None:
        """The folder `name` in the root, or beside a root that is called `images`."""
        places = [self.files.root / name]
        if self.files.root.resolve().name == "images":
            places.append(self.files.root.resolve().parent / name)
        folder = next((place for place in places if place.is_dir()), None)
        return None if folder is None else list_files(folder, Notes())


def list_source(root: Path, annotations: Path | None, notes: Notes) -> Source:
    """List the images and the annotations, which may be one file or a folder; DatasetError if absent."""
    check_places(root, annotations)
    files = Files(root, (), ("",)) if root.is_file() else list_files(root, notes)
    if annotations is None:
        return Source(files)
    if annotations.is_dir():
        return Source(files, list_files(annotations, Notes()))
    return Source(files, Files(annotations.parent, (), (annotations.name,)))


def check_places(root: Path, annotations: Path | None) -> None:
    """DatasetError where the images' folder or their annotations are not there."""
    try:
        if not root.is_dir() and not (root.is_file() and suffix(root.name) in CONTAINERS):
            raise DatasetError(f"{root} is not a folder; name the folder that holds the images")
        if annotations is not None and not annotations.is_dir() and not annotations.is_file():
            raise DatasetError(f"annotations {annotations} do not exist; name a file or a folder that does")
    except OSError as error:
        raise DatasetError(f"{error.filename} cannot be read: {error.strerror}") from error


def list_files(root: Path, notes: Notes) -> Files:
    """All regular, visible files below `root`, following links but entering each folder once."""
    images: list[str] = []
    others: list[str] = []
    for path in _objects(root, notes) if isinstance(root, RemotePath) else _walk(root, notes):
        (images if suffix(path) in IMAGE_SUFFIXES else others).append(path)
    return Files(root, tuple(sorted(images)), tuple(sorted(others)))


def _objects(root: RemotePath, notes: Notes) -> Iterator[str]:
    """The keys below a prefix that are paths, in whatever order the store lists them."""
    try:
        keys = list(root.files())
    except OSError as error:
        raise DatasetError(f"{root} cannot be listed: {error.strerror}") from error
    for key in keys:
        parts = key.split("/")
        if not all(parts) or not key.isprintable() or ".." in parts:
            if not key.endswith("/"):  # how some tools write an empty folder
                notes.count("Keys that are no paths, skipped; rename them to use them", key)
        elif not any(part.startswith(".") for part in parts):
            yield key


def _walk(root: Path, notes: Notes) -> Iterator[str]:
    # Real folders come before linked ones, so that a file keeps its real path wherever links lead.
    seen: set[tuple[int, int]] = set()
    pending, linked, real_root = deque([""]), deque[str](), root.resolve()
    while pending or linked:
        folder = pending.popleft() if pending else linked.popleft()
        for entry in _entries(root, folder, seen, notes):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not _is_text(entry.name):
                notes.count("Names that are not UTF-8, skipped; rename them to use them", ascii(path))
            elif _is_folder(entry):
                (linked if entry.is_symlink() else pending).append(path)
                _note_link(entry, real_root, path, notes)
            elif _is_regular(entry):
                yield path
                _note_link(entry, real_root, path, notes)
            elif suffix(path) in IMAGE_SUFFIXES:
                notes.count("Entries named like images that are no regular files, skipped", path)


def _note_link(entry: os.DirEntry[str], real_root: Path, path: str, notes: Notes) -> None:
    """Links are followed, for many put a data set together of them; that some lead elsewhere is said."""
    if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(real_root):
        notes.count("Links that lead out of the folder, followed", path)


def _entries(root: Path, folder: str, seen: set[tuple[int, int]], notes: Notes) -> list[os.DirEntry[str]]:
    try:
        status = (root / folder).stat()
        identity = status.st_dev, status.st_ino
        if identity in seen:
            notes.count("Links to folders that were already read, not followed", folder)
            return []
        seen.add(identity)
        with os.scandir(root / folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        notes.count("Folders that cannot be read, skipped", f"{folder or root}: {error.strerror}")
        return []


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_regular(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def suffix(path: str) -> str:
    """The suffix in lower case, with its dot."""
    name = path.rpartition("/")[2]  # pathlib would keep a note of every name that it ever saw
    dot = name.rfind(".")
    return name[dot:].lower() if 0 < dot < len(name) - 1 else ""


def split_of(path: str) -> str | None:
    """The folder of a path that is named like a split, if any."""
    return next((part for part in path.split("/")[:-1] if part in SPLITS), None)


def split_of_container(path: str) -> str | None:
    """The split that a file is named after: `train-00000-of-00002.parquet` is of train."""
    match = re.match(r"[A-Za-z]+", PurePosixPath(path).name)
    word = match[0].lower() if match else ""
    return word if word in SPLITS else None


def share_stems(images: Sequence[str], annotations: Sequence[str]) -> bool:
    """Whether any annotation file has the name of an image, up to the suffix."""
    return not _by_key(images, 0).keys().isdisjoint(_by_key(annotations, 0))


def pair(images: Sequence[str], annotations: Sequence[str], notes: Notes) -> dict[str, str]:
    """Each image's annotation file: the same stem, and the same parent folders where stems repeat.

    A pair needs a key (some parent folders and the stem) that is unique on both sides; what stays ambiguous
    is left without an annotation rather than given a wrong one.
    """
    paired: dict[str, str] = {}
    taken: set[str] = set()
    for depth in range(MIRRORED, -1, -1):
        left, right = _by_key(images, depth), _by_key(annotations, depth)
        for key, group in left.items():
            partners = right.get(key, [])
            if len(group) == 1 and len(partners) == 1 and group[0] not in paired and partners[0] not in taken:
                paired[group[0]] = partners[0]
                taken.add(partners[0])
    _note_unpaired(images, [path for path in annotations if path not in taken], notes)
    return paired


def _by_key(paths: Iterable[str], depth: int) -> dict[tuple[str, ...], list[str]]:
    groups: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in paths:
        *parents, name = path.split("/")
        stem = name.rpartition(".")[0] or name
        groups[*parents[max(len(parents) - depth, 0) :], stem].append(path)
    return groups


def _note_unpaired(images: Sequence[str], unpaired: Sequence[str], notes: Notes) -> None:
    stems = _by_key(images, 0)
    for path in unpaired:
        if _by_key([path], 0).keys() <= stems.keys():
            notes.count("Annotation files that fit several images or share one, left out", path)
        else:
            notes.count("Annotation files without an image, left out", path)


def note_ignored(files: Files, notes: Notes) -> None:
    """Say how many files of which suffix were no images."""
    ignored = Counter(suffix(path) or "no suffix" for path in files.others)
    if ignored:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(ignored.items()))
        notes.say(f"Files ignored because they are no images: {kinds}.")
