"""`audit metrics` and `audit context`: the paper's tables."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from auditor.cli.options import (
    AsJson,
    IndexName,
    PictureFile,
    TableFile,
    open_index,
    picture_path,
    save_picture,
    show,
)


def metrics(
    index: Annotated[
        list[str] | None, typer.Option("--index", "-i", metavar="NAME", help="Repeatable: one row per index.")
    ] = None,
    target: Annotated[
        Literal["all", "one"], typer.Option(help="all classes of an image, or one fixed class per image.")
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
            rows.append(measure(opened, target=target))
    show(tuple(rows), as_json=json, table=table)


def context(
    class_: Annotated[
        str | None, typer.Option("--class", "-c", metavar="CLASS", help="One class by id, name or synset.")
    ] = None,
    by: Annotated[
        Literal["delta", "bg_act_wo_fg"], typer.Option(help="delta: Table 8; bg_act_wo_fg: Table 7.")
    ] = "delta",
    minimum: Annotated[int, typer.Option(min=1, help="Leave out classes with fewer images.")] = 1,
    images: Annotated[int, typer.Option(min=1, help="Images to list with --class.")] = 50,
    out: PictureFile = None,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Rank classes by context dependence (Tables 7, 8), or show one class image by image (Figure 2).

    Example: audit context --class 74
    """
    from auditor.measure.context import class_detail
    from auditor.measure.context import context as rank

    with open_index(index) as opened:
        if class_ is None:
            show(rank(opened, by=by, minimum=minimum), as_json=json, table=table)
            return
        detail = class_detail(opened, class_, limit=images)
        show(detail, as_json=json, table=table)
        from auditor.cli.pictures import class_picture

        path = picture_path(out, opened.name, "context", detail.row.name)
        save_picture(class_picture(opened, detail), path, quiet=json)
