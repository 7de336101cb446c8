"""`audit attack`: which cells flip when the image is attacked."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.errors import AuditError
from auditor.terminal.options import Subject
from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.attack.record import Attack
    from auditor.store import Index


@question(draws=True)
def attack(
    index: Index,
    image: Subject,
    target: Annotated[str, typer.Option("--target", "-t", metavar="K", help="The class to be taken for.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps of the attack.")] = 20,
    eps: Annotated[str, typer.Option(metavar="SHARE", help="Most that a pixel may change, of 1.")] = "8/255",
    step: Annotated[str, typer.Option(metavar="SHARE", help="Change of a pixel in one step.")] = "2/255",
) -> Attack:
    """Attack an image by targeted PGD and watch which cells flip, step by step (Figure 11).

    Example: audit attack img.jpg --target 808 --steps 20 --eps 8/255
    """
    from auditor.measure.images import find_class
    from auditor.questions.attack import ask

    label = find_class(index, target)
    return ask.attack(index, image, label, steps=steps, epsilon=_share(eps), step=_share(step))


def _share(text: str) -> float:
    """A share above 0 and at most 1, as 8/255 or 0.03."""
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share <= 1:
        raise AuditError(f"{text!r} is no share of the pixels' range; write it as 8/255 or 0.03")
    return float(share)
