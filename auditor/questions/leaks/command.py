"""`audit leaks`: do train and test share places, cameras, slides?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.leaks.record import Leaks
    from auditor.records.watch import Watch
    from auditor.store import Index


@question(draws=True)
def leaks(
    index: Index,
    watch: Watch,
    seed: Annotated[int, typer.Option(help="Of the images compared and the splits drawn at random.")] = 0,
) -> Leaks:
    """Find files, near duplicates and places that one split shares with another.

    Of a place the background is compared, where it is annotated, so that other objects may stand in it.

    Example: audit leaks --table shared.csv
    """
    from auditor.questions.leaks import ask

    return ask.leaks(index, seed=seed, watch=watch)
