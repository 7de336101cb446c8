"""How much of what was found belongs to a class."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.records.answers import Rate

SIGNIFICANT = 0.05
"""Below this q-value a class counts as over-represented."""


@dataclass(frozen=True, slots=True)
class ClassShare:
    """How many of a class's images were found, and how many of all others.

    `interval` is Wilson's 95 % of the class's rate; `p_value` the chance to find so many or more of the class
    by drawing as many images at random (hypergeometric), `q_value` its Benjamini-Hochberg correction.
    """

    name: str
    images: Rate
    interval: tuple[float, float] | None
    elsewhere: Rate
    p_value: float
    q_value: float

    @property
    def of_found(self) -> float | None:
        """The class's share of the images that were found."""
        return Rate(self.images.hits, self.images.hits + self.elsewhere.hits).value

    @property
    def lift(self) -> float | None:
        """The class's rate over that of all images: 1 when the class makes no difference."""
        hits = self.images.hits + self.elsewhere.hits
        everywhere = Rate(hits, self.images.total + self.elsewhere.total).value
        return self.images.value / everywhere if self.images.value is not None and everywhere else None

    def __str__(self) -> str:
        return f"{self.name} {100 * (self.of_found or 0):.0f}%"
