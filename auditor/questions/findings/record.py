"""What the questions of an index found, the strongest first."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.report.findings import Finding
from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class Findings(Record):
    """`audit findings`: by class, that of the strongest finding first; and why a question had none."""

    index: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
