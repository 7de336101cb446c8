"""Boxes in XML files as Pascal VOC and ILSVRC write them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from auditor.data.class_names import number, sort_classes
from auditor.data.files import Source, pair, share_stems, split_of
from auditor.data.notes import Notes
from auditor.errors import DatasetError
from auditor.records import Dataset, Region, Sample

Box = tuple[float, float, float, float]


class Objects(NamedTuple):
    """The named boxes of one image and the (width, height) that they were drawn on."""

    size: tuple[int, int] | None
    boxes: tuple[tuple[str, Box], ...]

    @property
    def names(self) -> set[str]:
        """The classes of the boxes."""
        return {name for name, _ in self.boxes}


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
    return Sample(path, labels, regions=to_regions(objects, ids), split=split_of(path))


def to_regions(objects: Objects, ids: dict[str, int]) -> tuple[Region, ...]:
    """The boxes as regions of numbered classes."""
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
    boxes: list[tuple[str, Box]] = []
    for item in top.iter("object"):
        name, box = (item.findtext("name") or "").strip(), _box(item.find("bndbox"))
        if name and box:
            boxes.append((name, box))
        else:
            notes.count("Objects dropped because their name or box is missing, empty or malformed", path)
    return Objects(_size(top.find("size")), tuple(boxes))


def _box(item: ElementTree.Element | None) -> Box | None:
    if item is None:
        return None
    try:
        x0, y0, x1, y1 = (float(item.findtext(edge) or "") for edge in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        return None
    is_sound = all(math.isfinite(edge) for edge in (x0, y0, x1, y1)) and x0 < x1 and y0 < y1
    return (x0, y0, x1, y1) if is_sound else None


def _size(item: ElementTree.Element | None) -> tuple[int, int] | None:
    if item is None:
        return None
    try:
        width, height = int(item.findtext("width") or 0), int(item.findtext("height") or 0)
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None
