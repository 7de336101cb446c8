"""WebDataset: tars whose members belong together where their names agree up to the first dot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditor.data.class_names import number, parse_json, read_class_list, to_class
from auditor.data.containers import TAR
from auditor.data.files import IMAGE_SUFFIXES, Source, note_ignored, split_of, split_of_container, suffix
from auditor.data.notes import Notes
from auditor.data.tars import Member, list_tar
from auditor.errors import DatasetError
from auditor.records import ClassName, Dataset, Sample

LONGEST_TEXT = 1 << 20  # bytes of a label, a caption or a JSON
_LABELS = ("cls", "label", "class", "labels")


@dataclass(slots=True)
class Group:
    """What the tar says of one sample: its image's path, the names of its classes, other columns."""

    image: str | None = None
    names: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)


def matches(source: Source) -> bool:
    """Whether there are tars and no images beside them, and the user named no annotations."""
    return source.annotations is None and not source.files.images and bool(source.files.ending(TAR))


def read(source: Source, notes: Notes) -> Dataset:
    """Samples of all tars: these in the order of their names, samples as they lie in each.

    Labels are those of `.cls`, or of the JSON's cls, label, class or labels; other values of the JSON and the
    text of `.txt` are metadata. A sample without an image is left out.
    """
    root = source.files.root
    groups = [group for path in source.files.ending(TAR) for group in _groups(root, path, notes)]
    classes, ids = _classes(root, groups, notes)
    samples = tuple(_sample(group, ids, notes) for group in groups)
    note_ignored(source.files.without(TAR), notes)
    return Dataset(root, "webdataset", classes, samples)


def _groups(root: Path, path: str, notes: Notes) -> Iterator[Group]:
    try:
        listing = list_tar(root / path)
    except (DatasetError, OSError) as error:
        notes.count("Tars that cannot be read, left out", error)
        return
    for problem in listing.problems:
        notes.count("Tars of which only a part could be read", f"{path or root.name}: {problem}")
    groups: dict[str, Group] = {}
    with (root / path).open("rb") as file:
        for member in _first_of_each_name(listing.members(), notes):
            match = re.fullmatch(r"((?:.*/)?[^/.]+)\.([^/]+)", member.name)
            if match is None:
                notes.count("Members of tars without a suffix, left out", member.name)
                continue
            group, kind = groups.setdefault(match[1], Group()), match[2].lower()
            if kind in ("cls", "json", "txt"):
                file.seek(member.offset)
                _put_text(group, kind, file.read(min(member.size, LONGEST_TEXT)), member, notes)
            elif suffix(member.name) not in IMAGE_SUFFIXES:
                notes.count("Members of tars that are neither images nor labels, left out", member.name)
            elif group.image is None:
                group.image = f"{path}/{member.name}" if path else member.name
            else:
                notes.count("Second images of one sample, left out", member.name)
    yield from (group for group in groups.values() if _has_image(group, path, notes))


def _first_of_each_name(members: Iterable[Member], notes: Notes) -> Iterator[Member]:
    names: set[str] = set()
    for member in members:
        if member.name in names:
            notes.count("Members that repeat a name in their tar, left out", member.name)
        else:
            yield member
        names.add(member.name)


def _has_image(group: Group, path: str, notes: Notes) -> bool:
    if group.image is None:
        notes.count("Samples without an image, left out", path)
    return group.image is not None


def _put_text(group: Group, kind: str, data: bytes, member: Member, notes: Notes) -> None:
    try:
        text = data.decode("utf-8-sig").strip()
        content = parse_json(text) if kind == "json" else {kind: text}
        if not isinstance(content, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError):
        notes.count("Members that are no UTF-8 text or no JSON object, left out", member.name)
        return
    for key, value in content.items():
        if key not in _LABELS:
            group.metadata[key] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        elif names := [str(each) for each in _listed(value)]:
            group.names = names if kind == "cls" or not group.names else group.names


def _listed(value: Any) -> Iterator[str | int]:
    for each in value if isinstance(value, list) else [value]:
        if type(each) in (str, int) and each not in ("", -1):
            yield each


def _classes(root: Path, groups: list[Group], notes: Notes) -> tuple[tuple[ClassName, ...], dict[str, int]]:
    """The classes, and ids by what labels call them: numbers count the lines of a classes.txt."""
    listing = (root if root.is_dir() else root.parent) / "classes.txt"
    if listing.is_file():
        listed = read_class_list(listing)
        return listed, {str(place): place for place in range(len(listed))} | number(listed)
    names = {name for group in groups for name in group.names}
    are_numbers = bool(names) and all(re.fullmatch(r"\d{1,18}", name) for name in names)
    if are_numbers:
        notes.say("No class names in a classes.txt beside the tars: classes are called by their number.")
    classes = tuple(to_class(name) for name in sorted(names, key=int if are_numbers else None))
    return classes, number(classes)


def _sample(group: Group, ids: dict[str, int], notes: Notes) -> Sample:
    assert group.image is not None
    labels = [ids[name] for name in group.names if name in ids]
    for name in group.names:
        if name not in ids:
            notes.count("Labels that classes.txt does not list, dropped", f"{name} of {group.image}")
    label = labels[0] if len(labels) == 1 else None
    split = split_of(group.image) or split_of_container(group.image.split(TAR)[0])
    return Sample(group.image, tuple(sorted(set(labels))), label, (), split, group.metadata)
