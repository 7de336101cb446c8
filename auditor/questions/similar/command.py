"""`audit similar`: where else is what this cell shows?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.grids import parse_cell
from auditor.terminal.options import Count
from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.similar.record import Similar
    from auditor.store import Index


@question(draws=True)
def similar(
    index: Index,
    patch: Annotated[
        str, typer.Option("--patch", "-p", metavar="IMAGE:ROW,COL", help="The cell to start from.")
    ],
    top: Count = 20,
    same: Annotated[bool, typer.Option("--same", help="Cells of the same image as well.")] = False,
    per_image: Annotated[
        int, typer.Option("--per-image", min=0, help="At most so many cells of each image; 0: no limit.")
    ] = 1,
    others: Annotated[bool, typer.Option("--others", hidden=True)] = False,  # what is now always so
) -> Similar:
    """Find the cells that are most similar to one cell: in other images, the best of each.

    Example: audit similar --patch img.jpg:3,4
    """
    from auditor.questions.similar import ask

    image, row, col = parse_cell(patch)
    return ask.similar(index, image, row, col, k=top, same=same, per_image=per_image)
