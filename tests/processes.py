"""The command line in processes of its own, and what is said of how they end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAIN = "from auditor.cli import main; main()"
TEN_KILOBYTES_A_SHARD = "import auditor.indexing.build as build; build.SHARD_BYTES = 10_000\n"
ONE_IMAGE_A_SHARD = "import auditor.indexing.build as build; build.SHARD_BYTES = 1\n"


def audit(*words: str, code: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code + MAIN, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, **more)


def sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one sentence of a run that ended with this code."""
    assert done.returncode == code, (done.returncode, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.startswith("audit: ")]
    assert len(lines) == 1, done.stderr
    assert done.stderr.rstrip("\n").splitlines()[-1] == lines[0]
    assert "Traceback" not in done.stderr
    return lines[0]


def interrupted(
    folder: Path, words: list[str], code: str, number: int, when: Callable[[], bool]
) -> subprocess.CompletedProcess[str]:
    """The command, sent a signal as soon as something holds."""
    command = [sys.executable, "-c", code + MAIN, *words]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + 100
            while not when():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < until
                time.sleep(0.01)
            process.send_signal(number)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()  # one that does not end would be waited for without end
        return subprocess.CompletedProcess(command, process.returncode, "", said)
