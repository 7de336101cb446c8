"""A process that ends at a chosen step of writing: without a word, as by `kill -9`, or with one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from auditor.terminal.endings import run

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"}


def dies_at(step: int, work: Callable[[], object]) -> bool:
    """Run `work` in a copy of this process, killed before its step-th change of the disk; whether it was."""
    code = in_a_copy(lambda: _work(step, signal.SIGKILL, work))
    assert code in (0, -signal.SIGKILL), code
    return code != 0


def stops_at(step: int, number: int, work: Callable[[], object], said: Path) -> int:
    """The same, sent a signal that the command line hears; its exit code. What it said is in a file."""
    with said.open("w") as file:

        def told() -> None:
            sys.stderr = file
            run(lambda: _work(step, number, work))

        return in_a_copy(told)


def in_a_copy(work: Callable[..., object], *arguments: Any) -> int:
    """Run `work` in a copy of this process; its exit code. One that hangs is ended, and is an error."""
    process = multiprocessing.get_context("fork").Process(target=_alone, args=(work, *arguments))
    process.start()
    process.join(300)
    code = process.exitcode
    process.kill()
    assert code is not None
    return code


def _alone(work: Callable[..., object], *arguments: Any) -> None:
    """No copy has its parent's other threads: OpenMP would wait for them for ever."""
    with threadpool_limits(1):
        work(*arguments)


def _work(step: int, number: int, work: Callable[[], object]) -> None:
    left = step

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if event in CHANGES or is_write:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), number)

    sys.addaudithook(watch)
    work()
