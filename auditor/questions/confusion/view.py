"""Confused pairs, and classes by accuracy with their rival, as tables."""

from __future__ import annotations

from auditor.questions.confusion.record import ClassAccuracy, ConfusedPair, Confusion
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, bounded_entry, rate_entry
from auditor.report.text import NO_DATA, percent, plural
from auditor.report.views import Rows, View

_LEAD = (
    "Which class is taken for which. The rival is the class that a class's own cells show most besides its "
    "labels: where it is also what the image is taken for, the object itself looks like it; where it is not, "
    "look at the surroundings."
)


def view_confusion(confusion: Confusion) -> View:
    """Pairs first, the commonest on top; then every class, the least accurate on top."""
    pairs = (_tabulate_pairs(confusion),) if confusion.pairs else ()
    rows = Rows(ConfusedPair, confusion.pairs)
    return View("Confusion", (*pairs, _tabulate_classes(confusion)), _LEAD, rows=rows)


VIEWS = {Confusion: view_confusion}


def _column(kind: type, field: str, suffix: str = "") -> Column:
    metric = metrics_of(kind)[field]
    return Column(f"{metric.title}{suffix}", True, metric.definition)


def _tabulate_pairs(confusion: Confusion) -> Table:
    columns = (
        Column("Class", is_number=False),
        Column("Taken for", is_number=False),
        _column(ConfusedPair, "images", " % (95 %)"),
    )
    rows = tuple(
        (
            Entry(pair.name, f"#{pair.label}"),
            Entry(pair.predicted_name, f"#{pair.predicted}"),
            bounded_entry(pair.images, pair.interval),
        )
        for pair in confusion.pairs
    )
    return Table("Pairs of classes that whole images confuse", columns, rows, ends=(20, 0))


def _tabulate_classes(confusion: Confusion) -> Table:
    columns = (
        Column("Class", is_number=False),
        _column(ClassAccuracy, "top1", " % (95 %)"),
        Column("Cells' rival", is_number=False),
        _column(ClassAccuracy, "rival_cells", " %"),
    )
    rows = tuple(
        (
            Entry(row.name, f"#{row.label}, {plural(row.top1.total, 'image')}"),
            bounded_entry(row.top1, row.interval),
            Entry(row.rival_name or NO_DATA),
            rate_entry(row.rival_cells),
        )
        for row in confusion.classes
    )
    note = (
        f"{percent(confusion.top1)} % of {plural(confusion.images, 'image')} are taken for their label; "
        f"{plural(len(confusion.pairs), 'pair')} of classes are confused."
    )
    caption = "Classes by accuracy, with the class that their cells show besides"
    return Table(caption, columns, rows, (note,), ends=(20, 10))
