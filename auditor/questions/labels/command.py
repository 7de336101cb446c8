"""`audit labels`: what is in the image and not in the label, and which labels are wrong?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.labels.record import Labels
    from auditor.records.watch import Watch
    from auditor.store import Index


@question(draws=True)
def labels(index: Index, watch: Watch) -> Labels:
    """List classes that images show and are not labelled with, and labels that are likely wrong.

    Regions of cells that a class wins, that survive the covering of the labelled objects, and whose nearest
    labelled cells in other images agree; beside it what exchanged labels would give.

    Example: audit labels --table missing.csv
    """
    from auditor.questions.labels import ask

    return ask.labels(index, watch=watch)
