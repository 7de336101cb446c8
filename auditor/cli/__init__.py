"""The command line: parse, call one function, show what came back."""

from __future__ import annotations

import os
import sys
from typing import Any

from auditor.terminal.endings import run


def main() -> None:
    """Run `audit`; how it ends, and with which exit code, is told in `auditor.terminal.endings`."""
    if sys.getfilesystemencoding() != "utf-8" and sys.executable:
        # an old locale's, in which names are no text to DuckDB; Python 3.15 takes UTF-8 whatever the locale
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    run(_start)


def _start() -> Any:
    from auditor.cli.app import app

    return app(standalone_mode=False, prog_name="audit")
