"""Contexts and the classes that they fire, as two tables."""

from __future__ import annotations

from dataclasses import replace

from auditor.questions.shortcuts.record import ClassShortcut, Context, Shortcuts, certain, shown
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, bounded_entry, chance_entry, metric_entry, rate_entry
from auditor.report.text import NO_DATA, plural, share
from auditor.report.views import Rows, View

_LEAD = (
    "Background cells that say a class with the objects and with all of them covered, by groups of like "
    "ones. Free cells are counted, which touch no object: beside one, its outline is seen even where it is "
    "covered. Classes are ranked by Shortcut; one of a single image never leads."
)


def view_shortcuts(answer: Shortcuts) -> View:
    """The contexts, then the classes."""
    rows = Rows(Context, answer.contexts)
    classes = tuple(row for row in answer.classes if row.stays.hits)
    notes = (_tell(answer), *([f"No share of a logit: {answer.reason}"] if answer.reason else []))
    if not classes:
        return View("Shortcuts", lead=_LEAD, notes=notes, rows=rows)
    caption = "Contexts that fire a class" if certain(answer) else "Candidates: of none is it certain"
    contexts = _tabulate(Context, "images|elsewhere|logit_share|q_value")
    ranking = _tabulate(ClassShortcut, "expected|stays|logit_share")
    tables = (
        replace(contexts, caption=caption, rows=tuple(map(_context, shown(answer)))),
        replace(
            ranking, caption="Classes by how often their background fires", rows=tuple(map(_class, classes))
        ),
    )
    return View("Shortcuts", tables, _LEAD, notes, rows=rows)


VIEWS = {Shortcuts: view_shortcuts}


def _tabulate(kind: type, names: str) -> Table:
    metrics = metrics_of(kind)
    percents = {name: "" if metrics[name].unit == "chance" else " %" for name in names.split("|")}
    columns = (
        Column(f"{metrics[name].title}{unit}", True, metrics[name].definition)
        for name, unit in percents.items()
    )
    return Table("", (Column("Class", is_number=False), *columns), (), ends=(20, 0))


def _context(row: Context) -> tuple[Entry, ...]:
    return (
        Entry(row.name, f"{row.exemplars[0]}, {plural(row.cells, 'cell')}"),
        bounded_entry(row.images, row.interval),
        rate_entry(row.elsewhere),
        Entry(share(row.logit_share)),
        metric_entry(row.q_value, "chance"),
    )


def _class(row: ClassShortcut) -> tuple[Entry, ...]:
    expected = NO_DATA if row.expected is None else share(row.expected)
    return (
        Entry(row.name, f"#{row.label}, {plural(row.images, 'image')}"),
        Entry(expected),
        chance_entry(rate_entry(row.stays), row.chance),
        Entry(share(row.logit_share)),
    )


def _tell(answer: Shortcuts) -> str:
    many, runs = len(certain(answer)), len(answer.by_chance)
    found = sum(answer.by_chance)
    return (
        f"{many} of {plural(len(answer.contexts), 'context')} certain (q below {answer.level}), in "
        f"{plural(answer.images, 'labelled image')} with free cells. With exchanged labels {runs} runs had "
        f"{found}."
    )
