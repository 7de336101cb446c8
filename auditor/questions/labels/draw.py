"""Missing and wrong labels, each by its region."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.draw.cells import Row, draw_rows, first_name
from auditor.explain.crops import crops
from auditor.grids import parse_cell
from auditor.questions.labels.record import Labels
from auditor.report.text import plural
from auditor.report.views import Picture
from auditor.store import Index

SHOWN = 6  # of each list


def picture_labels(index: Index, answer: Labels) -> Iterator[Picture]:
    """The first of both lists."""
    missing = tuple((each.cell, f"+ {first_name(each.name)}") for each in answer.missing[:SHOWN])
    wrong = tuple(
        (each.cell, f"{first_name(each.name)} → {first_name(each.suggested_name)}")
        for each in answer.wrong[:SHOWN]
    )
    boxes = {each.cell: each.box for each in answer.missing[:SHOWN]}
    boxes |= {each.cell: each.box for each in answer.wrong[:SHOWN]}
    sure = [sum(each.is_certain for each in found) for found in (answer.missing, answer.wrong)]
    lists = (("Missing labels", sure[0], missing), ("Wrong labels", sure[1], wrong))
    rows = [
        Row((title, plural(certain, "is certain", "are certain")), cells, boxes=boxes)
        for title, certain, cells in lists
        if cells
    ]
    if rows:
        images = crops(index, [parse_cell(cell)[0] for row in rows for cell, _ in row.cells])
        caption = (
            "Classes that are not labelled, and labels that look wrong, each by the cells that the class wins"
        )
        yield Picture(("labels",), lambda: draw_rows(rows, images, index.grid), caption)


DRAWINGS = {Labels: picture_labels}
