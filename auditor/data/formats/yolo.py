"""YOLO labels: one text file an image, normalised boxes or polygons."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

from auditor.data.class_names import read_class_list, read_text, to_class
from auditor.data.files import Files, Source, pair, split_of
from auditor.data.notes import Notes
from auditor.errors import DatasetError
from auditor.records import ClassName, Dataset, Region, Sample

_LISTS = ("classes.txt", "obj.names")
_YAML = (".yaml", ".yml")
_MAX_NUMBERED = 100_000  # classes without names; above it a number is a mistake


def matches(source: Source) -> bool:
    """Whether there are label files: in a folder that the user named, else in one called `labels`."""
    return bool(_label_files(_place(source), is_named=source.annotations is not None))


def _place(source: Source) -> Files:
    if source.annotations is not None:
        return source.annotations
    labels = source.inside("labels")
    return source.files if labels is None or not labels.ending(".txt") else labels


def _label_files(place: Files, is_named: bool) -> list[str]:
    is_labels = is_named or place.root.name == "labels"
    return [
        path
        for path in place.ending(".txt")
        if path.split("/")[-1] not in _LISTS and (is_labels or "labels" in path.split("/")[:-1])
    ]


def read(source: Source, notes: Notes) -> Dataset:
    """Samples with the regions of their label file; an image without one has no objects, as YOLO takes it."""
    place = _place(source)
    names = read_names(place.root, source.files.root)
    paired = pair(source.files.images, _label_files(place, source.annotations is not None), notes)
    if not paired:
        raise DatasetError(f"no label file in {place.root} has the name of an image in {source.files.root}")
    regions = {
        image: _read_labels(place.root / text, len(names) if names else None, notes)
        for image, text in paired.items()
    }
    classes = names or _numbered(regions.values(), notes)
    samples = tuple(_sample(path, regions.get(path, ())) for path in source.files.images)
    return Dataset(source.files.root, "yolo", classes, samples)


def _sample(path: str, regions: tuple[Region, ...]) -> Sample:
    labels = tuple(sorted({region.label for region in regions}))
    return Sample(path, labels, regions=regions, split=split_of(path))


def _numbered(found: Iterable[tuple[Region, ...]], notes: Notes) -> tuple[ClassName, ...]:
    notes.say("No class names in a data.yaml or classes.txt: classes are called by their number.")
    highest = max((region.label for regions in found for region in regions), default=-1)
    if highest >= _MAX_NUMBERED:
        raise DatasetError(
            f"a label file names class {highest}; list the classes in a data.yaml or classes.txt"
        )
    return tuple(ClassName(str(label)) for label in range(highest + 1))


def read_names(*folders: Path) -> tuple[ClassName, ...]:
    """The classes of the first data.yaml, classes.txt or obj.names in these folders, else none."""
    for folder in (place for given in folders for place in _with_parent(given.resolve())):
        for path in sorted(folder.iterdir()):
            if path.name in _LISTS and path.is_file():
                return read_class_list(path)
            if path.suffix in _YAML and path.is_file() and (names := parse_names(read_text(path))):
                return tuple(to_class(name) for name in names)
    return ()


def _with_parent(folder: Path) -> tuple[Path, ...]:
    return (folder, folder.parent) if folder.name in ("images", "labels") else (folder,)


def parse_names(text: str) -> list[str]:
    """The `names` of a data.yaml: a list or numbered entries, in brackets or one a line."""
    found = re.search(r"^names:[ \t]*(.*(?:\n(?:[ \t]+.*|-.*|[ \t]*))*)", text, re.MULTILINE)
    if found is None:
        return []
    body = re.sub(r"(^|\s)#.*", "", found[1])
    items = re.split(r"[,\n]", body.strip().strip("[]{}"))
    entries = [re.fullmatch(r"\s*(?:-\s+|(\d+)\s*:\s*)?(.*?)\s*", item) for item in items]
    named = [(entry[1], entry[2].strip("'\"")) for entry in entries if entry and entry[2]]
    if all(key is not None for key, _ in named):
        named.sort(key=lambda item: int(item[0] or 0))
    return [name for _, name in named]


def _read_labels(path: Path, classes: int | None, notes: Notes) -> tuple[Region, ...]:
    try:
        lines = read_text(path).splitlines()
    except DatasetError as error:
        notes.count("Label files that cannot be read, left out", error)
        return ()
    regions = []
    for line in filter(str.strip, lines):
        try:
            regions.append(parse_line(line, classes))
        except ValueError as error:
            notes.count(f"Label lines dropped, {error}", path)
    return tuple(regions)


def parse_line(line: str, classes: int | None) -> Region:
    """`class cx cy w h` or `class x1 y1 x2 y2 ...`, in shares of the sides; ValueError when neither."""
    label, numbers = _parse_numbers(line)
    if label < 0 or (classes is not None and label >= classes):
        raise ValueError("a class is not listed")
    if not all(math.isfinite(share) and -1 <= share <= 2 for share in numbers):
        raise ValueError("a coordinate is not a share of the image")
    if len(numbers) == 4:
        x, y, width, height = numbers
        if width <= 0 or height <= 0:
            raise ValueError("a box is empty")
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return Region(label, box=box, is_relative=True)
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError("neither a box nor a polygon")
    return Region(label, polygons=(tuple(numbers),), is_relative=True)


def _parse_numbers(line: str) -> tuple[int, list[float]]:
    name, *rest = line.split()
    try:
        return int(name), [float(word) for word in rest]
    except ValueError:
        raise ValueError("a word is no number") from None
