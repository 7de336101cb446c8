"""Marks and what they follow, as a table."""

from __future__ import annotations

from auditor.questions.artifacts.record import Artifacts, Mark, Tie
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, bounded_entry, metric_entry, rate_entry
from auditor.report.text import plural
from auditor.report.views import Rows, View

_LEAD = (
    "Groups of like cells whose images have a value in common. A class's own object follows its label too: "
    "it is the place that tells them apart, so marks that are fixed to a place come first."
)


def view_artifacts(answer: Artifacts) -> View:
    """A row for each mark, what it follows most certainly in front."""
    shuffles = len(answer.by_chance)
    note = (
        f"{plural(len(answer.marks), 'mark')} of {plural(answer.groups, 'group')} of cells at q below "
        f"{answer.level}, tested against {', '.join(answer.columns)}. With exchanged values {shuffles} runs "
        f"had {plural(sum(answer.by_chance), 'mark')}."
    )
    rows = Rows(Mark, answer.marks)
    if not answer.marks:
        return View("Artifacts", lead=_LEAD, notes=(note,), rows=rows)
    marks, ties = metrics_of(Mark), metrics_of(Tie)
    columns = (
        Column("Cell", is_number=False),
        Column("Follows", is_number=False),
        Column(f"{ties['images'].title} %", True, ties["images"].definition),
        Column("elsewhere %", True, ties["elsewhere"].definition),
        *(Column(ties[name].title, True, ties[name].definition) for name in ("odds", "q_value")),
        Column(marks["position"].title, True, marks["position"].definition),
    )
    caption = "Marks by their place and what they follow"
    table = Table(caption, columns, tuple(map(_row, answer.marks)), (note,), ends=(20, 0))
    return View("Artifacts", (table,), _LEAD, rows=rows)


VIEWS = {Artifacts: view_artifacts}


def _row(mark: Mark) -> tuple[Entry, ...]:
    tie = mark.ties[0]
    others = ", ".join(map(str, mark.ties[1:]))
    return (
        Entry(mark.exemplars[0], f"{plural(mark.cells, 'cell')}, {plural(mark.images, 'image')}"),
        Entry(str(tie), others and f"also {others}"),
        bounded_entry(tie.images, tie.interval),
        rate_entry(tie.elsewhere),
        metric_entry(tie.odds, "factor"),
        metric_entry(tie.q_value, "chance"),
        metric_entry(mark.position, "factor"),
    )
