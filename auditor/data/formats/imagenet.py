"""ImageNet: synset folders (also of -A and -R), or the flat validation folder with XML boxes or a list."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path

from auditor.data.class_names import is_synset, number, read_text, sort_classes
from auditor.data.files import Source, suffix
from auditor.data.formats import voc
from auditor.data.formats.folder import Place, arrange
from auditor.data.notes import Notes
from auditor.errors import DatasetError
from auditor.records import Dataset, Sample

_VALIDATION = re.compile(r"(.*/)?ILSVRC2012_val_\d{8}\.\w+")
_LISTS = frozenset((".csv", ".txt"))


def matches(source: Source) -> bool:
    """Synset folders or ILSVRC validation names, with XML, a list, or no annotations named."""
    images = source.files.images
    is_imagenet = all(_VALIDATION.fullmatch(path) for path in images) or all(
        place.name is not None and is_synset(place.name) for place in arrange(images)
    )
    return is_imagenet and (source.annotations is None or voc.matches(source) or _list_of(source) is not None)


def read(source: Source, notes: Notes) -> Dataset:
    """Samples whose label is their folder's synset, else that of the list, else that of their XML."""
    images, listing = source.files.images, _list_of(source)
    places = dict(zip(images, arrange(images), strict=True))
    listed = {} if listing is None else read_synsets(listing)
    annotated = voc.read_objects(source, notes) if voc.matches(source) else {}
    synsets = {path: _synset(path, place, listed, annotated.get(path)) for path, place in places.items()}
    _note_labels(synsets, annotated, notes)
    names = {name for objects in annotated.values() for name in objects.names}
    classes = sort_classes(names | {synset for synset in synsets.values() if synset})
    ids = number(classes)
    samples = tuple(
        _sample(path, place, synsets[path], annotated.get(path), ids) for path, place in places.items()
    )
    return Dataset(source.files.root, "imagenet", classes, samples)


def _list_of(source: Source) -> Path | None:
    # Only a file that the user named: a stray text file in the folder must not become the labels.
    if source.annotations is None or len(source.annotations.others) != 1:
        return None
    name = source.annotations.others[0]
    return source.annotations.root / name if suffix(name) in _LISTS else None


def read_synsets(path: Path) -> dict[str, str]:
    """Synset by image stem, from rows `file,synset` or `name synset`; DatasetError when a list has none.

    Kaggle's LOC_val_solution.csv fits too: its second column starts with the synset.
    """
    lines = read_text(path).splitlines()
    rows = csv.reader(lines) if suffix(path.name) == ".csv" else (line.split(maxsplit=1) for line in lines)
    try:
        words = [(row[0], row[1].split()) for row in rows if len(row) > 1]
    except csv.Error as error:
        raise DatasetError(f"{path} is no readable CSV: {error}") from error
    synsets = {_stem(name): second[0] for name, second in words if second and is_synset(second[0])}
    if not synsets:
        raise DatasetError(f"{path} names no synsets; write one image a line as `file,synset`")
    return synsets


def _stem(path: str) -> str:
    return Path(path).name.partition(".")[0]


def _synset(path: str, place: Place, listed: Mapping[str, str], objects: voc.Objects | None) -> str | None:
    if place.name is not None and is_synset(place.name):
        return place.name
    if listed:
        return listed.get(_stem(path))
    names = objects.names if objects else frozenset()
    return next(iter(names)) if len(names) == 1 else None


def _note_labels(
    synsets: Mapping[str, str | None], annotated: Mapping[str, voc.Objects], notes: Notes
) -> None:
    for path, synset in synsets.items():
        objects = annotated.get(path)
        if synset is None:
            notes.count("Images without a synset in a folder, list or XML, kept without a label", path)
        elif objects and objects.names - {synset}:
            notes.count("Images whose XML names another class than their label; both are kept", path)


def _sample(
    path: str, place: Place, synset: str | None, objects: voc.Objects | None, ids: dict[str, int]
) -> Sample:
    names = {*(objects.names if objects else ()), *([synset] if synset else ())}
    return Sample(
        path,
        tuple(sorted(ids[name] for name in names)),
        ids[synset] if synset else None,
        voc.to_regions(objects, ids) if objects else (),
        place.split,
        unclear=objects.unclear if objects else None,
    )
