"""The command line: parse, call one function, show what came back."""

from __future__ import annotations

from typing import Any

from auditor.terminal.endings import run


def main() -> None:
    """Run `audit`; how it ends, and with which exit code, is told in `auditor.terminal.endings`."""
    run(_start)


def _start() -> Any:
    from auditor.cli.app import app

    return app(standalone_mode=False, prog_name="audit")
