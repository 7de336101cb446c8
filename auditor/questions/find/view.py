"""The images that show a region, as a table."""

from __future__ import annotations

from auditor.grids import Box
from auditor.questions.find.record import Find, Found, RankedImage
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, columns_of, rate_entry
from auditor.report.text import NO_DATA, left_out, plural
from auditor.report.views import Rows, View

_SHOWN = 3  # cells of an image that a row names


def view_find(answer: Find) -> View:
    """The images, best first."""
    likeness, background = (metrics_of(Found)[name] for name in ("score", "background"))
    columns = (
        *columns_of("Image|Cells", ""),
        Column(likeness.title, True, likeness.definition),
        *columns_of("Image labelled", ""),
        Column(f"{background.title} %", True, background.definition),
    )
    what = f"{answer.path}:{write_box(answer.box)}"
    table = Table(f"Images most like {what}", columns, tuple(map(_row, answer.found)), _notes(answer))
    ranked = [RankedImage(rank, each) for rank, each in enumerate(answer.found, start=1)]
    return View(f"Where else is {what}", (table,), rows=Rows(RankedImage, ranked))


VIEWS = {Find: view_find}


def write_box(box: Box) -> str:
    """A box as the command takes it: left, top, width, height."""
    return f"{box[0]:g},{box[1]:g},{box[2] - box[0]:g},{box[3] - box[1]:g}"


def _row(found: Found) -> tuple[Entry, ...]:
    cells = list(dict.fromkeys(cell.rpartition(":")[2] for cell in found.cells))
    more = f" and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else ""
    return (
        Entry(found.path),
        Entry(" ".join(cells[:_SHOWN]) + more),
        Entry(f"{found.score:.4f}"),
        Entry(found.label or NO_DATA),
        rate_entry(found.background),
    )


def _notes(answer: Find) -> tuple[str, ...]:
    """What was searched, and what was left out."""
    searched = "background only" if answer.background else "all cells"
    notes = [f"The box covers {plural(len(answer.cells), 'cell')}; other images, {searched}."]
    if answer.background and answer.unannotated:
        notes.append(
            f"Nothing is annotated in {plural(answer.unannotated, 'image')}: no cell of theirs is known to "
            "be background, so none was searched."
        )
    return (*notes, *left_out(answer.empty))
