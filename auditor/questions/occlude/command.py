"""`audit occlude`: one image with its object covered, or painted out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.records import Fill
from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.occlude.record import ImageContext
    from auditor.store import Index


@question(draws=True)
def occlude(
    index: Index,
    image: Annotated[str, typer.Argument(metavar="IMG", help="An indexed image.", show_default=False)],
    class_: Annotated[
        str | None,
        typer.Option(
            "--class", "-c", metavar="K", help="The class to look for; the image's own when not given."
        ),
    ] = None,
    inpainted: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your inpainting of the image; OpenCV's when not given."),
    ] = None,
    fill: Annotated[
        Fill | None,
        typer.Option(help="What covers the object; the index's own fill when not given."),
    ] = None,
) -> ImageContext:
    """Occlude and inpaint the object of one image, and list the cells whose class flips (Figures 2, 12).

    Example: audit occlude img.jpg
    """
    from auditor.measure.images import find_class
    from auditor.questions.occlude import ask

    label = None if class_ is None else find_class(index, class_)
    return ask.occlude(index, image, label=label, inpainted=inpainted, fill=fill)
