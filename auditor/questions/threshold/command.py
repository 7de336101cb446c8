"""`audit threshold`: Figures 5 and 6."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auditor.terminal.options import open_index
from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.threshold.record import Thresholds
    from auditor.records.watch import Watch
    from auditor.store import Index


@question(draws=True)
def threshold(
    index: Index,
    watch: Watch,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT|INDEX", help="Gives the prototypes; a fifth of the images when not given."
        ),
    ] = None,
    target: Annotated[
        Literal["all", "one"], typer.Option(help="all classes of an image, or one fixed class per image.")
    ] = "all",
) -> Thresholds:
    """Keep only confident cells: Loc. and BG Act. over the threshold, for four scores (Figures 5, 6).

    Example: audit threshold --index val-convnext_base --table curves.csv
    """
    from auditor.questions.threshold import ask

    if calibration is None or ask.has_split(index, calibration):
        return ask.threshold(index, calibration=calibration, target=target, watch=watch)
    with open_index(calibration) as other:
        return ask.threshold(index, calibration=other, target=target, watch=watch)
