"""The parts of a logit as tables."""

from __future__ import annotations

from auditor.questions.ledger.record import ClassDetail, ClassLedger, Entry, ImageLedger, Ledger, Ledgers
from auditor.report import tables
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Table, columns_of
from auditor.report.text import NO_DATA, plural, share
from auditor.report.views import Rows, View

_METRICS = metrics_of(ClassLedger)
_LEAD = (
    "What objects and background add to a class's logit, less the mean logit of all classes. In others: what "
    "as many background cells of images without the class add to it. Certain: the lower end of the 95 % "
    "interval (t, over images) of the difference, by which classes are ranked."
)


def view_ledger(answer: Ledger) -> View:
    """Every part, then the sums."""
    columns = columns_of("Part", f"Cells|{answer.target_name}|{answer.rival_name}|Lead")
    rows = tuple(map(_entry, answer.entries))
    total = ("model's logit", "", answer.target_logit, answer.rival_logit)
    caption = f"What {answer.target_name} is given in {answer.path}, and {answer.rival_name}, in logits"
    notes = (
        f"The parts add up to the model's own logits; the largest difference is {answer.error:.1e}.",
        "Cells that several objects share are split equally among them.",
    )
    return View(
        f"Ledger of {answer.path}",
        (Table(caption, columns, (*rows, _numbers(*total)), notes),),
        rows=Rows(Entry, answer.entries),
    )


def _entry(entry: Entry) -> tuple[tables.Entry, ...]:
    cells = f"{entry.cells:g}" if entry.kind != "bias" else ""
    return _numbers(entry.name, cells, entry.target, entry.rival)


def _numbers(name: str, cells: str, target: float, rival: float) -> tuple[tables.Entry, ...]:
    numbers = (f"{target:+.3f}", f"{rival:+.3f}", f"{target - rival:+.3f}")
    return tuple(map(tables.Entry, (name, cells, *numbers)))


def view_classes(answer: Ledgers) -> View:
    """Every class."""
    table = _tabulate("Classes by what their background certainly adds", answer.rows)
    is_judged = any(row.least is not None for row in answer.rows)
    notes = () if is_judged else ("One image per class: of no class can the interval be given.",)
    return View("Where logits come from", (table,), _LEAD, notes, rows=Rows(ClassLedger, answer.rows))


def view_class(answer: ClassDetail) -> View:
    """The class, and its images."""
    rows = tuple(
        tuple(map(tables.Entry, (each.path, f"{each.foreground:+.2f}", f"{each.background:+.2f}")))
        for each in answer.images
    )
    images = Table(
        "Its images, in logits", columns_of("Image", "From objects|From background"), rows, ends=(20, 5)
    )
    heading = f"Where the logit of {answer.row.name} comes from"
    own = _tabulate("The class", (answer.row,))
    return View(heading, (own, images), _LEAD, rows=Rows(ImageLedger, answer.images))


VIEWS = {Ledger: view_ledger, Ledgers: view_classes, ClassDetail: view_class}


def _tabulate(caption: str, rows: tuple[ClassLedger, ...]) -> Table:
    shown = ("context_share", "background_cells")
    columns = (
        Column("Class", is_number=False),
        *columns_of("", "Certain|From objects|From background|In others"),
        *(Column(f"{_METRICS[name].title} %", True, _METRICS[name].definition) for name in shown),
    )
    return Table(caption, columns, tuple(map(_class, rows)), ends=(20, 5))


def _class(row: ClassLedger) -> tuple[tables.Entry, ...]:
    logits = (row.least, row.foreground, row.background, row.background_elsewhere)
    return (
        tables.Entry(row.name, f"#{row.label}, {plural(row.images, 'image')}"),
        *(tables.Entry(NO_DATA if value is None else f"{value:+.2f}") for value in logits),
        tables.Entry(share(row.context_share)),
        tables.Entry(share(row.background_cells)),
    )
