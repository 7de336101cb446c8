"""How a run ends: one sentence on standard error and one exit code, whatever ended it.

0 done, 1 an error, 2 wrong usage, 3 a gate failed or too much bad data, 4 an index damaged or not matching,
74 input or output failed, 75 somebody else is writing, 130 interrupted, 143 asked to end.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from auditor.errors import AuditError, first_line
from auditor.files import NO_ROOM, disk_error
from auditor.terminal.lines import warn

DEBUG = "AUDIT_DEBUG"
_SIGNALS = {signal.SIGINT: "stopped", signal.SIGTERM: "asked to end"}
_DATABASE = {"IOException", "SerializationException", "InternalException", "FatalException"}
"""What DuckDB raises where its file is not what it was."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM; not KeyboardInterrupt, which the command-line library keeps to itself.

    `kept` says what of the work is kept, where there was any.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.kept = ""


class _Ending:
    """The signal that ended this run, if any.

    A library may turn what it raised into an error of its own, as DuckDB does, or swallow it.
    """

    def __init__(self) -> None:
        self.stopped: Stopped | None = None
        self._process = 0

    def listen(self) -> None:
        """From now on, in this process."""
        self._process = os.getpid()
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
                signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> NoReturn:
        if os.getpid() != self._process:  # a forked worker, whose library knows Python's own alone
            raise KeyboardInterrupt
        for each in _SIGNALS:  # whoever asks twice wants it now
            signal.signal(each, signal.SIG_DFL)
        _interrupt_queries()
        self.stopped = Stopped(number)
        raise self.stopped


_ending = _Ending()


def run(command: Callable[[], Any]) -> NoReturn:
    """Run the command line and end the process; `command` returns its exit code, or None."""
    _open_outlet()
    try:
        _ending.listen()
        code = command() or 0
        if _ending.stopped:
            raise _ending.stopped
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit:
        raise
    except BaseException as error:  # of any library: a panic of Rust's is no Exception
        lines, code = describe(_ending.stopped or error)
        if os.environ.get(DEBUG, "0") != "0":
            lines = [*lines, *"".join(traceback.format_exception(error)).splitlines()]
        if lines:
            warn(*lines)
        _ending.stopped = None  # with what its frames hold, which torch would miss at the end, aloud
    sys.exit(code)


def _interrupt_queries() -> None:
    """Ask DuckDB, where it was loaded, to give up what it does."""
    columns = sys.modules.get("auditor.store.columns")
    for connection in () if columns is None else tuple(columns.OPEN):
        with suppress(Exception):  # one that was closed
            connection.interrupt()


@contextmanager
def keeping(kept: Callable[[], str]) -> Iterator[None]:
    """Work of which something is kept when it is stopped: `kept` then says what, in a few words."""
    try:
        yield
    except BaseException:
        if _ending.stopped:
            _ending.stopped.kept = kept()
        raise


def describe(error: BaseException) -> tuple[list[str], int]:
    """The lines to say of an error, and its exit code."""
    if isinstance(error, Stopped):
        said = _SIGNALS[signal.Signals(error.number)]
        return [f"{said}; {error.kept}" if error.kept else said], 128 + error.number
    if isinstance(error, AuditError):
        return [str(line) for line in error.args], error.exit_code
    if hasattr(error, "format_message"):  # the command-line library's own
        return _usage(error)
    if type(error).__name__ == "Abort":
        return ["nothing was done"], 1
    if (number := disk_error(error)) is not None:
        return [_disk(error, number)], 74
    return _unexpected(error)


def _usage(error: Any) -> tuple[list[str], int]:
    context = getattr(error, "ctx", None)
    words = error.format_message().strip()
    if context is None:
        return [words], error.exit_code
    if "\n" in words or not words:  # `audit` alone: the help itself is the message, and is printed
        return words.splitlines(), error.exit_code
    return [f"{words} `{context.command_path} --help` says what there is."], error.exit_code


def _disk(error: BaseException, number: int) -> str:
    name = getattr(error, "filename", None)
    where = f": {os.fsdecode(name)}" if isinstance(name, str | bytes) else ""
    fix = "; make room, then run the same command again" if number in NO_ROOM else ""
    return f"{os.strerror(number)}{where}{fix}"


def _unexpected(error: BaseException) -> tuple[list[str], int]:
    kind = type(error)
    if isinstance(error, MemoryError):
        return ["there is not enough memory; try a smaller --batch, or fewer images"], 1
    if isinstance(error, RecursionError):
        return ["a file is nested too deeply to be read; `audit --debug COMMAND` shows which"], 1
    is_duckdb = kind.__module__.strip("_").startswith("duckdb")
    if is_duckdb and (kind.__name__ in _DATABASE or "Corrupt database" in str(error)):
        return [f"a database cannot be read: {first_line(error)}; `audit check` says what is damaged"], 4
    said = f"{kind.__name__}: {first_line(error)}"
    return [f"what audit did not expect: {said}; `audit --debug COMMAND` shows where"], 1


# ------------------------------------------------------------------------------------- standard output


class _Outlet(io.FileIO):
    """Standard output, which may be a pipe that is closed before all is said."""

    def write(self, data: Any) -> int:
        """Write, or let go: what reads it has read enough, as `head` does, and the rest goes nowhere.

        The command goes on to its end, so that nothing that it writes to files is lost.
        """
        try:
            return super().write(data)
        except BrokenPipeError:
            self._let_go()
            return len(data)
        except OSError:
            self._let_go()  # else Python would try again at its end
            raise

    def _let_go(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def _open_outlet() -> None:
    if sys.stdout is None:  # closed by whoever started us
        return
    outlet = _Outlet(sys.stdout.fileno(), "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(outlet),
        encoding=sys.stdout.encoding,
        errors="backslashreplace",
        line_buffering=sys.stdout.isatty(),
    )
