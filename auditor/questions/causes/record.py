"""Why each wrong image is wrong: one cause per image, and how often each would be found by chance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.records import Rate
from auditor.report.metric import Metric, metric
from auditor.report.record import Record

Cause = Literal["label_suspect", "competing", "background", "diluted", "absent"]

CAUSES: dict[Cause, Metric] = {
    "label_suspect": Metric(
        "Label suspect",
        "the predicted class wins at least half of the object's cells, there with a mean probability of at "
        "least 0.5, and a smaller share of the background; the label wins no cell of the image",
    ),
    "competing": Metric(
        "Competing object",
        "the predicted class wins a larger share of the cells of other annotated objects than of the "
        "object's, and no smaller one than of the background",
    ),
    "background": Metric(
        "Background-driven",
        "the predicted class wins a larger share of the background cells than of the object's and of other "
        "objects'",
    ),
    "diluted": Metric("Diluted", "the label wins a cell of its object, and loses the image"),
    "absent": Metric(
        "Absent",
        "the label wins no cell of its object; the predicted class wins it instead, or no cell anywhere",
    ),
}
"""The causes in their order of precedence: an image has the first that holds."""


@dataclass(frozen=True, slots=True)
class CauseShare(Record):
    """One cause over all wrong images, with Wilson's 95 % interval.

    `chance` is the share that the cause has where each wrong image is given label and annotation of another.
    """

    cause: Cause
    title: str
    definition: str
    images: Rate = field(
        metadata=metric(
            "Wrong images", "wrong images of which it is the first cause that holds ÷ all of them"
        )
    )
    interval: tuple[float, float] | None
    chance: float | None = field(
        metadata=metric(
            "With exchanged labels",
            "the same share where the wrong images have label and annotation of one another: the mean of 20 "
            "shuffles; a shuffled label that is the prediction makes no wrong image",
        )
    )
    holds: Rate = field(
        metadata=metric("Holds for", "wrong images for which it holds, whatever precedes it ÷ all of them")
    )


@dataclass(frozen=True, slots=True)
class ClassCauses(Record):
    """A class's wrong images by their cause: the five shares add up to all of them.

    `p_value` and `q_value` ask whether more of them are background-driven than with exchanged labels: exact
    binomial test, corrected over classes (Benjamini-Hochberg).
    """

    label: int
    name: str
    wrong: Rate = field(
        metadata=metric("Wrong", "images of the class whose first prediction is not it ÷ all")
    )
    label_suspect: Rate = field(metadata={"metric": CAUSES["label_suspect"]})
    competing: Rate = field(metadata={"metric": CAUSES["competing"]})
    background: Rate = field(metadata={"metric": CAUSES["background"]})
    diluted: Rate = field(metadata={"metric": CAUSES["diluted"]})
    absent: Rate = field(metadata={"metric": CAUSES["absent"]})
    background_chance: float | None
    p_value: float | None
    q_value: float | None


@dataclass(frozen=True, slots=True)
class WrongImage(Record):
    """One wrong image: its cause, and the cells that decide it.

    `right` counts the object's cells that the label wins; `on_object`, `on_others` and `on_background` the
    cells that the predicted class wins of the object, of other annotated objects and of the background. Where
    nothing is annotated every cell is the object's. `cell` is the one where the prediction is most certain.
    """

    path: str
    label: int
    name: str
    predicted: int
    predicted_name: str
    cause: Cause
    right: Rate
    on_object: Rate
    on_others: Rate
    on_background: Rate
    probability: float | None
    cell: str | None


@dataclass(frozen=True, slots=True)
class Causes(Record):
    """`audit causes`: every image whose first prediction is not its label has one cause.

    `annotated` are the wrong images in which something is annotated: only there can the evidence lie outside.
    """

    index: str
    wrong: Rate
    annotated: Rate
    causes: tuple[CauseShare, ...]
    classes: tuple[ClassCauses, ...]
    images: tuple[WrongImage, ...]
