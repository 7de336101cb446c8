"""`audit view`: the page of one index, live."""

from __future__ import annotations

from typing import Annotated

import typer

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
    from auditor.page.serve import Server

    with open_index(index) as opened:
        with Bar("questions") as bar:
            server = Server(Live(opened), port, bar)
        say(f"open {server.address}", at_once=True)
        with server:
            server.serve_forever()
