"""Delta under every fill and, where a placebo was laid, whose doing it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditor.questions.fills.record import FillRow, FillTable, Placebo
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, columns_of, metric_entry
from auditor.report.text import NO_DATA, plural
from auditor.report.views import Rows, View

_FIRST = 20  # classes that a console shows
_LEAD = (
    "Occlusion is itself a change of the image. Does Delta hold under other fills, and is it larger than "
    "what the same shape does when it covers only background (A.6)?"
)
_NOTE = (
    "Delta in points: BG Act. (w/o FG) - BG Act.; Delta at least: the lower end of its 95 % interval. q: "
    "exact McNemar test, corrected over {family} of the index under the same fill (Benjamini-Hochberg); all "
    "classes together are one test."
)
_PLACEBO_NOTE = (
    "*: over the cells that neither the foreground nor its placebo (the same shape, moved to background) "
    "touches, in the images where it fits. q*: are the two masks told apart? Corrected over the classes "
    "asked, under the same fill. Below it: images that show the class with the object covered only, and with "
    "the placebo only. Mark: object, they are told apart (q* < 0.05): not just any mask gives Delta; mask, "
    "they are not, and the placebo gives at least half of Delta: it is the mask's doing; unclear, neither."
)


def view_fills(table: FillTable) -> View:
    """A row per class and fill."""
    has_placebo = any(row.placebo for row in table.rows)
    columns = (*columns_of("Class|Fill", ""), *_columns(FillRow))
    if has_placebo:
        columns = (*columns, *_columns(Placebo), Column("Mark", is_number=False))
    kept = table.labels if table.shows_all else table.judged[: _FIRST + (None in table.judged)]
    note = _NOTE.format(family=plural(table.family, "class", "classes"))
    body = Table(
        "Delta under every fill, in percent, with the counts behind it",
        columns,
        tuple(_row(row) for row in table.rows if row.label in kept),
        (*_left_out(table, kept), note, *([_PLACEBO_NOTE] if has_placebo else [])),
    )
    return View(
        "Delta under other fills, and under a placebo", (body,), _LEAD, rows=Rows(FillRow, table.rows)
    )


VIEWS = {FillTable: view_fills}


def _left_out(table: FillTable, kept: Sequence[int | None]) -> Iterator[str]:
    """How many classes are not shown, and of how many nothing can be said."""
    unjudged, left = len(table.labels) - len(table.judged), len(table.labels) - len(kept)
    if unjudged:
        yield f"{plural(unjudged, 'class', 'classes')} with one image with background cannot be judged."
    if left:
        yield f"{plural(left, 'class', 'classes')} more: --all"


def _columns(kind: type) -> tuple[Column, ...]:
    return tuple(Column(each.title, True, each.definition) for each in metrics_of(kind).values())


def _row(row: FillRow) -> tuple[Entry, ...]:
    number = "" if row.label is None else f"#{row.label}, "
    name = Entry(row.name, f"{number}{plural(row.images, 'image')}")
    changed = f"+{row.gained} -{row.lost}" if row.delta is not None else ""
    shown = (name, Entry(row.fill), *_entries(row, delta=changed, least_delta=""))
    return shown if row.placebo is None else (*shown, *_placebo(row.placebo))


def _placebo(placebo: Placebo) -> tuple[Entry, ...]:
    left_out = f"{placebo.left_out} left out" if placebo.left_out else ""
    changed = f"+{placebo.only_object} -{placebo.only_placebo}" if placebo.bg_act.total else ""
    entries = _entries(placebo, delta=left_out, delta_placebo="", q_value=changed)
    return (*entries, Entry(placebo.mark or NO_DATA))


def _entries(part: FillRow | Placebo, **details: str) -> Iterator[Entry]:
    """Every metric in its unit; those named here with this small print instead of the usual one."""
    kind: type = type(part)
    for name, metric in metrics_of(kind).items():
        entry = metric_entry(getattr(part, name), metric.unit)
        yield Entry(entry.text, details.get(name, entry.detail))
