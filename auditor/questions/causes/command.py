"""`audit causes`: why is each wrong image wrong?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.causes.record import Causes
    from auditor.store import Index


@question(draws=True)
def causes(index: Index) -> Causes:
    """Give every wrong image its cause: label suspect, competing object, background-driven, diluted, absent.

    The first that holds, in this order; beside each how often it would be found with exchanged labels.

    Example: audit causes --table wrong.csv
    """
    from auditor.questions.causes import ask

    return ask.causes(index)
