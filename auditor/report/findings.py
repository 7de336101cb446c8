"""What a question found that is worth a person's look: a sentence with its number."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.records import Rate


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the data support, about one class.

    `strength` is a share: how large the effect is at least, the end of its interval that is nearer to none.
    `words` is the command that goes deeper, after `audit`. `cells` (`path:row,col`) show it, in the `variant`
    of their images that it is about.
    """

    subject: str
    sentence: str
    rate: Rate
    interval: tuple[float, float] | None
    q_value: float | None
    strength: float
    words: tuple[str, ...]
    cells: tuple[str, ...] = ()
    variant: str = "original"
