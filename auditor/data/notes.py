"""What a reader says about a dataset: sentences, and drops counted by reason with the first of each."""

from __future__ import annotations


class Notes:
    """Gathers what was recognised, what was left out and why."""

    def __init__(self) -> None:
        self._sentences: list[str] = []
        self._counted: dict[str, tuple[int, str]] = {}

    def say(self, sentence: str) -> None:
        """Add one sentence."""
        self._sentences.append(sentence)

    def count(self, what: str, example: object) -> None:
        """Count one more of what happened; only the first example of each is kept."""
        times, first = self._counted.get(what, (0, printable(example)))
        self._counted[what] = times + 1, first

    def sentences(self) -> tuple[str, ...]:
        """What was said, in order, then what was counted."""
        counted = (f"{what}: {times} (first: {example})." for what, (times, example) in self._counted.items())
        return *self._sentences, *counted


def printable(value: object) -> str:
    """The text of anything with control characters, escapes and broken names made visible."""
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in str(value))
