"""`audit report`: the answers of one index on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auditor.terminal.lines import say
from auditor.terminal.options import REPORTS, IndexName, open_index
from auditor.terminal.progress import Bar


def report(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="reports/INDEX.html when not given.")
    ] = None,
    patch: Annotated[
        list[str] | None,
        typer.Option("--patch", metavar="IMAGE:ROW,COL", help="Also its similar cells; repeatable."),
    ] = None,
    classes: Annotated[int, typer.Option(min=0, help="Classes to show image by image.")] = 3,
    images: Annotated[int, typer.Option(min=0, help="Prediction grids to show.")] = 4,
    live: Annotated[
        bool,
        typer.Option("--live", help="Also what needs the backbone again, for one image; takes a minute."),
    ] = False,
    index: IndexName = None,
) -> None:
    """Write one self-contained HTML page of what the index answers, in the order of the paper.

    With --live also one image occluded, inpainted, explained and attacked, and its class under other fills.

    Example: audit report --patch img.jpg:3,4
    """
    from auditor.cli.page import compose
    from auditor.report.about import describe
    from auditor.report.page import write_page
    from auditor.report.page_parts import Wish

    wish = Wish(tuple(patch or ()), classes, images)
    with open_index(index) as opened:
        path = out or REPORTS / f"{opened.name}.html"
        with Bar("questions") as bar:
            page = compose(opened, wish, is_live=live, bar=bar)
        write_page(path, page)
        say(describe(opened.summary()))
    say(f"report: {path}")
