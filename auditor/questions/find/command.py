"""`audit find`: where else is this region?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.grids import parse_box
from auditor.terminal.options import Count
from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.find.record import Find
    from auditor.records.watch import Watch
    from auditor.store import Index


@question(draws=True)
def find(
    index: Index,
    watch: Watch,
    box: Annotated[
        str,
        typer.Option(
            "--box",
            "-b",
            metavar="IMAGE:X,Y,W,H",
            help="Left, top, width and height in pixels of an indexed image, or of an image file.",
        ),
    ],
    top: Count = 20,
    background: Annotated[
        bool, typer.Option("--background", help="Only cells on no object, of annotated images.")
    ] = False,
) -> Find:
    """Find the images that show what a box of one image shows, the most alike first.

    The cells under the box are looked for one by one, wherever they are in the other image.

    Example: audit find --box img.jpg:40,0,120,80
    """
    from auditor.questions.find import ask

    image, corners = parse_box(box)
    return ask.find(index, image, corners, k=top, background=background, watch=watch)
