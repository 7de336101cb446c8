"""Recognises the kind of a dataset and reads it in place."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from auditor.data.files import CONTAINERS, Source, list_source
from auditor.data.formats import coco, folder, imagenet, masks, parquet, table, voc, webdataset, yolo
from auditor.data.notes import Notes, printable
from auditor.errors import DatasetError
from auditor.records import Dataset, Sample


class Reader(NamedTuple):
    """One kind of dataset: whether a source is of it, and how to read it."""

    matches: Callable[[Source], bool]
    read: Callable[[Source, Notes], Dataset]


# The first that matches reads, so what is more specific stands first and a plain folder last.
READERS = (
    Reader(webdataset.matches, webdataset.read),
    Reader(parquet.matches, parquet.read),
    Reader(table.matches, table.read),
    Reader(coco.matches, coco.read),
    Reader(masks.matches, masks.read),
    Reader(imagenet.matches, imagenet.read),
    Reader(voc.matches, voc.read),
    Reader(yolo.matches, yolo.read),
    Reader(folder.matches, folder.read),
)


def read_dataset(
    root: Path,
    annotations: Path | None = None,
    *,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> Dataset:
    """The samples below `root` in the order of their paths, with what was recognised and dropped in `notes`.

    `annotations` names their file or folder where the layout of the data set does not show it. `sample` draws
    that many samples with the seed, `limit` then keeps the first of them. Raises DatasetError when nothing
    can be read.
    """
    notes = Notes()
    source = list_source(root, annotations, notes)
    if not source.files.images and not source.files.ending(*CONTAINERS):
        raise DatasetError(f"{root} holds no images; name a folder with some in it or below it")
    dataset = _recognise(source).read(source, notes)
    if not dataset.samples:
        raise DatasetError(f"{root} leaves no image to index. {' '.join(notes.sentences())}")
    chosen = _choose(dataset.samples, limit, sample, seed)
    _note_unclear(chosen, notes)
    recognised = _describe(dataset, len(chosen))
    return replace(dataset, samples=chosen, notes=(recognised, *notes.sentences()))


def _recognise(source: Source) -> Reader:
    for reader in READERS:
        if reader.matches(source):
            return reader
    raise DatasetError(
        f"{source.annotated.root} holds no annotations that audit reads for {source.files.root}; "
        "name COCO JSON, VOC or ILSVRC XML, YOLO text, mask images, a synset list or a manifest"
    )


def _choose(
    samples: tuple[Sample, ...], limit: int | None, sample: int | None, seed: int
) -> tuple[Sample, ...]:
    if sample is not None and sample < len(samples):
        drawn = random.Random(seed).sample(range(len(samples)), sample)
        samples = tuple(samples[position] for position in sorted(drawn))
    return samples[:limit]


def _note_unclear(samples: tuple[Sample, ...], notes: Notes) -> None:
    """An object that is lost would count as background: its image takes part in no such count."""
    unclear = [sample for sample in samples if sample.unclear]
    if unclear:
        images = "1 image" if len(unclear) == 1 else f"{len(unclear)} images"
        notes.say(
            f"{images} whose annotations cannot all be read: the foreground is unknown, so that no count of "
            f"foreground or background has them (first: {printable(unclear[0].path)})."
        )


def _describe(dataset: Dataset, chosen: int) -> str:
    labelled = sum(1 for sample in dataset.samples if sample.labels)
    annotated = sum(1 for sample in dataset.samples if sample.regions)
    images = len(dataset.samples)
    kept = "" if chosen == images else f", {chosen} of them chosen"
    return (
        f"Recognised as {dataset.kind}: {images} images{kept}, {len(dataset.classes)} classes, "
        f"{labelled} images with labels, {annotated} with annotated foreground."
    )
