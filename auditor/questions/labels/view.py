"""Missing and wrong labels as tables."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.questions.labels.record import Labels, MissingLabel, WrongLabel
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, metric_entry, rate_entry
from auditor.report.text import plural
from auditor.report.views import Rows, View

_LEAD = (
    "Classes that win connected cells of an image that is not labelled so, and labels whose object another "
    "class wins. Certain is what survives the covering of the labelled objects and scores like "
    "given labels, or is a label suspect of audit causes, and whose nearest labelled cells elsewhere agree."
)


def view_labels(answer: Labels) -> View:
    """Missing labels, then wrong ones, best first."""
    tables = (_tabulate_missing(answer), _tabulate_wrong(answer))
    shown = tuple(table for table in tables if table.rows)
    empty = tuple(note for table in tables if not table.rows for note in table.notes)
    return View("Labels", shown, _LEAD, notes=empty, rows=Rows(MissingLabel, answer.missing))


VIEWS = {Labels: view_labels}


def _note(answer: Labels, what: str, rows: tuple[MissingLabel, ...] | tuple[WrongLabel, ...]) -> str:
    by_chance: tuple[int, ...] = getattr(answer, f"{what}_by_chance")
    certain = sum(row.is_certain for row in rows)
    whose = "by heads that did not see the image" if answer.out_of_fold else "by a head trained elsewhere"
    return (
        f"{certain:,} certain at q below {answer.level}, of {len(rows):,} listed in "
        f"{plural(answer.images, 'image')} (scored {whose}). With labels exchanged {len(by_chance)} runs had "
        f"{sum(by_chance) / max(len(by_chance), 1):.1f} on average, {max(by_chance, default=0)} at most."
    )


def _columns(kind: type, *names: str) -> Iterator[Column]:
    metrics = metrics_of(kind)
    yield from (Column(metrics[name].title, True, metrics[name].definition) for name in names)


def _tabulate_missing(answer: Labels) -> Table:
    columns = (
        *(Column(name, is_number=False) for name in ("Image", "Not labelled")),
        *_columns(MissingLabel, "cells", "score"),
        Column("Survives", is_number=False),
        *_columns(MissingLabel, "agree", "q_value"),
        Column("Certain", is_number=False),
    )
    body = tuple(
        (
            Entry(row.path, f"cell {row.cell.rpartition(':')[2]}"),
            Entry(row.name),
            metric_entry(row.cells, "count"),
            Entry(f"{row.score:.3f}"),
            Entry("yes" if row.survives else "no"),
            rate_entry(row.agree),
            metric_entry(row.q_value, "chance"),
            Entry("yes" if row.is_certain else ""),
        )
        for row in answer.missing
    )
    notes = (_note(answer, "missing", answer.missing),)
    return Table("Missing labels: classes in the image and not in the label", columns, body, notes, (20, 0))


def _tabulate_wrong(answer: Labels) -> Table:
    columns = (
        *(Column(name, is_number=False) for name in ("Image", "Labelled", "Looks like")),
        *_columns(WrongLabel, "score"),
        Column("Suspect", is_number=False),
        *_columns(WrongLabel, "agree", "q_value"),
        Column("Certain", is_number=False),
    )
    body = tuple(
        (
            Entry(row.path, f"cell {row.cell.rpartition(':')[2]}"),
            Entry(row.name),
            Entry(row.suggested_name),
            Entry(f"{100 * row.score:.1f}"),
            Entry("yes" if row.is_suspect else "no"),
            rate_entry(row.agree),
            metric_entry(row.q_value, "chance"),
            Entry("yes" if row.is_certain else ""),
        )
        for row in answer.wrong
    )
    notes = (_note(answer, "wrong", answer.wrong),)
    return Table("Labels that their own object speaks against", columns, body, notes, (20, 0))
