"""`audit metrics`: the paper's Tables 1 to 3."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from auditor.cli.options import AsJson, TableFile, open_index, show


def metrics(
    index: Annotated[
        list[str] | None, typer.Option("--index", "-i", metavar="NAME", help="Repeatable: one row per index.")
    ] = None,
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
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Localization and context dependence of the whole set: Tables 1, 2 and 3.

    Example: audit metrics --index val-resnet50 --index val-convnext_base
    """
    from auditor.measure.metrics import metrics as measure

    names: list[str | None] = [*index] if index else [None]
    rows = []
    for name in names:
        with open_index(name) as opened:
            rows.append(measure(opened, target=target, real=real, classes=classes))
    show(tuple(rows), as_json=json, table=table)
