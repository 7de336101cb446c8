"""`audit relevance`: the pixels that one cell's score came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.grids import parse_cell
from auditor.terminal.options import Subject
from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.relevance.record import Relevance
    from auditor.store import Index


@question(draws=True)
def relevance(
    index: Index,
    image: Subject,
    cell: Annotated[str, typer.Option("--cell", metavar="ROW,COL", help="The cell to explain.")],
    class_: Annotated[
        str | None, typer.Option("--class", "-c", metavar="K", help="The cell's own top-1 when not given.")
    ] = None,
) -> Relevance:
    """Send one cell's score back to the pixels it came from: layer-wise relevance propagation (Figure 8).

    For networks of convolutions, dense layers, softmax attention, gates and the usual norms; any other
    operation is refused by its name. LRP is patented for commercial use, its authors say.

    Example: audit relevance img.jpg --cell 3,4
    """
    from auditor.measure.images import find_class
    from auditor.questions.relevance import ask

    _, row, col = parse_cell(f"{image}:{cell}")
    label = None if class_ is None else find_class(index, class_)
    return ask.relevance(index, image, row, col, label)
