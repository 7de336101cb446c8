"""The command line: parse, call one function, show what came back."""

from __future__ import annotations

import signal
import sys
from typing import Any

from auditor.errors import AuditError


class Stopped(BaseException):
    """Ctrl-C; not KeyboardInterrupt, which the command-line library keeps to itself."""


def main() -> None:
    """Run `audit`: exit 1 on an error of audit's own, 2 on wrong usage, 130 when interrupted."""
    from auditor.cli.app import app

    signal.signal(signal.SIGINT, _stop)
    try:
        app(prog_name="audit")  # also as python -m auditor
    except AuditError as error:
        print(f"audit: {error}", file=sys.stderr)
        sys.exit(1)
    except Stopped:
        print("audit: stopped; what was finished is kept, run the same command to go on", file=sys.stderr)
        sys.exit(130)


def _stop(number: int, frame: Any) -> None:
    raise Stopped
