"""`audit confusion`: which classes are taken for which?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.confusion.record import Confusion
    from auditor.store import Index


@question(draws=True)
def confusion(index: Index) -> Confusion:
    """Show which classes are taken for which, each class's accuracy, and the rival that its cells show.

    Example: audit confusion --table pairs.csv
    """
    from auditor.questions.confusion import ask

    return ask.confusion(index)
