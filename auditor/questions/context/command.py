"""`audit context`: what classes owe to their surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.context.record import ClassDetail, ContextTable
    from auditor.store import Index


@question(draws=True)
def context(
    index: Index,
    class_: Annotated[
        str | None, typer.Option("--class", "-c", metavar="CLASS", help="One class by id, name or synset.")
    ] = None,
    by: Annotated[
        Literal["delta", "bg_act_wo_fg"], typer.Option(help="delta: Table 8; bg_act_wo_fg: Table 7.")
    ] = "delta",
    minimum: Annotated[int, typer.Option(min=1, help="Leave out classes with fewer images.")] = 1,
    plain: Annotated[
        bool, typer.Option("--plain", help="Order by the paper's rates as they are, however few the images.")
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="Show every class, not only the first twenty.")] = False,
    images: Annotated[int, typer.Option(min=1, help="Images to list with --class.")] = 50,
) -> ContextTable | ClassDetail:
    """Rank classes by context dependence (Tables 7, 8), or look into one class, image by image.

    The order is what the data support: the lower end of a 95 % interval. --plain is the paper's.

    One image occluded and inpainted: audit occlude IMG. Other fills and a placebo: audit fills.

    Example: audit context --class 74
    """
    from auditor.questions.context import ask

    if class_ is not None:
        return ask.class_detail(index, class_, limit=images)
    return ask.context(index, by=by, minimum=minimum, plain=plain, shows_all=all_)
