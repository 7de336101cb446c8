"""ReaL labels from a file of one's own, instead of those that come with the index."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auditor.errors import DatasetError
from auditor.store import Index

Labels = tuple[int, ...]


def read_real(index: Index, path: Path) -> dict[int, Labels]:
    """The ReaL labels of every usable image by its id, () where the file has none for it.

    The file is JSON: either lists in the order of ILSVRC2012_val_00000001 onwards, as the authors published
    them, or an object of lists by file name. DatasetError where it is neither, fits no image, or names a
    class that the head does not have.
    """
    content = _read(path)
    rows = index.query("SELECT id, path FROM images WHERE usable ORDER BY id")
    named = zip(rows["id"].tolist(), rows["path"].tolist(), strict=True)
    found = {image: _labels_of(content, Path(name).name) for image, name in named}
    if not any(labels is not None for labels in found.values()):
        raise DatasetError(f"{path} has labels for no image of {index.name}: it goes by other file names")
    known = {image: labels or () for image, labels in found.items()}
    highest = max((label for labels in known.values() for label in labels), default=0)
    if highest >= len(index.manifest.classes):
        raise DatasetError(
            f"{path} names class {highest}, but the head of {index.name} has {len(index.manifest.classes)} "
            "classes: ReaL labels are those of ImageNet's 1000"
        )
    return known


def _read(path: Path) -> Any:
    """A list or an object of label lists."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as problem:
        raise DatasetError(f"{path} cannot be read as JSON: {problem}") from None
    lists = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(lists, list) or not all(_is_labels(labels) for labels in lists):
        raise DatasetError(
            f"{path} holds no ReaL labels: a list of label lists, or an object of them by file name"
        )
    return content


def _is_labels(value: Any) -> bool:
    return isinstance(value, list) and all(type(label) is int and label >= 0 for label in value)


def _labels_of(content: list[list[int]] | Mapping[str, list[int]], name: str) -> Labels | None:
    """The labels of a file name; None where the file says nothing of it."""
    if isinstance(content, Mapping):
        return tuple(content[name]) if name in content else None
    found = re.search(r"ILSVRC2012_val_(\d{8})", name)
    if found is None or not 1 <= int(found[1]) <= len(content):
        return None
    return tuple(content[int(found[1]) - 1])
