"""`audit similar`: where else is what this cell shows?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

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
    class_: Annotated[
        str | None,
        typer.Option("--class", "-c", metavar="CLASS", help="Images of a class, by id, name or synset."),
    ] = None,
    not_class: Annotated[
        str | None, typer.Option("--not-class", metavar="CLASS", help="Images of any other class.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Images of a split.")] = None,
    place: Annotated[
        Literal["foreground", "background"] | None,
        typer.Option(help="Cells on an object, or on none, of annotated images."),
    ] = None,
    others: Annotated[bool, typer.Option("--others", hidden=True)] = False,  # what is now always so
) -> Similar:
    """Find the cells that are most similar to one cell: in other images, the best of each.

    Example: audit similar --patch img.jpg:3,4 --not-class tabby
    """
    from auditor.questions.similar import ask
    from auditor.search.only import Only

    image, row, col = parse_cell(patch)
    only = Only(class_, not_class, split, place)
    return ask.similar(index, image, row, col, k=top, same=same, per_image=per_image, only=only)
