"""Boxes in XML files as Pascal VOC and ILSVRC write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from auditor.data.class_names import number, sort_classes
from auditor.data.files import Source, pair, share_stems, split_of
from auditor.data.formats.segments import CLIPPED_BOX, Box, clip_box, is_number
from auditor.data.notes import Notes
from auditor.errors import DatasetError
from auditor.records import Dataset, Region, Sample


class Objects(NamedTuple):
    """The objects of one image: the (width, height) that they were drawn on, their classes, the named boxes.

    `unclear` says what of them cannot be read; the class of an object whose box is broken is kept.
    """

    size: tuple[int, int] | None
    names: frozenset[str]
    boxes: tuple[tuple[str, Box], ...]
    unclear: str | None


def matches(source: Source) -> bool:
    """Whether the user named XML files, or some lie in the root that have the names of images."""
    files = source.annotated.ending(".xml")
    return bool(files) if source.annotations else share_stems(source.files.images, files)


def read(source: Source, notes: Notes) -> Dataset:
    """Samples with the boxes of their XML file, matched by stem; images without one stay unlabelled."""
    annotated = read_objects(source, notes)
    classes = sort_classes(name for objects in annotated.values() for name in objects.names)
    ids = number(classes)
    samples = tuple(_sample(path, annotated.get(path), ids) for path in source.files.images)
    return Dataset(source.files.root, "voc", classes, samples)


def _sample(path: str, objects: Objects | None, ids: dict[str, int]) -> Sample:
    if objects is None:
        return Sample(path, split=split_of(path))
    labels = tuple(sorted(ids[name] for name in objects.names))
    regions = to_regions(objects, ids)
    return Sample(path, labels, regions=regions, split=split_of(path), unclear=objects.unclear)


def to_regions(objects: Objects, ids: Mapping[str, int]) -> tuple[Region, ...]:
    """The boxes as regions of numbered classes; none where one of them is lost."""
    if objects.unclear:
        return ()
    return tuple(Region(ids[name], box=box, size=objects.size) for name, box in objects.boxes)


def read_objects(source: Source, notes: Notes) -> dict[str, Objects]:
    """The objects of each image that has a readable XML file; DatasetError when none fits any image."""
    images, place = source.files.images, source.annotated
    annotated: dict[str, Objects] = {}
    for image, xml in pair(images, place.ending(".xml"), notes).items():
        try:
            annotated[image] = parse_objects(place.root / xml, notes)
        except DatasetError as error:
            notes.count("XML files that cannot be read, left out", error)
    if not annotated:
        raise DatasetError(
            f"no XML file in {place.root} belongs to an image of {source.files.root} and can be read; "
            f"an image and its XML file share their name up to the suffix. " + " ".join(notes.sentences())
        )
    for image in images:
        if image not in annotated:
            notes.count("Images without a readable XML file, kept without boxes", image)
    return annotated


def parse_objects(path: Path, notes: Notes) -> Objects:
    """The named boxes of one XML file; DatasetError when it is not XML, malformed boxes dropped with a note.

    Coordinates are taken as written: ILSVRC's give Table 8's denominators so, and VOC's are one pixel off at
    most.
    """
    try:
        top = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise DatasetError(f"{path} is no readable XML: {error}") from error
    size, names, boxes, unclear = _size(top.find("size")), set(), [], None
    for item in top.iter("object"):
        name = (item.findtext("name") or "").strip()
        names.add(name)
        try:
            boxes.append((_check_name(name), _read_box(item.find("bndbox"), size, path, notes)))
        except ValueError as error:
            notes.count(f"Objects dropped, {error}", path)
            unclear = unclear or f"an object of {path.name} cannot be used: {error}"
    if boxes and size is None:
        notes.count("XML files that do not give their image's size, so that boxes were not checked", path)
    return Objects(size, frozenset(names - {""}), tuple(boxes), unclear)


def _check_name(name: str) -> str:
    if not name:
        raise ValueError("one has no name")
    return name


def _read_box(
    item: ElementTree.Element | None, size: tuple[int, int] | None, path: Path, notes: Notes
) -> Box:
    box = _box(item)
    if size is None:
        return box
    clipped, is_clipped = clip_box(box, *size)
    if is_clipped:
        notes.count(CLIPPED_BOX, path)
    return clipped


def _box(item: ElementTree.Element | None) -> Box:
    edges = [None if item is None else item.findtext(edge) for edge in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x0, y0, x1, y1 = (float(edge or "") for edge in edges)
    except ValueError:
        raise ValueError("a box is missing or malformed") from None
    if not all(map(is_number, (x0, y0, x1, y1))) or x0 >= x1 or y0 >= y1:
        raise ValueError("a box is missing or malformed")
    return x0, y0, x1, y1


def _size(item: ElementTree.Element | None) -> tuple[int, int] | None:
    if item is None:
        return None
    try:
        width, height = int(item.findtext("width") or 0), int(item.findtext("height") or 0)
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None
