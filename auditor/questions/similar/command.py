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
    others: Annotated[bool, typer.Option("--others", help="Leave out cells of the same image.")] = False,
) -> Similar:
    """Find the cells of the whole dataset that are most similar to one cell.

    Example: audit similar --patch img.jpg:3,4
    """
    from auditor.questions.similar import ask

    image, row, col = parse_cell(patch)
    return ask.similar(index, image, row, col, k=top, other_images_only=others)
