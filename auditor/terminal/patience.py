"""A word while one waits; what has a progress bar of its own needs none."""

from __future__ import annotations

from threading import Lock, Timer
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console

from auditor.terminal.lines import shown

if TYPE_CHECKING:
    from rich.status import Status


class Patience:
    """A line on the terminal while an answer takes longer than `after` seconds, gone when it is there.

    For what reports no progress of its own. Only people read it: where standard error is no terminal, none.
    """

    def __init__(
        self, text: str, *, after: float = 2, quiet: bool = False, console: Console | None = None
    ) -> None:
        console = console or Console(stderr=True)
        self._is_wanted = console.is_terminal and not quiet
        self._console, self._text = console, text
        self._status: Status | None = None  # what shows it is loaded when it is wanted
        self._timer = Timer(after, self._begin)
        self._timer.daemon = True
        self._lock = Lock()

    def __enter__(self) -> Self:
        if self._is_wanted:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_wanted = False
            self._timer.cancel()
            if self._status is not None:
                self._status.stop()

    def _begin(self) -> None:
        with self._lock:  # the answer may have come at this very moment
            if self._is_wanted:
                self._status = self._console.status(shown(self._text))
                self._status.start()
