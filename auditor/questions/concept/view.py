"""The cells and the classes that show a concept, as tables."""

from __future__ import annotations

from auditor.questions.concept.record import Concept
from auditor.records import ClassShare, Hit
from auditor.report.tables import Entry, Table, columns_of
from auditor.report.text import NO_DATA, chance, counts, interval, left_out, percent, plural, times
from auditor.report.views import Rows, View

_LISTED = 20  # classes; every one is in the JSON and the files


_UNLIKE = (
    "The references are as unlike one another as most cells are: what they share is not told apart from the "
    "rest, in no class. Choose references that are more alike; the cells above are most like any of them."
)


def view_concept(concept: Concept) -> View:
    """The cells most like it, then the classes in which it is found."""
    hits, rows = _tabulate_hits(concept), Rows(ClassShare, concept.classes)
    if concept.is_told_apart:
        return View(f"Concept {concept.name}", (hits, _tabulate_classes(concept)), rows=rows)
    return View(f"Concept {concept.name}", (hits,), notes=_notes(concept), rows=rows)


VIEWS = {Concept: view_concept}


def _tabulate_hits(concept: Concept) -> Table:
    """The cells of highest score outside the images that hold a reference."""
    columns = (*columns_of("Cell", "Score"), *columns_of("Image labelled|Cell predicted", ""))
    return Table(f"Cells most like {concept.name}", columns, tuple(map(_hit, concept.hits)))


def _hit(hit: Hit) -> tuple[Entry, ...]:
    return (
        Entry(f"{hit.path}:{hit.row},{hit.col}"),
        Entry(f"{hit.cosine:.4f}"),
        Entry(hit.label or NO_DATA),
        Entry(hit.predicted or NO_DATA),
    )


def _tabulate_classes(concept: Concept) -> Table:
    """The classes in which a concept is found, the most over-represented first."""
    columns = columns_of("Class", "Images with it % (95 %)|Other images %|Lift|p|q")
    rows = tuple(map(_class, concept.classes[:_LISTED]))
    return Table(f"Classes that show {concept.name}", columns, rows, _notes(concept))


def _class(row: ClassShare) -> tuple[Entry, ...]:
    return (
        Entry(row.name),
        Entry(percent(row.images), f"{counts(row.images)}, {interval(row.interval)}"),
        Entry(percent(row.elsewhere), counts(row.elsewhere)),
        Entry(times(row.lift)),
        Entry(chance(row.p_value)),
        Entry(chance(row.q_value)),
    )


def _notes(concept: Concept) -> tuple[str, ...]:
    """How often the concept is found, and what was looked for."""
    references = plural(len(concept.references), "reference")
    negatives = plural(concept.negatives, "negative")
    less = f", less the likeness to {negatives}" if concept.negatives else ""
    return (
        f"Found in {counts(concept.images)} images ({percent(concept.images)} %) and "
        f"{counts(concept.cells)} cells, those with a score of at least {concept.threshold:.4f}: the lowest "
        "of a reference against the others.",
        *(() if concept.is_told_apart else (_UNLIKE,)),
        f"References: {references} ({concept.encoding}){less}. Images that hold one are not counted.",
        *left_out(concept.empty),
    )
