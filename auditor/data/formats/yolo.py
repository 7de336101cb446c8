"""YOLO labels: one text file an image, normalised boxes or polygons."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from auditor.data.class_names import read_class_list, read_text, to_class
from auditor.data.files import Files, Source, pair, split_of
from auditor.data.formats.segments import CLIPPED_BOX, CLIPPED_POLYGON, clip_box, leaves
from auditor.data.notes import Notes
from auditor.errors import DatasetError
from auditor.records import ClassName, Dataset, Region, Sample

_LISTS = ("classes.txt", "obj.names")
_YAML = (".yaml", ".yml")
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2  # lists of lists of one text can stand for a billion
_MAX_NUMBERED = 100_000  # classes without names; above it a number is a mistake


class Labelled(NamedTuple):
    """A label file: the classes that it names, its regions, and what of it cannot be read."""

    labels: frozenset[int] = frozenset()
    regions: tuple[Region, ...] = ()
    unclear: str | None = None


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
    has_keypoints = any(_has_keypoints(path) for path in _yaml_files(place.root, source.files.root))
    paired = pair(source.files.images, _label_files(place, source.annotations is not None), notes)
    if not paired:
        raise DatasetError(f"no label file in {place.root} has the name of an image in {source.files.root}")
    labelled = {
        image: _read_labels(place.root / text, len(names) if names else None, has_keypoints, notes)
        for image, text in paired.items()
    }
    classes = names or _numbered(labelled.values(), notes)
    samples = tuple(_sample(path, labelled.get(path, Labelled())) for path in source.files.images)
    return Dataset(source.files.root, "yolo", classes, samples)


def _sample(path: str, labelled: Labelled) -> Sample:
    regions = () if labelled.unclear else labelled.regions
    labels = tuple(sorted(labelled.labels))
    return Sample(path, labels, regions=regions, split=split_of(path), unclear=labelled.unclear)


def _numbered(labelled: Iterable[Labelled], notes: Notes) -> tuple[ClassName, ...]:
    notes.say("No class names in a data.yaml or classes.txt: classes are called by their number.")
    highest = max((label for each in labelled for label in each.labels), default=-1)
    if highest >= _MAX_NUMBERED:
        raise DatasetError(
            f"a label file names class {highest}; list the classes in a data.yaml or classes.txt"
        )
    return tuple(ClassName(str(label)) for label in range(highest + 1))


def read_names(*folders: Path) -> tuple[ClassName, ...]:
    """The classes of the first data.yaml, classes.txt or obj.names in these folders, else none."""
    for path in _beside(*folders):
        if path.name in _LISTS:
            return read_class_list(path)
        if path.suffix in _YAML and (classes := _read_yaml(path)):
            return classes
    return ()


def _beside(*folders: Path) -> Iterable[Path]:
    places = (place for given in folders for place in _with_parent(given.resolve()))
    return (path for folder in places for path in sorted(folder.iterdir()) if path.is_file())


def _yaml_files(*folders: Path) -> list[Path]:
    return [path for path in _beside(*folders) if path.suffix in _YAML]


def _has_keypoints(path: Path) -> bool:
    """Whether a data.yaml is of poses: then what follows a box are points, which make no polygon."""
    try:
        text = read_text(path)
        content = yaml.safe_load(text) if "kpt_shape" in text else None
    except (DatasetError, yaml.YAMLError, RecursionError):  # somebody else's, as in `parse_names`
        return False
    return isinstance(content, dict) and "kpt_shape" in content


def _with_parent(folder: Path) -> tuple[Path, ...]:
    return (folder, folder.parent) if folder.name in ("images", "labels") else (folder,)


def _read_yaml(path: Path) -> tuple[ClassName, ...]:
    """The classes of a data.yaml, none where it names none; DatasetError where its `names` cannot be used."""
    try:
        names = parse_names(read_text(path))
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path} is no valid YAML: {reason}; correct or remove it") from error
    except ValueError as error:
        raise DatasetError(f"{path} {error}") from error
    return tuple(to_class(name) for name in names)


def parse_names(text: str) -> list[str]:
    """The `names` of a data.yaml by class number: a list, or entries numbered from 0 in any order.

    Raises yaml.YAMLError for text that is no YAML, ValueError where some class has no name of its own.
    """
    if "names" not in text:  # somebody else's YAML, which need not be sound for us
        return []
    content = yaml.safe_load(text)
    names = content.get("names") if isinstance(content, dict) else None
    if not names:
        return []
    _check_repeated_keys(text, names)
    if isinstance(names, dict):
        names = _in_order(names)
    if not isinstance(names, list):
        raise ValueError(
            f"has `names: {_SHORT.repr(names)}`; write a list of class names, or one `number: name` a line"
        )
    _check_names(names)
    return names


def _check_repeated_keys(text: str, names: object) -> None:
    """YAML forbids a key that stands twice, but PyYAML keeps the last one and says nothing."""
    entries = yaml.compose(text, Loader=yaml.SafeLoader).value
    nodes = [value for key, value in entries if key.value == "names"]
    if len(nodes) > 1:
        raise ValueError("has `names` twice; keep one")
    if isinstance(names, dict) and len(nodes[0].value) != len(names):
        raise ValueError("gives a number to two classes in `names`; number each class once")


def _in_order(names: dict[Any, Any]) -> list[Any]:
    if not all(type(number) is int for number in names) or set(names) != set(range(len(names))):
        numbers = ", ".join(str(number) for number in names)
        raise ValueError(
            f"numbers its classes {numbers}; number them from 0 to {len(names) - 1} without gaps"
        )
    return [names[number] for number in range(len(names))]


def _check_names(names: list[Any]) -> None:
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        if not isinstance(name, str):
            raise ValueError(
                f"has a class {number} that YAML reads as {_SHORT.repr(name)}, not as text; quote its name"
            )
        if any("\ud800" <= char <= "\udfff" for char in name):
            raise ValueError(f"has a class {number} whose name is no Unicode; correct it")
        if not name.strip():
            raise ValueError(f"has no name for class {number}; give it one")
        if first.setdefault(name, number) != number:
            raise ValueError(f"calls classes {first[name]} and {number} {name!r}; give each its own name")


def _read_labels(path: Path, classes: int | None, has_keypoints: bool, notes: Notes) -> Labelled:
    try:
        lines = read_text(path).splitlines()
    except DatasetError as error:
        notes.count("Label files that cannot be read, left out", error)
        return Labelled(unclear=f"{path.name} cannot be read")
    labels, regions, unclear = set(), [], None
    for line in filter(str.strip, lines):
        try:
            name, *words = line.split()
            label = _check_label(name, classes)
            labels.add(label)
            regions.append(_clip(parse_region(label, words[:4] if has_keypoints else words), path, notes))
        except ValueError as error:
            notes.count(f"Label lines dropped, {error}", path)
            unclear = unclear or f"a line of {path.name} cannot be used: {error}"
    return Labelled(frozenset(labels), tuple(regions), unclear)


def _check_label(name: str, classes: int | None) -> int:
    try:
        label = int(name)
    except ValueError:
        raise ValueError("a word is no number") from None
    if label < 0 or (classes is not None and label >= classes):
        raise ValueError("a class is not listed")
    return label


def _clip(region: Region, path: Path, notes: Notes) -> Region:
    if region.polygons is not None and leaves(region.polygons, 1, 1):
        notes.count(CLIPPED_POLYGON, path)
    if region.box is None:
        return region
    box, is_clipped = clip_box(region.box, 1, 1)
    if is_clipped:
        notes.count(CLIPPED_BOX, path)
    return Region(region.label, box=box, is_relative=True)


def parse_region(label: int, words: Sequence[str]) -> Region:
    """`cx cy w h` or `x1 y1 x2 y2 ...`, in shares of the sides; ValueError when neither."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise ValueError("a word is no number") from None
    if not all(math.isfinite(share) and -1 <= share <= 2 for share in numbers):
        raise ValueError("a coordinate is not a share of the image")
    if len(numbers) == 4:
        x, y, width, height = numbers
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return Region(label, box=box, is_relative=True)
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError("neither a box nor a polygon")
    return Region(label, polygons=(tuple(numbers),), is_relative=True)
