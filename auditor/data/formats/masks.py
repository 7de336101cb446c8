"""Mask images beside the images: foreground of the image's one class, or class numbers with a classes.txt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from auditor.data.class_names import number, read_class_list, sort_classes
from auditor.data.files import Files, Source, pair, share_stems, split_of
from auditor.data.formats.folder import Place, arrange
from auditor.data.notes import Notes
from auditor.data.pixels import VOID, read_mask
from auditor.errors import DatasetError
from auditor.records import ClassName, Dataset, MaskFile, Region, Sample

_FOREGROUND = "foreground"


def matches(source: Source) -> bool:
    """Whether the annotations are images, or a folder `masks` holds some that have the names of others."""
    place = _place(source)
    if place is None or place.ending(".xml"):
        return False
    if source.annotations is not None:
        return bool(place.images)
    return share_stems(_without(source.files, place.root), place.images)


def _place(source: Source) -> Files | None:
    return source.annotations or source.inside("masks")


def read(source: Source, notes: Notes) -> Dataset:
    """Samples with the mask of the same stem; the masks themselves are no samples."""
    root, place = source.files.root, _place(source)
    if place is None:
        raise DatasetError(f"no folder `masks` in or beside {root}; make one or name it as annotations")
    images = _without(source.files, place.root)
    paired = {image: place.root / mask for image, mask in pair(images, place.images, notes).items()}
    if not paired:
        raise DatasetError(f"no mask in {place.root} has the name of an image in {root}")
    for image in images:
        if image not in paired:
            notes.count("Images without a mask, kept without foreground", image)
    listing = _class_list(root, place.root)
    if listing is None:
        return _read_foreground(root, images, paired, notes)
    return _read_semantic(root, images, paired, read_class_list(listing), notes)


def _without(files: Files, masks: Path) -> tuple[str, ...]:
    inside, root = masks.resolve(), files.root.resolve()
    if not inside.is_relative_to(root):
        return files.images
    prefix = inside.relative_to(root).as_posix() + "/"
    return tuple(path for path in files.images if not path.startswith(prefix))


def _class_list(*folders: Path) -> Path | None:
    parents = (folder.resolve().parent for folder in folders if folder.resolve().name in ("images", "masks"))
    places = (folder / "classes.txt" for folder in (*folders, *parents))
    return next((path for path in places if path.is_file()), None)


def _read_foreground(root: Path, images: Sequence[str], masks: dict[str, Path], notes: Notes) -> Dataset:
    places = arrange(images)
    if not any(place.name for place in places):
        notes.say(f"No classes.txt and no class folders: every mask is of the one class {_FOREGROUND!r}.")
        places = [
            Place(place.split, _FOREGROUND if path in masks else None)
            for path, place in zip(images, places, strict=True)
        ]
    classes = sort_classes(place.name for place in places if place.name)
    ids = number(classes)
    samples = tuple(
        _foreground_sample(path, place, masks.get(path), ids)
        for path, place in zip(images, places, strict=True)
    )
    return Dataset(root, "masks", classes, samples)


def _foreground_sample(path: str, place: Place, mask: Path | None, ids: dict[str, int]) -> Sample:
    split = place.split or split_of(path)
    if place.name is None:
        return Sample(path, split=split)
    label = ids[place.name]
    regions = (Region(label, file=MaskFile(mask)),) if mask else ()
    return Sample(path, (label,), None if place.name == _FOREGROUND else label, regions, split)


def _read_semantic(
    root: Path, images: Sequence[str], masks: dict[str, Path], classes: tuple[ClassName, ...], notes: Notes
) -> Dataset:
    samples = []
    for path in images:
        sample = Sample(path, split=split_of(path))
        if path in masks:
            labels = read_labels(masks[path], len(classes), notes)
            sample = annotate(sample, masks[path], labels)
        samples.append(sample)
    return Dataset(root, "masks", classes, tuple(samples))


def annotate(sample: Sample, mask: Path, labels: Sequence[int] | None) -> Sample:
    """The sample with what `read_labels` says of its mask."""
    if labels is None:
        return replace(sample, unclear=f"its mask {mask.name} cannot be read")
    return replace(sample, labels=tuple(labels), regions=class_regions(mask, labels))


def class_regions(mask: Path, labels: Sequence[int]) -> tuple[Region, ...]:
    """A region for each class: the mask's pixels of value class + 1."""
    return tuple(Region(label, file=MaskFile(mask, label + 1)) for label in labels)


def read_labels(mask: Path, classes: int, notes: Notes) -> tuple[int, ...] | None:
    """The classes whose value (class + 1) occurs in a mask image; None where it cannot be read.

    A value above the classes is an object nobody can name: `project` then refuses the mask.
    """
    try:
        values = np.unique(read_mask(mask))
    except DatasetError as error:
        notes.count("Masks that cannot be read, left out", error)
        return None
    for value in values[(values > classes) & (values != VOID)]:
        notes.count(
            f"Mask values above the {classes} classes of classes.txt, so that the foreground of their images "
            "is unknown",
            f"{value} in {mask}",
        )
    return tuple(int(value) - 1 for value in values if 1 <= value <= classes)
