"""A download that is watched: it is seen to go on, ends when it does not, and leaves nothing half-way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from auditor.records.watch import Watch

_WINDOW = 15.0  # seconds in each of which
_LEAST = 75_000  # so many bytes must come: 5 kB/s, at which nobody waits for weights
_SCRIPT = Path(__file__).with_name("download.py")


@dataclass(slots=True)
class Answer:
    """What came of a transfer; neither a path nor an error: the repository has no such file."""

    bytes: int | None = None
    sha256: str | None = None
    path: str | None = None
    error: str | None = None
    errno: int | None = None
    is_missing: bool = False


def transfer(repository: str, name: str, revision: str | None, wanted_by: str, watch: Watch) -> Answer:
    """Fetch one file of the hub into its cache."""
    from huggingface_hub import constants

    blobs = Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}", "blobs")
    command = [sys.executable, "-P", str(_SCRIPT), json.dumps([repository, name, revision])]
    quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # plain HTTP can be watched
    environment = os.environ | quiet | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    started = time.time()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            return _follow(process, blobs, started, wanted_by, watch)
        finally:
            process.kill()
            for path in _unfinished(blobs, started):
                path.unlink(missing_ok=True)


def _follow(
    process: subprocess.Popen[str], blobs: Path, started: float, wanted_by: str, watch: Watch
) -> Answer:
    """The answer, once it is whole, or that the transfer does not go on."""
    answer, progress = Answer(), _Progress(wanted_by, watch)
    listening = Thread(target=_listen, args=(process, answer), daemon=True)
    listening.start()
    while process.poll() is None:
        progress.at(sum(_sizes(_unfinished(blobs, started))), answer.bytes)
        if progress.is_stalled:
            answer.error = f"the hub sent {progress.recent:,} bytes in {_WINDOW:.0f} s, then audit gave up"
            return answer
        time.sleep(0.1)
    listening.join()
    if answer.path:  # it may have come whole between two looks
        progress.at(answer.bytes or 0, answer.bytes)
    progress.end()
    if not (answer.path or answer.error or answer.is_missing):
        answer.error = f"its client ended with code {process.returncode}"
    return answer


def _listen(process: subprocess.Popen[str], answer: Answer) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        facts: dict[str, Any] = json.loads(line)
        for name, value in facts.items():
            setattr(answer, name, value)


def _unfinished(blobs: Path, started: float) -> list[Path]:
    """Files that this transfer writes: the client calls them so until they are whole."""
    return [path for path in blobs.glob("*.incomplete") if _is_since(path, started)]


def _is_since(path: Path, started: float) -> bool:
    try:
        return path.stat().st_mtime >= started - 1
    except OSError:
        return False


def _sizes(paths: list[Path]) -> Iterator[int]:
    for path in paths:
        try:
            yield path.stat().st_size
        except OSError:  # it has just become whole
            continue


class _Progress:
    """Bytes that have come so far, shown in megabytes."""

    def __init__(self, wanted_by: str, watch: Watch) -> None:
        self._wanted_by, self._watch = wanted_by, watch
        self._most = self._marked = self._shown = 0
        self._since = time.monotonic()
        self._is_whole = self._is_started = False

    def at(self, size: int, total: int | None) -> None:
        """So many bytes are there; fewer than before where the client began again, which is no progress."""
        self._most = max(self._most, size)
        self._is_whole = total is not None and self._most >= total
        if total and not self._is_started:
            self._watch.start(f"downloading {self._wanted_by}, MB", round(total / 1e6))
            self._is_started = True
        if self.recent >= _LEAST:
            self._marked, self._since = self._most, time.monotonic()
        self._watch.advance(round(self._most / 1e6) - self._shown)
        self._shown = round(self._most / 1e6)

    @property
    def recent(self) -> int:
        """Bytes since there were enough of them."""
        return self._most - self._marked

    @property
    def is_stalled(self) -> bool:
        """Whether too little came for too long."""
        return not self._is_whole and time.monotonic() - self._since > _WINDOW

    def end(self) -> None:
        """What comes next is the loading."""
        if self._is_started:
            self._watch.start(f"loading {self._wanted_by}", 1)
