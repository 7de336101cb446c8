"""`audit cam`: where does an image score for a class?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.terminal.options import Subject
from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.cam.record import ClassMaps
    from auditor.store import Index


@question(draws=True)
def cam(
    index: Index,
    image: Subject,
    class_: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            "-c",
            metavar="K[,K2...]",
            help="Classes by id, name or synset; repeatable. The image's own and the predicted "
            "one when not given.",
        ),
    ] = None,
) -> ClassMaps:
    """Draw where an image scores for some classes: class activation maps of any backbone (Figure 7).

    Example: audit cam img.jpg --class 3,8
    """
    from auditor.measure.images import find_classes
    from auditor.questions.cam import ask

    return ask.cam(index, image, find_classes(index, class_ or ()))
