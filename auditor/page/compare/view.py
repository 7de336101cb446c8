"""Two indexes side by side, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditor.page.compare.record import DIFFERENCE, ClassDifference, Comparison, Paired, PaperRow
from auditor.questions.metrics.record import Metrics
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, chance_entry, metric_entry
from auditor.report.text import NO_DATA, chance, counts, percent, plural, points
from auditor.report.views import Rows, View

_FIRST = 30


def view_comparison(answer: Comparison) -> View:
    """What differs as a whole, by class, by image."""
    lead = (
        f"{answer.second} against {answer.first}, over the {plural(answer.shared, 'image')} that both have. "
        "A difference is that of the same images, with its 95 % interval."
    )
    tables = (_tabulate_classes(answer), _tabulate_images(answer))
    return View(
        f"{answer.first} and {answer.second}",
        tables,
        lead,
        _notes(answer),
        rows=Rows(ClassDifference, answer.classes),
    )


def view_paper(answer: PaperRow | tuple[PaperRow, ...]) -> View:
    """Each index above the paper's numbers of its network; what the two were measured on is said."""
    rows = answer if isinstance(answer, tuple) else (answer,)
    names = [name for name in metrics_of(Metrics) if any(name in row.values for row in rows)]
    columns = (Column("", is_number=False), *(_paper_column(name, rows) for name in names))
    lines = tuple(line for row in rows for line in _beside(row, names))
    sources = "; ".join(dict.fromkeys(f"{row.images} ({row.table})" for row in rows))
    lead = (
        f"The paper measured the same networks on {sources}: on other images its numbers need not be yours."
    )
    return View(
        "Beside the paper", (Table("Indexes and the paper's rows, in percent", columns, lines),), lead
    )


VIEWS = {Comparison: view_comparison, PaperRow: view_paper}


def _paper_column(name: str, rows: Sequence[PaperRow]) -> Column:
    metric = metrics_of(Metrics)[name]
    tables = " and ".join(dict.fromkeys(row.table for row in rows if name in row.values))
    return Column(metric.title, definition=f"{metric.definition}; the paper's numbers are of its {tables}")


def _beside(row: PaperRow, names: Sequence[str]) -> Iterator[tuple[Entry, ...]]:
    ours = (metric_entry(getattr(row.ours, name), metrics_of(Metrics)[name].unit) for name in names)
    yield Entry(row.ours.index, row.ours.backbone), *ours
    theirs = (Entry(f"{row.values[name]:.1f}" if name in row.values else NO_DATA) for name in names)
    yield Entry("the paper", row.ours.backbone), *theirs


def _notes(answer: Comparison) -> tuple[str, ...]:
    accuracy = answer.accuracy
    certain = sum(row.least > 0 for row in answer.classes)
    return (
        f"They agree on {percent(answer.agreement)} % of the images ({counts(answer.agreement)}). Answers "
        f"that are one of an image's labels: {percent(accuracy.first)} % and {percent(accuracy.second)} %, "
        f"{_difference(accuracy).text} points.",
        f"Of {plural(len(answer.classes), 'class', 'classes')} {certain} differ beyond their intervals.",
    )


def _tabulate_classes(answer: Comparison) -> Table:
    q_value = metrics_of(ClassDifference)["q_value"]
    behind = metrics_of(Metrics)["bg_act_without_fg"].title
    columns = (
        Column("Class", is_number=False),
        *_paired(answer, "Right"),
        Column(q_value.title, definition=q_value.definition),
        *_paired(answer, behind),
        *(_paired(answer, f"{behind}, {answer.grid[0]} x {answer.grid[1]}") if answer.grid else ()),
    )
    rows = tuple(_row(row) for row in answer.classes)
    caption = "Classes, those first whose difference is most certain; ~: by chance"
    return Table(caption, columns, rows, ends=(_FIRST, 0))


def _paired(answer: Comparison, title: str) -> tuple[Column, ...]:
    """The columns of a rate in both indexes, and of the difference."""
    return (
        Column(f"{title}: {answer.first} %"),
        Column(f"{answer.second} %"),
        Column("Difference (95 %)", definition=DIFFERENCE),
    )


def _row(row: ClassDifference) -> tuple[Entry, ...]:
    accuracy = row.accuracy
    matched = (
        () if row.matched is None else (row.matched, row.matched_first_chance, row.matched_second_chance)
    )
    return (
        Entry(row.name, plural(row.images, "image")),
        Entry(percent(accuracy.first)),
        Entry(percent(accuracy.second)),
        _difference(accuracy),
        Entry(chance(row.q_value)),
        *_any_cell(row.bg_act_without_fg, row.first_chance, row.second_chance),
        *(_any_cell(*matched) if matched else ()),
    )


def _any_cell(rates: Paired, *nulls: float | None) -> tuple[Entry, ...]:
    """Both rates, each with its null, and their difference."""
    both = (
        Entry(percent(rates.first), counts(rates.first)),
        Entry(percent(rates.second), counts(rates.second)),
    )
    first, second = (chance_entry(entry, null, " ~") for entry, null in zip(both, nulls, strict=True))
    return first, second, _difference(rates)


def _difference(rates: Paired) -> Entry:
    if rates.interval is None:
        return Entry(NO_DATA)
    low, high = rates.interval
    return Entry(
        f"{points(rates.difference)} ({points(low)} to {points(high)})", f"+{rates.gained} -{rates.lost}"
    )


def _tabulate_images(answer: Comparison) -> Table:
    columns = tuple(
        Column(name, is_number=False) for name in ("Image", "Labels", answer.first, answer.second, "Right")
    )
    rows = tuple(
        (
            Entry(row.path),
            Entry(", ".join(row.labels) or NO_DATA),
            Entry(row.first),
            Entry(row.second),
            Entry(row.right),
        )
        for row in answer.images
    )
    return Table("Images whose answer differs", columns, rows, ends=(_FIRST, 0))
