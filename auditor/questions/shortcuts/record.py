"""Groups of background cells that say a class without its objects, and classes by how often that happens."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.records import Rate
from auditor.report.metric import metric
from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class Context(Record):
    """A group of like background cells that say a class, with the objects and with all of them covered.

    `cells` are those in images of the class; `images` and `elsewhere` count by free cells alone, which touch
    no object. `p_value` and `q_value` are None where fewer than two images of the class or three images in
    all could tell; `is_certain` is whether q is below the answer's level. `exemplars` are free cells of
    images of the class, the nearest to their medoid first.
    """

    label: int
    name: str
    cells: int
    images: Rate = field(
        metadata=metric(
            "Images with it",
            "images of the class with a free cell of the context ÷ images of the class that have free cells",
        )
    )
    interval: tuple[float, float] | None
    elsewhere: Rate = field(
        metadata=metric("Other images with it", "the same of the images that are not labelled with the class")
    )
    logit_share: float | None = field(
        metadata=metric(
            "Logit from it",
            "what the context's cells add to the class's logit, less the mean logit of all classes ÷ what "
            "all cells add, each summed over the class's images that have free cells; not given where the "
            "head's cells do not add up to its logits, or all together speak against the class",
        )
    )
    p_value: float | None
    q_value: float | None = field(
        metadata=metric(
            "q (context)",
            "Fisher's exact test over images, one-sided, of the images of the class against all others, "
            "corrected over the contexts of all classes (Benjamini-Hochberg)",
            unit="chance",
        )
    )
    is_certain: bool
    exemplars: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClassShortcut(Record):
    """A class by what its background says without its objects; `images` have free cells.

    `extent` is the mean share of an image's free cells that say it.
    """

    label: int
    name: str
    images: int
    stays: Rate = field(
        metadata=metric(
            "Stays",
            "images of the class in which a free cell says it, with the objects and with all of them covered "
            "÷ images of the class that have free cells",
        )
    )
    chance: float | None = field(
        metadata=metric(
            "Stays by chance",
            "1 - (1 - p)^n for the n free cells of each of these images, averaged; p is the share of free "
            "cells that say the class in images without it",
        )
    )
    expected: float | None = field(
        metadata=metric(
            "Shortcut",
            "the share of the class's images whose background says it beyond chance, shrunk towards that of "
            "all classes: the mean of r given its images, where an image with chance c is hit by "
            "c + (1 - c) r, and the r of all classes come from one beta distribution that is fitted to them",
        )
    )
    extent: float
    logit_share: float | None = field(
        metadata=metric("Logit from all", "Logit from it, of all contexts of the class together")
    )

    @property
    def is_ahead(self) -> bool:
        """Whether several images, and not chance, say it: only such classes may lead."""
        return self.images > 1 and self.chance is not None and (self.stays.value or 0) > self.chance


@dataclass(frozen=True, slots=True)
class Shortcuts(Record):
    """`audit shortcuts`: contexts in the order of their classes, those that say most beyond chance first.

    `level` bounds q of what is certain. `by_chance` is how many contexts a run had below it in which images
    exchanged their labels, for each of the runs. `reason` says why no share of a logit is given.
    """

    index: str
    images: int
    level: float
    contexts: tuple[Context, ...]
    classes: tuple[ClassShortcut, ...]
    by_chance: tuple[int, ...]
    reason: str | None


def certain(answer: Shortcuts) -> tuple[Context, ...]:
    """The contexts that follow their class at the answer's level."""
    return tuple(each for each in answer.contexts if each.is_certain)


def shown(answer: Shortcuts) -> tuple[Context, ...]:
    """What tables and pictures show: what is certain, and where nothing is, all."""
    return certain(answer) or answer.contexts
