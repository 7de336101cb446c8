"""Who is told how a long piece of work goes."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Stages, counts and sentences of long work; the command line's is a progress bar."""

    def say(self, text: str) -> None:
        """A sentence for the user."""

    def start(self, stage: str, total: int) -> None:
        """Begin a stage of `total` things."""

    def advance(self, count: int) -> None:
        """So many more are done."""


class Silence:
    """A watch that keeps everything to itself."""

    def say(self, text: str) -> None:
        """Nothing is said."""

    def start(self, stage: str, total: int) -> None:
        """Nothing is shown."""

    def advance(self, count: int) -> None:
        """Nothing is counted."""
