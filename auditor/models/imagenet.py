"""ImageNet's names: class ids, synsets and ReaL labels, read from the files that timm carries.

timm itself is not imported: importing it loads torch.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from auditor.records import ClassName

_SYNSET_FILES = {
    1000: "imagenet_synsets.txt",
    11221: "imagenet21k_miil_synsets.txt",
    11821: "imagenet12k_synsets.txt",
    21841: "imagenet22k_synsets.txt",
    21842: "imagenet22k_ms_synsets.txt",
    21843: "imagenet21k_goog_synsets.txt",
}
"""The class lists of timm's ImageNet heads, told apart by their length."""


def class_names(count: int = 1000) -> tuple[ClassName, ...] | None:
    """The classes of an ImageNet head with `count` outputs, None where no list is that long."""
    if count not in _SYNSET_FILES:
        return None
    lemmas = _lemmas()
    return tuple(ClassName(lemmas[synset].split(",")[0], synset) for synset in synsets(count))


@functools.cache
def synsets(count: int = 1000) -> tuple[str, ...]:
    """The synset of every class id, such as n01440764 for 0."""
    return tuple(_text(_SYNSET_FILES[count]).split())


@functools.cache
def synset_ids() -> Mapping[str, int]:
    """The class id of each of the 1000 synsets."""
    return {synset: index for index, synset in enumerate(synsets())}


def real_labels(file_name: str) -> tuple[int, ...] | None:
    """The ReaL labels of a validation image by its number, () where it has none, None for any other file.

    The lists are in the order of ILSVRC2012_val_00000001 onwards; the published README says otherwise.
    """
    match = re.search(r"ILSVRC2012_val_(\d{8})", file_name)
    if match is None or not 1 <= int(match[1]) <= len(_real()):
        return None
    return _real()[int(match[1]) - 1]


@functools.cache
def _real() -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(labels) for labels in json.loads(_text("imagenet_real_labels.json")))


@functools.cache
def _lemmas() -> dict[str, str]:
    lines = (line.split("\t", 1) for line in _text("imagenet_synset_to_lemma.txt").splitlines())
    return {synset: lemma.strip('"') for synset, lemma in lines}


def _text(name: str) -> str:
    spec = find_spec("timm")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("timm is not installed")
    return (Path(spec.origin).parent / "data" / "_info" / name).read_text("utf-8")
