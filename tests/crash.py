"""A process that dies at a chosen step of writing, without a word: as `kill -9` would have it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"}


def dies_at(step: int, work: Callable[[], object]) -> bool:
    """Run `work` in a copy of this process, killed before its step-th change of the disk; whether it was."""
    process = multiprocessing.get_context("fork").Process(target=_work, args=(step, work))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _work(step: int, work: Callable[[], object]) -> None:
    left = step

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if event in CHANGES or is_write:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    work()
