"""COCO instances: polygons, run-length codes and boxes, checked before use."""

from __future__ import annotations

import json
import math
import mmap
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from auditor.data.class_names import number, to_class
from auditor.data.files import Files, Source, split_of
from auditor.data.formats.segments import check_polygons, check_rle
from auditor.data.notes import Notes
from auditor.errors import DatasetError
from auditor.records import ClassName, Dataset, Region, Sample

MIN_AREA = 0.01  # of the crop (A.1)
_LISTS = ("images", "annotations", "categories")


class Entry(NamedTuple):
    """An image of the JSON: its path below the root and the (width, height) of its annotations."""

    path: str
    size: tuple[int, int]


def matches(source: Source) -> bool:
    """Whether the user named JSON files, or some below the root look like instances."""
    place = source.annotated
    return bool(instance_files(place) if source.annotations is None else place.ending(".json"))


def instance_files(place: Files) -> list[str]:
    """The JSON files that hold instances; where some are named so, only those (keypoints repeat them)."""
    candidates = [path for path in place.ending(".json") if _looks_like_instances(place.root / path)]
    named = [path for path in candidates if PurePosixPath(path).name.startswith("instances")]
    return named or candidates


def _looks_like_instances(path: Path) -> bool:
    if path.name.startswith("instances"):
        return True
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        is_coco = all(text.find(f'"{name}"'.encode()) >= 0 for name in _LISTS)
        return is_coco and text.find(b'"segments_info"') < 0  # panoptic files have no masks of their own


def read(source: Source, notes: Notes) -> Dataset:
    """Samples with the sound annotations of one or several JSON files; images without any are left out (A.1).

    Crowds stay: they are neither counted nor matched here, and a cell on a crowd of people does show people.
    """
    place = source.annotated
    names = instance_files(place) or place.ending(".json")
    if not names:
        raise DatasetError(f"{place.root} holds no COCO JSON file; name one with images and annotations")
    tables = [Table(place.root / name, load(place.root / name)) for name in names]
    classes = merge_classes(tables, notes)
    finder = Finder(source.files)
    regions: dict[str, list[Region]] = defaultdict(list)
    for table in tables:
        entries = read_images(table, finder, notes)
        for path, region in read_regions(table, entries, number(classes), notes):
            regions[path].append(region)
    _note_left_out(source.files, regions, notes)
    samples = tuple(_sample(path, regions[path]) for path in sorted(regions))
    return Dataset(source.files.root, "coco", classes, samples, min_area=MIN_AREA)


def _sample(path: str, regions: list[Region]) -> Sample:
    labels = tuple(sorted({region.label for region in regions}))
    return Sample(path, labels, regions=tuple(regions), split=split_of(path))


def _note_left_out(files: Files, regions: Mapping[str, list[Region]], notes: Notes) -> None:
    for path in files.images:
        if path not in regions:
            notes.count("Images without a usable annotation, left out", path)


@dataclass(frozen=True, slots=True)
class Table:
    """The parsed content of one JSON file."""

    path: Path
    content: Mapping[str, Any]

    def rows(self, name: str, notes: Notes) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        """The id and the object of each entry of a list.

        Of images and categories that share an id the first counts, for annotations refer to them by it;
        annotations may share one when they differ, as some exporters number them anew for each image.
        """
        seen: dict[Any, Mapping[str, Any]] = {}
        for row in self.content[name]:
            if not isinstance(row, dict) or not isinstance(row.get("id"), int | str):
                notes.count(f"Entries of {name} without an id, dropped", self.path.name)
                continue
            first = seen.setdefault(row["id"], row)
            if first is row or (name == "annotations" and first != row):
                yield row["id"], row
            else:
                notes.count(f"Entries of {name} that repeat one, dropped", f"{row['id']} in {self.path.name}")


def load(path: Path) -> Mapping[str, Any]:
    """Parse one COCO JSON; DatasetError when it is unreadable or one of its three lists is missing."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is no readable JSON: {error}; fetch or export it again") from error
    for name in _LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DatasetError(f"{path} has no list {name!r}; name a COCO instances file")
    return dict(content)


def merge_classes(tables: list[Table], notes: Notes) -> tuple[ClassName, ...]:
    """The categories of all tables by name, in the order of their ids; DatasetError when there are none."""
    names: dict[str, None] = {}
    for table in tables:
        names.update(dict.fromkeys(_categories(table, notes).values()))
    if not names:
        raise DatasetError(f"{tables[0].path} has no categories with id and name; export it again")
    return tuple(to_class(name) for name in names)


def _categories(table: Table, notes: Notes) -> dict[Any, str]:
    named = {key: str(row["name"]) for key, row in table.rows("categories", notes) if row.get("name")}
    return dict(sorted(named.items(), key=lambda item: (isinstance(item[0], str), item[0])))


class Finder:
    """Finds the image that a JSON means by `file_name`."""

    def __init__(self, files: Files) -> None:
        self._paths = set(files.images)
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        for path in files.images:
            self._by_name[PurePosixPath(path).name].append(path)

    def find(self, file_name: str) -> str | None:
        """The path as written or below `images`, else the only image of that name anywhere, else None."""
        written = file_name.replace("\\", "/")
        for path in (written, f"images/{written}"):
            if path in self._paths:
                return path
        same = [path for path in self._by_name[PurePosixPath(written).name] if _agree(path, written)]
        return same[0] if len(same) == 1 else None


def _agree(path: str, written: str) -> bool:
    # train/1.jpg of the JSON is not val/1.jpg on disk, but 1.jpg of the JSON may be.
    return split_of(path) is None or split_of(written) in (None, split_of(path))


def read_images(table: Table, finder: Finder, notes: Notes) -> dict[Any, Entry | None]:
    """The images of a table by id; None for those that are not on disk, whose annotations go unmentioned."""
    entries: dict[Any, Entry | None] = {}
    for key, row in table.rows("images", notes):
        path, size = finder.find(str(row.get("file_name"))), (row.get("width"), row.get("height"))
        entries[key] = None
        if path is None:
            notes.count(f"Images in {table.path.name} that are not in the folder", row.get("file_name"))
        elif not all(type(side) is int and side > 0 for side in size):
            notes.count("Images dropped because their JSON gives no width and height", path)
        else:
            entries[key] = Entry(path, (int(row["width"]), int(row["height"])))
    return entries


def read_regions(
    table: Table, entries: Mapping[Any, Entry | None], ids: Mapping[str, int], notes: Notes
) -> Iterator[tuple[str, Region]]:
    """The path and region of every sound annotation; the others are dropped and counted by reason."""
    names = _categories(table, Notes())
    for key, row in table.rows("annotations", notes):
        where = f"annotation {key} in {table.path.name}"
        image, category = _hashable(row.get("image_id")), _hashable(row.get("category_id"))
        if image not in entries:
            notes.count("Annotations dropped because their image is not listed", where)
        elif category not in names:
            notes.count("Annotations dropped because their category is not listed", where)
        elif (entry := entries[image]) is not None:
            try:
                yield entry.path, to_region(row, ids[names[category]], entry.size)
            except ValueError as error:
                notes.count(f"Annotations dropped, {error}", where)
            else:
                _note_crowd(row, where, notes)


def _hashable(value: object) -> object:
    return value if isinstance(value, int | str) else None


def _note_crowd(row: Mapping[str, Any], where: str, notes: Notes) -> None:
    if row.get("iscrowd"):
        notes.count("Crowd annotations, kept as foreground of their class", where)


def to_region(row: Mapping[str, Any], label: int, size: tuple[int, int]) -> Region:
    """The region of one annotation, its box where it has no segmentation; ValueError with what is wrong."""
    segmentation = row.get("segmentation")
    if isinstance(segmentation, dict):
        return Region(label, rle=check_rle(segmentation, *size), size=size)
    if segmentation:
        return Region(label, polygons=check_polygons(segmentation, *size), size=size)
    return Region(label, box=_box(row.get("bbox")), size=size)


def _box(bbox: object) -> tuple[float, float, float, float]:
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise ValueError("neither a segmentation nor a box")
    if not all(isinstance(edge, int | float) and math.isfinite(edge) for edge in bbox):
        raise ValueError("a box holds something else than numbers")
    left, top, width, height = (float(edge) for edge in bbox)
    if width <= 0 or height <= 0:
        raise ValueError("a box is empty")
    return left, top, left + width, top + height
