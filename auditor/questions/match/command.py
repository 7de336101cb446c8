"""`audit match`: which cells of two images make them alike?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.terminal.options import Count
from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.match.record import Match
    from auditor.store import Index


@question(draws=True)
def match(
    index: Index,
    a: Annotated[str, typer.Argument(help="An indexed image, or an image file.", show_default=False)],
    b: Annotated[str, typer.Argument(help="Another one.", show_default=False)],
    top: Count = 20,
    mutual: Annotated[
        bool, typer.Option("--mutual", help="Only pairs in which each cell is the other's nearest.")
    ] = False,
) -> Match:
    """Join the most similar cells of two images, with their shares of the similarity (Figure 9).

    Example: audit match a.jpg b.jpg
    """
    from auditor.questions.match import ask

    return ask.match(index, a, b, k=top, only_mutual=mutual)
