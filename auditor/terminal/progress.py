"""Progress on standard error, so that standard output stays the answer."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from auditor.report.visible import visible
from auditor.terminal.lines import shown


class _Speed(ProgressColumn):
    """Things per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")


class Bar:
    """A progress bar that also is the `Watch` of a build: stages, counts, sentences."""

    def __init__(self, stage: str = "", total: int | None = None, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self._console)
        self._task = self._progress.add_task(visible(stage), total=total)
        self._is_named = bool(stage)

    def __enter__(self) -> Self:
        if self._is_named:  # else the bar appears with its first stage
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def say(self, text: str) -> None:
        """A sentence above the bar."""
        self._console.print(shown(text), soft_wrap=True)

    def start(self, stage: str, total: int) -> None:
        """Begin a stage of `total` things."""
        self._progress.start()
        self._progress.reset(self._task, total=total, description=visible(stage), visible=total > 0)

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._progress.advance(self._task, count)

    def at(self, done: int, total: int | None = None, stage: str | None = None) -> None:
        """So many are done in all."""
        described = None if stage is None else visible(stage)
        self._progress.update(self._task, completed=done, total=total, description=described)
