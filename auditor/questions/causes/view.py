"""Causes of errors over all wrong images, by class and image by image, as tables."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.questions.causes.record import CAUSES, Causes, CauseShare, ClassCauses, WrongImage
from auditor.records import Rate
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, bounded_entry, rate_entry
from auditor.report.text import counts, percent, plural, share
from auditor.report.views import Rows, View

_LEAD = (
    "Why each wrong image is wrong: the first cause that holds, in the order of the table, so that they add "
    "up to all wrong images. A cause that exchanged labels would show as often says nothing."
)
_BARE = "Nothing is annotated in {images} of them: all of its cells count as the object's."


def view_causes(causes: Causes) -> View:
    """The causes, then classes by their wrong images, then the images."""
    rows = Rows(WrongImage, causes.images)
    if not causes.images:
        return View(
            "Causes", lead=_LEAD, notes=(f"{_note(causes)}: there is nothing to explain.",), rows=rows
        )
    tables = (_tabulate_causes(causes), _tabulate_classes(causes), _tabulate_images(causes))
    return View("Causes", tables, _LEAD, rows=rows)


VIEWS = {Causes: view_causes}


def _note(causes: Causes) -> str:
    wrong = causes.wrong
    return f"{plural(wrong.hits, 'image')} of {wrong.total:,} ({percent(wrong)} %) are wrong"


def _columns(kind: type, *names: str) -> Iterator[Column]:
    metrics = metrics_of(kind)
    yield from (Column(f"{metrics[name].title} %", True, metrics[name].definition) for name in names)


def _tabulate_causes(causes: Causes) -> Table:
    body = tuple(
        (
            Entry(each.title),
            bounded_entry(each.images, each.interval),
            Entry(share(each.chance)),
            rate_entry(each.holds),
        )
        for each in causes.causes
    )
    columns = (Column("Cause", is_number=False), *_columns(CauseShare, "images", "chance", "holds"))
    bare = causes.annotated.total - causes.annotated.hits
    meanings = tuple(f"{each.title}: {each.definition}." for each in causes.causes)
    notes = (f"{_note(causes)}.", *([_BARE.format(images=plural(bare, "image"))] if bare else []), *meanings)
    return Table("Wrong images by their cause", columns, body, notes)


def _tabulate_classes(causes: Causes) -> Table:
    body = tuple(
        (
            Entry(row.name, f"#{row.label}"),
            rate_entry(row.wrong),
            *(Entry(str(getattr(row, cause).hits)) for cause in CAUSES),
        )
        for row in causes.classes
    )
    columns = (
        Column("Class", is_number=False),
        *_columns(ClassCauses, "wrong"),
        *(Column(known.title, True, known.definition) for known in CAUSES.values()),
    )
    return Table(
        "Classes by their wrong images, and how many of these have each cause", columns, body, ends=(20, 0)
    )


def _tabulate_images(causes: Causes) -> Table:
    body = tuple(
        (
            Entry(each.path),
            Entry(CAUSES[each.cause].title),
            Entry(each.name),
            Entry(each.predicted_name, each.cell.rpartition(":")[2] if each.cell else ""),
            *(_cells(rate) for rate in (each.right, each.on_object, each.on_others, each.on_background)),
        )
        for each in causes.images
    )
    columns = (
        *(Column(name, is_number=False) for name in ("Image", "Cause", "Class", "Taken for")),
        Column("Label in its object", True, WrongImage.__doc__ or ""),
        *(Column(name) for name in ("Prediction in it", "in others", "in background")),
    )
    return Table(
        "Wrong images, and the cells of each place that label and prediction win", columns, body, ends=(20, 0)
    )


def _cells(rate: Rate) -> Entry:
    return Entry(counts(rate) or "0/0")
