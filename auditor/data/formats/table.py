"""A table of samples, CSV or JSON lines: path, label, labels, split, mask, and columns of the user's own."""

from __future__ import annotations

import csv
import json
import os.path
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from auditor.data.class_names import number, parse_json, read_class_list, read_text, sort_classes
from auditor.data.files import Source
from auditor.data.formats.masks import annotate, read_labels
from auditor.data.notes import Notes
from auditor.errors import DatasetError
from auditor.files import is_file
from auditor.records import ClassName, Dataset, MaskFile, Region, Sample

_NAMES = ("manifest.jsonl", "manifest.csv")
_OWN = frozenset(("path", "label", "labels", "split", "mask"))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a manifest, its classes still names."""

    line: int
    path: str
    label: str | None
    labels: tuple[str, ...]
    split: str | None
    mask: str | None
    metadata: Mapping[str, str]

    @property
    def names(self) -> set[str]:
        """Every class that the line names."""
        return {*self.labels, *([self.label] if self.label else [])}


def matches(source: Source) -> bool:
    """Whether a manifest was named, or one lies in the root."""
    return _find(source) is not None


def _find(source: Source) -> Path | None:
    place = source.annotated
    if source.annotations is not None and len(place.others) == 1:
        path = place.root / place.others[0]
        return path if path.suffix == ".jsonl" or (path.suffix == ".csv" and _has_paths(path)) else None
    return next((place.root / name for name in _NAMES if name in place.others), None)


def _has_paths(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return "path" in next(csv.reader([file.readline()]), [])


def read(source: Source, notes: Notes) -> Dataset:
    """The manifest's rows in the order of their paths; images that it does not list are left out."""
    path = _find(source)
    if path is None:
        raise DatasetError(f"{source.annotated.root} holds no manifest.jsonl or manifest.csv")
    rows = _keep(source, path, notes)
    listing = path.parent / "classes.txt"
    listed = read_class_list(listing) if listing.is_file() else None
    classes = listed or sort_classes(name for row in rows for name in row.names)
    ids = number(classes)
    _check_classes(rows, ids, path)
    places = path.parent, source.files.root
    samples = tuple(_sample(row, places, ids, listed, notes) for row in rows)
    _note_unlisted(source.files.images, rows, notes)
    return Dataset(source.files.root, "manifest", classes, samples)


def _note_unlisted(images: Sequence[str], rows: Sequence[Row], notes: Notes) -> None:
    listed = {row.path for row in rows} | {row.mask for row in rows}
    for image in images:
        if image not in listed:
            notes.count("Images that the manifest does not list, left out", image)


def _keep(source: Source, path: Path, notes: Notes) -> list[Row]:
    images, kept, contradicted = set(source.files.images), dict[str, Row](), set[str]()
    for row in read_rows(path, notes):
        where = f"line {row.line}, {row.path}"
        if row.path not in images:
            notes.count("Lines whose image is not in the folder, dropped", where)
        elif row == replace(kept.setdefault(row.path, row), line=row.line):
            if kept[row.path] is not row:
                notes.count("Lines that repeat a path, dropped", where)
        elif row.path not in contradicted:
            notes.count("Images that two lines describe differently, left out", where)
            contradicted.add(row.path)
    return [kept[path] for path in sorted(kept.keys() - contradicted)]


def _check_classes(rows: Sequence[Row], ids: Mapping[str, int], path: Path) -> None:
    for row in rows:
        if unknown := sorted(row.names - ids.keys()):
            raise DatasetError(
                f"{path} line {row.line} names class {unknown[0]!r}, which classes.txt beside it does not "
                f"list; add it there or correct the line"
            )


def _sample(
    row: Row,
    places: tuple[Path, Path],
    ids: Mapping[str, int],
    listed: tuple[ClassName, ...] | None,
    notes: Notes,
) -> Sample:
    label = ids[row.label] if row.label else None
    labels = tuple(sorted(ids[name] for name in row.names))
    sample = Sample(row.path, labels, label, (), row.split, row.metadata)
    if not row.mask:
        return sample
    mask = _locate(row.mask, places)
    if mask is None:
        notes.count("Masks whose paths lead out of the folder, not opened", f"line {row.line}, {row.mask}")
        return replace(sample, unclear="the path of its mask leads out of the folder")
    if not is_file(mask):
        notes.count("Masks that are not there, their images kept without foreground", row.mask)
        return replace(sample, unclear=f"its mask {row.mask} is not there")
    if not listed:
        return replace(sample, regions=_whole_mask(mask, label, labels))
    if row.labels:
        return annotate(sample, mask, labels)
    shown = read_labels(mask, len(listed), notes)
    return annotate(sample, mask, None if shown is None else sorted({*labels, *shown}))


def _locate(mask: str, places: tuple[Path, Path]) -> Path | None:
    """The file that a line names from the manifest's folder; None for one neither below it nor the root.

    Only what is written counts: a link that lies in the folder is the user's own.
    """
    path = os.path.normpath(places[0].absolute() / mask)
    is_inside = any(Path(path).is_relative_to(os.path.normpath(place.absolute())) for place in places)
    return type(places[0])(path) if is_inside else None


def _whole_mask(mask: Path, label: int | None, labels: Sequence[int]) -> tuple[Region, ...]:
    """All non-zero pixels as the foreground of the label, or of each of the labels where there is no one."""
    return tuple(Region(each, file=MaskFile(mask)) for each in (labels if label is None else (label,)))


def read_rows(path: Path, notes: Notes) -> Iterator[Row]:
    """The well-formed rows of a manifest; DatasetError when the file itself cannot be read."""
    raw = _read_jsonl(path) if path.suffix == ".jsonl" else _read_csv(path)
    for line, fields in raw:
        name = fields.get("path")
        if not isinstance(name, str) or not name:
            notes.count("Lines without a path, dropped", f"line {line}")
        elif None in fields or None in fields.values():
            notes.count("Lines whose number of columns is not the header's, dropped", f"line {line}")
        else:
            yield _row(line, fields)


def _row(line: int, fields: Mapping[Any, Any]) -> Row:
    text = {key: _text(value) for key, value in fields.items() if key != "labels"}
    return Row(
        line,
        text["path"].replace("\\", "/").removeprefix("./"),
        text.get("label") or None,
        _names(fields.get("labels", "")),
        text.get("split") or None,
        text.get("mask") or None,
        {key: value for key, value in text.items() if key not in _OWN},
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _names(value: object) -> tuple[str, ...]:
    """The names of a JSON list, or of a text that separates them by semicolons."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = parse_json(value)
        except ValueError:
            return (str(value),)
    if isinstance(value, list):
        return tuple(_text(name) for name in value)
    return tuple(name.strip() for name in str(value).split(";") if name.strip())


def _read_csv(path: Path) -> Iterator[tuple[int, dict[Any, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if "path" not in (reader.fieldnames or ()):
                raise DatasetError(f"{path} has no column `path`; its first line must name the columns")
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is no readable CSV in UTF-8: {error}") from error


def _read_jsonl(path: Path) -> Iterator[tuple[int, dict[Any, Any]]]:
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            row = parse_json(text)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{path} line {line} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise DatasetError(f"{path} line {line} is no JSON object; write one object a line")
        yield line, {key: value for key, value in row.items() if value is not None}
