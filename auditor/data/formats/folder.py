"""Images in folders: a plain folder, or one folder per class, below splits or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from auditor.data.class_names import is_synset, number, sort_classes
from auditor.data.files import SPLITS, Source, note_ignored
from auditor.data.notes import Notes
from auditor.records import Dataset, Sample


class Place(NamedTuple):
    """What an image's folders say about it."""

    split: str | None
    name: str | None


def matches(source: Source) -> bool:
    """Any folder will do, unless the user named annotations: those must not be ignored."""
    return source.annotations is None


def read(source: Source, notes: Notes) -> Dataset:
    """Samples labelled by their class folder, or not at all in a plain folder."""
    images = source.files.images
    places = arrange(images)
    classes = sort_classes(place.name for place in places if place.name)
    ids = number(classes)
    samples = tuple(_sample(path, place, ids) for path, place in zip(images, places, strict=True))
    note_ignored(source.files, notes)
    if not classes and any("/" in path for path in images):
        notes.say("Folder names were not taken as classes: that needs two or more that hold all images.")
    return Dataset(source.files.root, "class folders" if classes else "folder", classes, samples)


def _sample(path: str, place: Place, ids: dict[str, int]) -> Sample:
    if place.name is None:
        return Sample(path, split=place.split)
    label = ids[place.name]
    return Sample(path, (label,), label, split=place.split)


def arrange(images: Sequence[str]) -> list[Place]:
    """The split and the class of every image by its folders, below one `images` folder or not.

    Folders are classes when there are two or more of them or they are synsets, and when no image lies outside
    of them (beside splits some may: ImageNet's val folder is often flat).
    """
    folders = [path.split("/")[:-1] for path in images]
    if all(parts[:1] == ["images"] for parts in folders):
        folders = [parts[1:] for parts in folders]
    has_splits = all(parts and parts[0] in SPLITS for parts in folders)
    if has_splits:
        places = [Place(parts[0], parts[1] if parts[1:] else None) for parts in folders]
    else:
        places = [Place(None, parts[0] if parts else None) for parts in folders]
    return places if _are_classes(places, has_splits) else [Place(place.split, None) for place in places]


def _are_classes(places: Sequence[Place], has_splits: bool) -> bool:
    names = {place.name for place in places}
    if None in names and not has_splits:
        return False
    classes = {name for name in names if name is not None}
    return len(classes) > 1 or any(is_synset(name) for name in classes)
