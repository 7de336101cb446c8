r"""The one way to a terminal: no name and no message that is shown there is ever obeyed by it.

Whatever audit prints goes through here: control characters, escape codes, bidirectional overrides and bytes
that are no text stand there as \x1b or \u202e. tests/test_terminal_text.py holds that nobody prints past it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from auditor.report.visible import visible

if TYPE_CHECKING:
    from rich.text import Text


def shown(text: object, style: str = "") -> Text:
    """Text that rich prints as it is: no markup, no escape codes, one line."""
    from rich.text import Text

    return Text(visible(str(text)), style=style)


def say(text: object) -> None:
    """A line on standard output, never broken."""
    print(visible(str(text)))


def say_json(text: str) -> None:
    """JSON on standard output: ASCII, in which every control character but one is written out anyhow."""
    print(text.replace("\x7f", "\\u007f"))


def warn(*lines: object) -> None:
    """A sentence on standard error, and the lines below it; nothing where nobody takes them."""
    first, *more = lines or ("",)
    with suppress(OSError, ValueError):  # standard error may be closed
        for line in (f"audit: {first}", *more):
            print(visible(str(line)), file=sys.stderr, flush=True)


def confirm(question: object) -> None:
    """Ask on standard error, and end the command unless the answer is yes."""
    typer.confirm(visible(str(question)), abort=True, err=True)
