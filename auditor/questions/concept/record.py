"""Where else a small reference set is found."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.records import ClassShare, Hit, Rate
from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class Concept(Record):
    """`audit concept`: where else a small reference set is found, how often, and in which classes (6.2).

    A cell's score is its largest cosine to a reference, less the largest to a negative one. `threshold` is
    the lowest score of a reference against the others. `cells` and `images` are counted over the images
    that hold no reference; `references` names what was searched for. `empty` counts the cells of these images
    without content (features of zeros), which are in neither.
    """

    index: str
    name: str
    references: tuple[str, ...]
    negatives: int
    encoding: str
    threshold: float
    cells: Rate
    images: Rate
    hits: tuple[Hit, ...]
    classes: tuple[ClassShare, ...]
    empty: int = 0

    @property
    def is_told_apart(self) -> bool:
        """Whether the references are more alike than half of all cells are like one of them."""
        return (self.cells.value or 0.0) <= 0.5
