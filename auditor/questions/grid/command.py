"""`audit grid`: the class of every cell of an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.grid.record import PredictionGrid
    from auditor.store import Index


@question(draws=True)
def grid(
    index: Index,
    images: Annotated[list[str], typer.Argument(help="Indexed images, or image files.", show_default=False)],
) -> Iterator[PredictionGrid]:
    """Draw the class predicted in every cell over an image (Figure 0).

    Example: audit grid img.jpg
    """
    from auditor.questions.grid import ask

    for image in images:
        yield ask.grid(index, image)
