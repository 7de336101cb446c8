"""COCO instances: polygons, run-length codes and boxes, checked before use."""

from __future__ import annotations

import mmap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from auditor.data.class_names import number, parse_json, to_class
from auditor.data.files import Files, Source, split_of
from auditor.data.formats.segments import (
    CLIPPED_BOX,
    CLIPPED_POLYGON,
    check_polygons,
    check_rle,
    clip_box,
    is_number,
    leaves,
)
from auditor.data.notes import Notes
from auditor.errors import DatasetError
from auditor.records import ClassName, Dataset, Region, Sample
from auditor.remote import RemotePath

MIN_AREA = 0.01  # of the crop (A.1)
_LISTS = ("images", "annotations", "categories")


class Entry(NamedTuple):
    """An image of the JSON: its path below the root and the (width, height) of its annotations."""

    path: str
    size: tuple[int, int]


@dataclass(slots=True)
class Annotated:
    """What the JSON files say of one image; `unclear` is the first thing that cannot be read."""

    labels: set[int] = field(default_factory=set)
    regions: list[Region] = field(default_factory=list)
    unclear: str | None = None


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
    if isinstance(path, RemotePath):
        return _is_coco(path.read_bytes())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return _is_coco(text)


def _is_coco(text: bytes | mmap.mmap) -> bool:
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
    finder = Finder(source.files, (_name_of(row) for table in tables for row in table.content["images"]))
    annotated: defaultdict[str, Annotated] = defaultdict(Annotated)
    for table in tables:
        read_annotations(table, read_images(table, finder, notes), number(classes), annotated, notes)
    usable = {path: known for path, known in annotated.items() if known.regions or known.labels}
    _note_left_out(source.files, usable, notes)
    samples = tuple(_sample(path, usable[path]) for path in sorted(usable))
    return Dataset(source.files.root, "coco", classes, samples, min_area=MIN_AREA)


def _sample(path: str, known: Annotated) -> Sample:
    regions = () if known.unclear else tuple(known.regions)
    labels = tuple(sorted(known.labels))
    return Sample(path, labels, regions=regions, split=split_of(path), unclear=known.unclear)


def _note_left_out(files: Files, annotated: Mapping[str, Annotated], notes: Notes) -> None:
    for path in files.images:
        if path not in annotated:
            notes.count("Images without a usable annotation, left out", path)


@dataclass(frozen=True, slots=True)
class Table:
    """The parsed content of one JSON file."""

    path: Path
    content: Mapping[str, Any]

    def rows(self, name: str, notes: Notes) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        """The id and the object of each entry of a list; what repeats the first of its id is dropped.

        Annotations refer to images and categories by their ids, so those must have one. An annotation's own
        says nothing: some exporters number them anew for each image, or not at all.
        """
        seen: dict[Any, Mapping[str, Any]] = {}
        for row in self.content[name]:
            key = _id_of(row.get("id")) if isinstance(row, dict) else None
            if not isinstance(row, dict) or (key is None and name != "annotations"):
                notes.count(f"Entries of {name} without an id, dropped", self.path.name)
                continue
            if key is None:
                notes.count("Annotations without an id, kept", self.path.name)
            elif (first := seen.setdefault(key, row)) is not row:
                if first == row:
                    notes.count(f"Entries of {name} that repeat one, dropped", f"{key} in {self.path.name}")
                    continue
                if name == "annotations":
                    where = f"annotation {key} in {self.path.name}"
                    notes.count("Annotations that share their id with another, kept", where)
            yield key, row


def _id_of(value: object) -> int | str | None:
    """An id that entries can be found by: 3 and 3.0 are the same, true and null are none."""
    if type(value) is float and value.is_integer():
        return int(value)
    return value if type(value) in (int, str) else None  # type: ignore[return-value]


def load(path: Path) -> Mapping[str, Any]:
    """Parse one COCO JSON; DatasetError when it is unreadable or one of its three lists is missing."""
    try:
        content = parse_json(path.read_bytes())
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
    """Names by id; of an id that stands for two names nobody knows which is meant."""
    named: dict[Any, str] = {}
    shared = set()
    for key, row in table.rows("categories", notes):
        if (name := row.get("name")) and named.setdefault(key, str(name)) != str(name):
            shared.add(key)
            notes.count("Categories that share their id with another, dropped", f"{key}: {name}")
    kept = {key: name for key, name in named.items() if key not in shared}
    return dict(sorted(kept.items(), key=lambda item: (isinstance(item[0], str), item[0])))


class Finder:
    """Finds the image that a JSON means by `file_name`, where `names` are all that the JSON files write."""

    def __init__(self, files: Files, names: Iterable[str]) -> None:
        paths, by_name = set(files.images), defaultdict(list)
        for path in files.images:
            by_name[PurePosixPath(path).name].append(path)
        exact: dict[str, str] = {}
        loose: defaultdict[str, set[str]] = defaultdict(set)
        for written in set(names):
            places = [path for path in (written, f"images/{written}") if path in paths]
            same = [path for path in by_name[PurePosixPath(written).name] if _agree(path, written)]
            if places:
                exact[written] = places[0]
            elif len(same) == 1:
                loose[same[0]].add(written)
        # a/1.jpg of the JSON is not b/1.jpg on disk where the JSON has that one too
        taken = set(exact.values())
        free = {path: claims for path, claims in loose.items() if path not in taken and len(claims) == 1}
        self._found = exact | {written: path for path, claims in free.items() for written in claims}

    def find(self, written: str) -> str | None:
        """The path as written or below `images`, else the only image that can be meant, else None."""
        return self._found.get(written)


def _name_of(row: object) -> str:
    """The `file_name` of an entry, with slashes."""
    return str(row.get("file_name") if isinstance(row, dict) else None).replace("\\", "/")


def _agree(path: str, written: str) -> bool:
    # train/1.jpg of the JSON is not val/1.jpg on disk, but 1.jpg of the JSON may be.
    return split_of(path) is None or split_of(written) in (None, split_of(path))


def read_images(table: Table, finder: Finder, notes: Notes) -> dict[Any, list[Entry | None]]:
    """The images that go by each id; None for one that is not on disk or gives no size."""
    entries: defaultdict[Any, list[Entry | None]] = defaultdict(list)
    names: dict[Any, str] = {}
    for key, row in table.rows("images", notes):
        name, size = _name_of(row), (row.get("width"), row.get("height"))
        path = finder.find(name)
        if names.setdefault(key, name) != name:
            notes.count("Images that share their id with another image: what is in them is unclear", name)
        if path is None:
            notes.count(f"Images in {table.path.name} that are not in the folder", name)
        elif not all(type(side) is int and side > 0 for side in size):
            notes.count("Images dropped because their JSON gives no width and height", path)
            path = None
        entries[key].append(None if path is None else Entry(path, (int(row["width"]), int(row["height"]))))
    return entries


def read_annotations(
    table: Table,
    entries: Mapping[Any, list[Entry | None]],
    ids: Mapping[str, int],
    annotated: Mapping[str, Annotated],
    notes: Notes,
) -> None:
    """Put what a table says of each image into `annotated`; what cannot be read makes its image unclear."""
    names = _categories(table, Notes())
    for key, row in table.rows("annotations", notes):
        where = f"annotation {key} in {table.path.name}"
        images = entries.get(_id_of(row.get("image_id")), [])
        if not images:
            notes.count("Annotations dropped because their image is not listed", where)
        for entry in filter(None, images):
            known = annotated[entry.path]
            label = ids.get(names.get(_id_of(row.get("category_id")), ""))
            try:
                if len(images) > 1:
                    raise ValueError("their image shares its id with another")
                if label is not None:
                    known.labels.add(label)
                known.regions.append(_read_region(row, label, entry.size, where, notes))
            except ValueError as error:
                notes.count(f"Annotations dropped, {error}", where)
                known.unclear = known.unclear or f"{where} cannot be used: {error}"


def _read_region(
    row: Mapping[str, Any], label: int | None, size: tuple[int, int], where: str, notes: Notes
) -> Region:
    if label is None:
        raise ValueError("their category is not listed")
    region = to_region(row, label, size)
    if row.get("iscrowd"):
        notes.count("Crowd annotations, kept as foreground of their class", where)
    if region.polygons is not None and leaves(region.polygons, *size):
        notes.count(CLIPPED_POLYGON, where)
    if region.box is None:
        return region
    box, is_clipped = clip_box(region.box, *size)
    if is_clipped:
        notes.count(CLIPPED_BOX, where)
    return replace(region, box=box)


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
    if not all(map(is_number, bbox)):
        raise ValueError("a box holds something else than numbers")
    left, top, width, height = (float(edge) for edge in bbox)
    return left, top, left + width, top + height
