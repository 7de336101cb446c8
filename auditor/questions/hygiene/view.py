"""Checks, and the numbers that they were made of, as tables."""

from __future__ import annotations

from auditor.questions.hygiene.record import Check, Hygiene
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, columns_of, metric_entry
from auditor.report.views import Rows, View

_LEAD = (
    "Whether the cells carry the class, by themselves, and nothing that only looks like content: cells that "
    "are worth reading say what is in them. Each number stands beside what would be there anyway."
)
_TITLES = {
    "class": "Cells say the class",
    "rank": "The class is ahead in them",
    "context": "Cells stand by themselves",
    "norms": "No cell shouts",
    "place": "Cells do not know their place",
}
_VERDICTS = {True: "pass", False: "fail", None: "not judged"}
_NULLS = {
    "share": "share_shuffled",
    "rank": "rank_by_chance",
    "same_place": "mirrored_place",
    "survives": "survives_elsewhere",
    "reach": "reach_asked",
}
"""What stands beside each number."""


def view_hygiene(answer: Hygiene) -> View:
    """The verdict, check by check, then the numbers."""
    tables = (_tabulate_checks(answer), _tabulate_numbers(answer))
    flagged = ", ".join(answer.high_norm_cells)
    notes = (answer.sentence, *([f"Far longer than the others: {flagged}."] if flagged else []))
    return View("Hygiene", tables, _LEAD, notes, rows=Rows(Check, answer.checks))


VIEWS = {Hygiene: view_hygiene}


def _tabulate_checks(answer: Hygiene) -> Table:
    rows = tuple(
        (Entry(_TITLES[check.name]), Entry(_VERDICTS[check.passes]), Entry(check.sentence))
        for check in answer.checks
    )
    return Table("Checks", columns_of("Check|Verdict|Because", ""), rows)


def _tabulate_numbers(answer: Hygiene) -> Table:
    metrics = metrics_of(Hygiene)
    columns = (Column("Number", is_number=False), Column("Measured"), Column("Beside it"), Column("of it"))
    rows = []
    for name, metric in metrics.items():
        value = getattr(answer, name)
        if value is None or name in _NULLS.values():
            continue
        null = metrics.get(_NULLS.get(name, ""))
        beside = Entry("") if null is None else metric_entry(getattr(answer, _NULLS[name]), null.unit)
        what = Entry("" if null is None else null.title)
        rows.append((Entry(metric.title), metric_entry(value, metric.unit), beside, what))
    return Table("Numbers, rates in percent", columns, tuple(rows))
