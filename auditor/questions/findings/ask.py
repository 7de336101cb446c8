"""Every question that an index answers by itself is asked what it found."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.errors import AuditError
from auditor.questions import Question, all_questions
from auditor.questions.findings.record import Findings
from auditor.report.findings import Finding
from auditor.report.wish import Answer, Wish
from auditor.store import Index

MOST = 7  # classes: a list that nobody reads to its end hides what leads it


def findings(index: Index) -> Findings:
    """What is supported by its interval, at most `MOST` classes; a reason where a question cannot be asked.

    A question takes part by a function `findings(index) -> Iterator[Finding]` in its `ask.py`.
    """
    has_head = index.manifest.head.name != "none"
    gathered: list[Finding] = []
    notes: list[str] = []
    for question in all_questions():
        if question.name != "findings" and not question.needs_model and (has_head or not question.of_classes):
            _gather(index, question, gathered, notes)
    strongest: dict[str, float] = {}
    for each in gathered:
        strongest[each.subject] = max(each.strength, strongest.get(each.subject, each.strength))
    subjects = sorted(strongest, key=lambda subject: -strongest[subject])[:MOST]
    kept = [each for each in gathered if each.subject in subjects]
    kept.sort(key=lambda each: (subjects.index(each.subject), -each.strength))
    return Findings(index.name, tuple(kept), tuple(notes))


def _gather(index: Index, question: Question, gathered: list[Finding], notes: list[str]) -> None:
    ask = question.load("ask")
    if not hasattr(ask, "findings"):
        return
    try:
        gathered += ask.findings(index)
    except AuditError as reason:
        notes.append(f"{question.title}: {reason}")


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: all of them, first."""
    yield Answer(findings(index))
