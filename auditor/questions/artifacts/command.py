"""`audit artifacts`: which marks follow a label, a split, a source?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.artifacts.record import Artifacts
    from auditor.store import Index


@question(draws=True)
def artifacts(
    index: Index,
    seed: Annotated[int, typer.Option(help="Of the groups and the shuffles.")] = 0,
) -> Artifacts:
    """Find groups of like cells that follow a label, a split or any column of metadata.

    Images are counted, never cells. It needs no annotations and no classifier.

    Example: audit artifacts --table marks.csv
    """
    from auditor.questions.artifacts import ask

    return ask.artifacts(index, seed=seed)
