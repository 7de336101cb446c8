"""`audit ledger`: where does this logit come from?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.ledger.record import ClassDetail, Ledger, Ledgers
    from auditor.store import Index


@question(draws=True)
def ledger(
    index: Index,
    image: Annotated[
        str | None,
        typer.Argument(help="An indexed image; without one, classes are asked.", show_default=False),
    ] = None,
    class_: Annotated[
        str | None, typer.Option("--class", "-c", metavar="CLASS", help="The class, by id, name or synset.")
    ] = None,
) -> Ledger | Ledgers | ClassDetail:
    """Split a logit into what each object, the background and the bias add to it.

    Of an image: the predicted class (or --class) and its lead over the label or the runner-up.

    Without an image: every class over its own images, or one with --class.

    Example: audit ledger img.jpg --class 3
    """
    from auditor.questions.ledger import ask

    if image is not None:
        return ask.ledger(index, image, target=class_)
    return ask.class_ledgers(index) if class_ is None else ask.class_detail(index, class_)
