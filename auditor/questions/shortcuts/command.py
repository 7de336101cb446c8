"""`audit shortcuts`: which contexts fire a class?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.shortcuts.record import Shortcuts
    from auditor.records.watch import Watch
    from auditor.store import Index


@question(draws=True)
def shortcuts(
    index: Index,
    watch: Watch,
    seed: Annotated[int, typer.Option(help="Of the contexts and the exchanges of labels.")] = 0,
) -> Shortcuts:
    """Find the backgrounds that say a class even where every object is covered, and their share of its logit.

    Classes are ranked by how often that happens beyond chance, shrunk where there are few images.

    Example: audit shortcuts --table contexts.csv
    """
    from auditor.questions.shortcuts import ask

    return ask.shortcuts(index, seed=seed, watch=watch)
