"""`audit findings`: what is wrong here?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.findings.record import Findings
    from auditor.store import Index


@question()
def findings(index: Index) -> Findings:
    """Say what the index supports of shortcuts and unlabelled marks, in a few sentences, the strongest first.

    Marks need the map: audit map makes it.

    Example: audit findings
    """
    from auditor.questions.findings import ask

    return ask.findings(index)
