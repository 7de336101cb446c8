"""`audit fills`: is Delta the object's doing, or the mask's?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer

from auditor.records import Fill
from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.fills.record import FillTable
    from auditor.records.watch import Watch
    from auditor.store import Index


@question(draws=True)
def fills(
    index: Index,
    class_: Annotated[
        str | None, typer.Option("--class", "-c", metavar="CLASS", help="One class by id, name or synset.")
    ] = None,
    fill: Annotated[
        str | None,
        typer.Option(
            metavar="FILL,...",
            help="Occlude again by mean, black, grey, blur, noise (A.6); the index's own when not given.",
        ),
    ] = None,
    placebo: Annotated[
        bool, typer.Option("--placebo", help="Also lay the foreground's shape over background (A.6).")
    ] = False,
    images: Annotated[
        int | None, typer.Option(min=1, help="Images to occlude of each class; all when not given.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Show every class, not only the first twenty.")] = False,
    *,
    watch: Watch,
) -> FillTable:
    """Measure Delta again under other fills, and under a placebo mask on background (A.6).

    Example: audit fills --class 74 --fill mean,blur --placebo
    """
    from auditor.measure.images import find_class
    from auditor.questions.fills import ask

    under = _parse(fill)
    label = None if class_ is None else find_class(index, class_)
    return ask.fills(
        index,
        label=label,
        under=under,
        has_placebo=placebo,
        limit=images,
        shows_all=all_,
        watch=watch,
    )


def _parse(text: str | None) -> tuple[Fill, ...]:
    """The fills of a comma-separated list, each once."""
    names = dict.fromkeys(name.strip() for name in text.split(",")) if text else {}
    fills = tuple(fill for name in names for fill in get_args(Fill) if fill == name)
    if len(fills) < len(names):
        raise typer.BadParameter(f"{text} is not among {', '.join(get_args(Fill))}", param_hint="--fill")
    return fills
