"""What splits share, in numbers and pair by pair."""

from __future__ import annotations

from auditor.questions.leaks.record import KINDS, Leak, Leaks, SharedPair
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, bounded_entry, columns_of, metric_entry
from auditor.report.text import NO_DATA, plural
from auditor.report.views import Rows, View

_LEAD = (
    "Images that are on both sides of a split by their file, their picture or their place. Beside each "
    "number what splits drawn at random would share: as many means that nobody kept the two sides apart."
)
TITLES = {"file": "Same file", "picture": "Near duplicate", "place": "Shared place"}


def view_leaks(answer: Leaks) -> View:
    """The three ways to share, then the pairs."""
    tables = (_tabulate_kinds(answer), *([_tabulate_pairs(answer)] if answer.pairs else []))
    return View("Leaks", tables, _LEAD, rows=Rows(SharedPair, answer.pairs))


VIEWS = {Leaks: view_leaks}


def _tabulate_kinds(answer: Leaks) -> Table:
    metrics = metrics_of(Leak)
    columns = (
        Column("Kind", is_number=False),
        Column(f"{metrics['images'].title} % (95 %)", True, metrics["images"].definition),
        Column("Pairs"),
        Column(f"{metrics['by_chance'].title} %", True, metrics["by_chance"].definition),
        Column(metrics["p_value"].title, True, metrics["p_value"].definition),
    )
    rows = tuple(
        (
            Entry(TITLES[leak.kind]),
            bounded_entry(leak.images, leak.interval),
            Entry(f"{leak.pairs:,}"),
            metric_entry(leak.by_chance, "percent"),
            metric_entry(leak.p_value, "chance"),
        )
        for leak in answer.leaks
    )
    return Table(f"What {', '.join(answer.splits)} share", columns, rows, _notes(answer))


def _notes(answer: Leaks) -> tuple[str, ...]:
    notes = [f"{TITLES[kind]}: {meaning}." for kind, meaning in KINDS.items()]
    compared, total = answer.images.hits, answer.images.total
    part = "" if compared == total else f", drawn from {total:,} at random"
    notes.append(f"{plural(compared, 'image')}{part}, were compared; {answer.runs} splits drawn at random.")
    if answer.unannotated:
        notes.append(
            f"Nothing is annotated in {plural(answer.unannotated, 'image')}: all their cells were "
            "compared, so that objects which are alike make a place."
        )
    return tuple(notes)


def _tabulate_pairs(answer: Leaks) -> Table:
    columns = columns_of("Image|Shares|With", "Corresponding cells|Cosine as a whole")
    rows = tuple(
        (
            Entry(pair.a, pair.split_a),
            Entry(TITLES[pair.kind].lower()),
            Entry(pair.b, pair.split_b),
            Entry(str(len(pair.cells_a)) if pair.cells_a else NO_DATA),
            Entry(NO_DATA if pair.whole is None else f"{pair.whole:.3f}"),
        )
        for pair in answer.pairs
    )
    return Table("Pairs of images", columns, rows, ends=(20, 0))
