"""`audit report`: the answers of one index on one page."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from auditor.terminal.lines import say
from auditor.terminal.options import REPORTS, open_index
from auditor.terminal.progress import Bar


def report(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="reports/INDEX.html when not given.")
    ] = None,
    patch: Annotated[
        list[str] | None,
        typer.Option("--patch", metavar="IMAGE:ROW,COL", help="Also its similar cells; repeatable."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Every image: a page beside its data, instead of one file."),
    ] = None,
    max_mb: Annotated[
        int,
        typer.Option("--max-mb", min=1, help="Megabytes of the one file: images fill what room there is."),
    ] = 25,
    live: Annotated[
        bool,
        typer.Option("--live", help="Also what needs the backbone again, for one image; takes a minute."),
    ] = False,
    index: Annotated[
        list[str] | None,
        typer.Option("--index", "-i", metavar="NAME", help="Repeatable: others are compared with the first."),
    ] = None,
) -> None:
    """Write one HTML page that opens from disk: findings, classes, images, the map, curves.

    With --live also one image occluded, inpainted, explained and attacked, and its class under other fills.

    Example: audit report --patch img.jpg:3,4
    """
    from auditor.page.compose import compose
    from auditor.page.folder import PAGE, write_folder
    from auditor.report.about import describe
    from auditor.report.page import write_page
    from auditor.report.wish import Wish

    if folder and out:
        raise typer.BadParameter("--out names one file, --folder a folder: give one of them")
    wish = Wish(tuple(patch or ()))
    names = index or []
    with ExitStack() as stack:
        opened = stack.enter_context(open_index(names[0] if names else None))
        compared = [stack.enter_context(open_index(name)) for name in names[1:]]
        path = folder / PAGE if folder else out or REPORTS / f"{opened.name}.html"
        with Bar("questions") as bar:
            if folder:
                write_folder(folder, opened, wish, is_live=live, bar=bar, others=compared)
            else:
                page = compose(opened, wish, is_live=live, bar=bar, megabytes=max_mb, others=compared)
                write_page(path, page)
        say(describe(opened.summary()))
    say(f"report: {path}")
