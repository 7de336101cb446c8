"""A head from a file: a probe that audit wrote, or a plain linear layer with names for its classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from auditor.data.class_names import read_class_list
from auditor.errors import BackboneError, DatasetError
from auditor.files import digest
from auditor.indexing.request import Request
from auditor.models.backbone import Backbone
from auditor.models.catalog import read_header
from auditor.models.head_files import HEADER, load_probe
from auditor.models.heads import AnyProbe, LinearHead
from auditor.models.imagenet import class_names
from auditor.models.plain_heads import read_plain_head
from auditor.records import ClassName, Dataset
from auditor.store.manifest import HeadName


@dataclass(frozen=True, slots=True)
class GivenHead:
    """A head from a file, to be used as it is, and what must be said of it."""

    path: Path
    sha256: str
    head: AnyProbe | LinearHead
    notes: tuple[str, ...]

    @property
    def name(self) -> HeadName:
        """What an index calls it."""
        return "linear" if isinstance(self.head, LinearHead) else "probe"


def read_given(path: Path, backbone: Backbone, dataset: Dataset, request: Request) -> GivenHead:
    """The head in a file, for this backbone's features; BackboneError where that cannot be."""
    if path.suffix != ".safetensors" or HEADER not in read_header(path):
        return _read_plain(path, backbone, dataset, request.classes)
    if request.classes is not None:
        raise BackboneError(f"the head in {path} names its classes itself; leave --classes out")
    head = load_probe(path, backbone)
    if request.readout == "exact" and head.readout is None:
        raise BackboneError(f"the head in {path} has no exact readout; use --readout pointwise")
    notes = () if isinstance(head, LinearHead) else (_worth(path, head),)
    return GivenHead(path, digest(path, "sha256"), head, notes)


def _worth(path: Path, head: AnyProbe) -> str:
    """What a probe's scores of images that it was trained on are worth."""
    if head.folds == 1:
        return f"{path} holds one head, whose scores of images that it was trained on are too good"
    return (
        f"{path} holds {head.folds} heads, one for each fold of what it was trained on; every "
        "image is scored by that of its fold, which never saw it"
    )


def _read_plain(path: Path, backbone: Backbone, dataset: Dataset, listed: Path | None) -> GivenHead:
    weight, bias = read_plain_head(path, backbone.dim)
    classes, note = _name_classes(path, len(weight), backbone, dataset, listed)
    notes = [note, *_pooling(path, backbone)]
    return GivenHead(path, digest(path, "sha256"), LinearHead(weight, bias, classes, "linear"), tuple(notes))


def _name_classes(
    path: Path, count: int, backbone: Backbone, dataset: Dataset, listed: Path | None
) -> tuple[tuple[ClassName, ...], str]:
    """Names for the head's outputs, from the first source that has as many, and where they come from."""
    if listed is not None:
        names = read_class_list(listed, distinct=False)
        if len(names) != count:
            raise DatasetError(f"{listed} names {len(names)} classes, and the head in {path} has {count}")
        return names, f"the {count} classes of {path} are named by {listed}"
    own, here = backbone.classes, dataset.classes
    sources = [(here, f"the dataset's, in their order ({_ends(here)})"), (own, f"those of {backbone.name}")]
    if {each.name for each in own} == {each.name for each in here}:
        sources.reverse()
    sources.append((class_names(count) or (), "ImageNet's"))
    for names, source in sources:
        if len(names) == count:
            taken = f"the {count} classes of {path} are taken to be {source}"
            return names, f"{taken}; name others with --classes FILE"
    numbers = tuple(ClassName(str(number)) for number in range(count))
    return numbers, f"the {count} classes of {path} have no names; name them with --classes FILE"


def _ends(classes: tuple[ClassName, ...]) -> str:
    return f"{classes[0].name} ... {classes[-1].name}" if classes else ""


def _pooling(path: Path, backbone: Backbone) -> list[str]:
    """A sentence where the head, on the mean of the cells, is not what the model itself would do."""
    anatomy = backbone.anatomy
    if anatomy.aggregation == "gap" and anatomy.head in ("linear", "none"):
        return []
    return [
        f"{path} is read as W h + b of every cell, and of their mean for the image; {backbone.name} itself "
        f"goes another way from its features to an output (pooling: {anatomy.aggregation}, head: "
        f"{anatomy.head}), so a head that was trained behind it does not say here what it says there"
    ]
