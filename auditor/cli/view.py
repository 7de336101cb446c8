"""`audit view`: the page of one index, live."""

from __future__ import annotations

from typing import Annotated

import typer

from auditor.errors import AuditError
from auditor.terminal.lines import say
from auditor.terminal.options import IndexName, open_index
from auditor.terminal.progress import Bar


def view(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    index: IndexName = None,
) -> None:
    """Serve the page on this machine: every image and its nearest cells in the whole index, until Ctrl-C.

    Example: audit view
    """
    from auditor.page.live import Live

    try:
        from auditor.page.serve import Server
    except ImportError as missing:
        raise AuditError(
            f"audit view needs {missing.name}, installed with: pip install 'auditor[view]'"
        ) from missing
    with open_index(index) as opened:
        with Bar("questions") as bar:
            server = Server(Live(opened), port, bar)
        say(f"open {server.address}", at_once=True)
        server.run()
