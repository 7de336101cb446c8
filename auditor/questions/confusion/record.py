"""What whole images are taken for, class by class, and which other class their cells show most."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.records import Rate
from auditor.report.metric import metric
from auditor.report.record import Record

_CONFUSED = (
    "images of the class whose first prediction is the other, which is no label of theirs ÷ images of the "
    "class"
)
_ACCURACY = "images of the class whose first prediction is the class ÷ images of the class"
_RIVAL = (
    "foreground cells (all cells, where nothing is annotated) of the class's images whose first prediction "
    "is the rival, the class most frequent among those that the image is not labelled with ÷ those cells"
)


@dataclass(frozen=True, slots=True)
class ConfusedPair(Record):
    """A class that is taken for another, with Wilson's 95 % interval."""

    label: int
    name: str
    predicted: int
    predicted_name: str
    images: Rate = field(metadata=metric("Images confused", _CONFUSED))
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class ClassAccuracy(Record):
    """A class's accuracy at image level with Wilson's 95 % interval, and the rival that its cells show."""

    label: int
    name: str
    top1: Rate = field(metadata=metric("Accuracy", _ACCURACY))
    interval: tuple[float, float] | None
    rival: int | None
    rival_name: str | None
    rival_cells: Rate = field(metadata=metric("Rival's cells", _RIVAL))


@dataclass(frozen=True, slots=True)
class Confusion(Record):
    """`audit confusion`: pairs by the images that they confuse, classes by their accuracy, lowest first.

    An image counts under its one evaluation label. One whose first prediction is another of its own labels
    is not right, and not confused either: that object is there too.
    """

    index: str
    images: int
    top1: Rate
    pairs: tuple[ConfusedPair, ...]
    classes: tuple[ClassAccuracy, ...]
