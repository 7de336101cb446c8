"""Findings as numbered sentences."""

from __future__ import annotations

import shlex

from auditor.questions.findings.record import Findings
from auditor.report.findings import Finding
from auditor.report.views import Rows, View

_NOTHING = "Nothing that the number of images supports."


def view_findings(answer: Findings) -> View:
    """A number for each class, a sentence and the command that goes deeper for each finding."""
    subjects = list(dict.fromkeys(each.subject for each in answer.findings))
    lines = [_line(subjects.index(each.subject) + 1, each, answer.index) for each in answer.findings]
    notes = (*(lines or [_NOTHING]), *answer.notes)
    return View("Findings", notes=notes, rows=Rows(Finding, answer.findings))


VIEWS = {Findings: view_findings}


def _line(number: int, finding: Finding, index: str) -> str:
    question, *words = finding.words
    command = shlex.join(("audit", question, "--index", index, *words))
    return f"{number}. {finding.sentence} Look closer: {command}"
