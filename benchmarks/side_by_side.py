"""Two ways of doing the same, measured side by side in one run: ratios of CPU seconds."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import binom


@dataclass(frozen=True)
class Ratio:
    """CPU seconds of ours and of the other, in rounds that took turns."""

    name: str
    ours: tuple[float, ...]
    other: tuple[float, ...]
    goal: float | None

    @property
    def ratios(self) -> list[float]:
        """Ours over the other's of each round, smallest first."""
        return sorted(a / max(b, 1e-9) for a, b in zip(self.ours, self.other, strict=True))

    @property
    def value(self) -> float:
        """Median of the rounds' ratios: two that follow each other share what else the machine does."""
        return statistics.median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """Between these ratios of rounds the true median lies in 93 % of cases or more (from five rounds on).

        It lies below the k-th smallest only where fewer than k fair coins out of all fall one way.
        """
        outer = max(int(binom.ppf(0.035, len(self.ratios), 0.5)) - 1, 0)
        return self.ratios[outer], self.ratios[-1 - outer]

    def __str__(self) -> str:
        verdict = ""
        low, high = self.interval
        if self.goal is not None:
            told = "met" if high <= self.goal else "NOT MET" if low > self.goal else "inconclusive"
            verdict = f"  goal <= {self.goal:g}: {told}"
        return (
            f"{self.name:<58} {self.value:6.2f}x  ({statistics.median(self.ours):.3f} / "
            f"{statistics.median(self.other):.3f} CPU-s, {low:.2f} to {high:.2f} of {len(self.ours)} rounds)"
            f"{verdict}"
        )


def compare(
    name: str,
    ours: Callable[[], object],
    other: Callable[[], object],
    goal: float | None = None,
    rounds: int = 5,
) -> Ratio:
    """Run both in turns, once to warm up and then `rounds` times."""
    ours(), other()
    pairs = [(_cpu(ours), _cpu(other)) for _ in range(rounds)]
    mine, theirs = zip(*pairs, strict=True)
    ratio = Ratio(name, mine, theirs, goal)
    print(ratio, flush=True)
    return ratio


def run(*words: str | Path, cwd: Path) -> None:
    """A command in a process of its own, its output dropped; CalledProcessError where it fails.

    Its modules are compiled once, as those of an installed package are, whatever the environment says.
    """
    command = [sys.executable, *map(str, words)]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, check=True, cwd=cwd, env=kept, **silent)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Usage:
    """CPU seconds of a Python process with all its threads, and MiB that it needed at most."""

    seconds: float
    memory: int


def measure(words: Sequence[str | Path], cwd: Path | None = None) -> Usage:
    """What a Python process takes; `ru_maxrss` would begin at the size of this one."""
    script = (
        "import pathlib, runpy, sys, time; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__'); "
        "print(time.process_time(), "
        "int(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], check=True, capture_output=True, text=True, cwd=cwd
    )
    seconds, memory = done.stdout.split()[-2:]
    return Usage(float(seconds), int(memory))


def load() -> str:
    """The machine, and what else it was doing."""
    return f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"


def _cpu(work: Callable[[], object]) -> float:
    before = _used()
    work()
    return _used() - before


def _used() -> float:
    """CPU seconds of this process and of the children that it waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)
