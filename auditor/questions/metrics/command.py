"""`audit metrics`: the paper's Tables 1 to 3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auditor.terminal.question import Indexes, question

if TYPE_CHECKING:
    from auditor.questions.metrics.record import Metrics
    from auditor.store import Index


@question(index=Indexes)
def metrics(
    index: Index,
    target: Annotated[
        Literal["all", "one"], typer.Option(help="all classes of an image, or one fixed class per image.")
    ] = "all",
    real: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="ReaL labels as JSON, instead of the published ones."),
    ] = None,
    classes: Annotated[
        Literal["all", "present"],
        typer.Option(help="present: Table 2 among the classes of the dataset as well (ImageNet-A)."),
    ] = "all",
    beside: Sequence[Index] = (),
) -> Metrics:
    """Localization and context dependence of the whole set: Tables 1, 2 and 3.

    Of indexes with different grids, any-cell rates are also given on the coarsest grid.

    Example: audit metrics --index val-resnet50 --index val-convnext_base
    """
    from auditor.questions.metrics import ask

    others = tuple(each for each in beside if each is not index)
    return ask.metrics(index, target=target, real=real, classes=classes, beside=others)
