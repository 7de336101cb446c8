"""`audit hygiene`: are this backbone's cells worth reading?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.hygiene.record import Hygiene
    from auditor.store import Index


@question(draws=True)
def hygiene(index: Index) -> Hygiene:
    """Are this backbone's cells worth reading? One verdict, measured on the index's own cells.

    Whether they carry the class, by themselves, and neither shout nor tell where they are.

    Example: audit hygiene --index val-deit
    """
    from auditor.questions.hygiene import ask

    return ask.hygiene(index)
