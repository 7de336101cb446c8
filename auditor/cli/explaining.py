"""`audit cam`, `relevance` and `attack`: questions that look inside the model, answered with a picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

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
from auditor.errors import AuditError, DatasetError
from auditor.grids import parse_cell
from auditor.store.index import Index

Subject = Annotated[str, typer.Argument(help="An indexed image, or an image file.", show_default=False)]


def cam(
    image: Subject,
    class_: Annotated[
        list[str],
        typer.Option("--class", "-c", metavar="K[,K2...]", help="Classes by id, name or synset; repeatable."),
    ],
    out: PictureFile = None,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Draw where an image scores for some classes: class activation maps of any backbone (Figure 7).

    Example: audit cam img.jpg --class 3,8
    """
    from auditor.cli.pictures import crop
    from auditor.draw.heat import draw_class_maps
    from auditor.explain.cam import class_maps

    with open_index(index) as opened:
        found = class_maps(opened, image, _find_classes(opened, class_))
        show(found, as_json=json, table=table)
        names = [each.name for each in found.maps]
        path = picture_path(out, opened.name, "cam", Path(image).stem, *names)
        save_picture(draw_class_maps(crop(opened, found.path), found), path, quiet=json)


def relevance(
    image: Subject,
    cell: Annotated[str, typer.Option("--cell", metavar="ROW,COL", help="The cell to explain.")],
    class_: Annotated[
        str | None, typer.Option("--class", "-c", metavar="K", help="The cell's own top-1 when not given.")
    ] = None,
    out: PictureFile = None,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Send one cell's score back to the pixels it came from: layer-wise relevance propagation (Figure 8).

    For networks of convolutions, dense layers, softmax attention, gates and the usual norms; any other
    operation is refused by its name. Plain ResNets need zennit: pip install 'auditor[relevance]', which is
    under the LGPL. LRP is patented for commercial use, its authors say.

    Example: audit relevance img.jpg --cell 3,4
    """
    from auditor.cli.pictures import crop
    from auditor.draw.heat import draw_relevance
    from auditor.explain.relevance import relevance as explain
    from auditor.measure.images import find_class

    _, row, col = parse_cell(f"{image}:{cell}")
    with open_index(index) as opened:
        label = None if class_ is None else find_class(opened, class_)
        found = explain(opened, image, row, col, label)
        show(found, as_json=json, table=table)
        path = picture_path(out, opened.name, "relevance", Path(image).stem, str(row), str(col), found.name)
        save_picture(draw_relevance(crop(opened, found.path), found), path, quiet=json)


def attack(
    image: Subject,
    target: Annotated[
        str,
        typer.Option("--target", "-t", metavar="K", help="The class to be taken for."),
    ],
    steps: Annotated[int, typer.Option(min=1, help="Steps of the attack.")] = 20,
    eps: Annotated[str, typer.Option(metavar="SHARE", help="Most that a pixel may change, of 1.")] = "8/255",
    step: Annotated[str, typer.Option(metavar="SHARE", help="Change of a pixel in one step.")] = "2/255",
    out: PictureFile = None,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Attack an image by targeted PGD and watch which cells flip, step by step (Figure 11).

    Example: audit attack img.jpg --target 808 --steps 20 --eps 8/255
    """
    from auditor.draw.filmstrip import draw_attack, perturbed_picture
    from auditor.explain.attack import attack as descend
    from auditor.measure.images import find_class

    with open_index(index) as opened:
        label = find_class(opened, target)
        found = descend(opened, image, label, steps=steps, epsilon=_share(eps), step=_share(step))
        show(found, as_json=json, table=table)
        path = picture_path(out, opened.name, "attack", Path(image).stem, found.names[label])
        save_picture(draw_attack(found), path, quiet=json)
        save_picture(perturbed_picture(found), path.with_stem(f"{path.stem}-perturbed"), quiet=json)


def _find_classes(index: Index, texts: list[str]) -> list[int]:
    """Class ids from names, or lists of them; a name may itself hold commas."""
    from auditor.measure.images import find_class

    found: list[int] = []
    for text in texts:
        try:
            found.append(find_class(index, text))
        except DatasetError:
            if "," not in text:
                raise
            found += [find_class(index, part.strip()) for part in text.split(",")]
    return list(dict.fromkeys(found))


def _share(text: str) -> float:
    """A share above 0 and at most 1, as 8/255 or 0.03."""
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share <= 1:
        raise AuditError(f"{text!r} is no share of the pixels' range; write it as 8/255 or 0.03")
    return float(share)
