"""`audit grid`, `similar` and `match`: questions about images and cells, answered with a picture."""

from __future__ import annotations

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
from auditor.grids import parse_cell

Count = Annotated[int, typer.Option("--top", "-k", min=1, help="How many.")]


def grid(
    images: Annotated[list[str], typer.Argument(help="Indexed images, or image files.", show_default=False)],
    out: PictureFile = None,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Draw the class predicted in every cell over an image (Figure 0).

    Example: audit grid img.jpg
    """
    from auditor.cli.pictures import find_grids, grid_picture

    with open_index(index) as opened:
        for image in images:
            grids = find_grids(opened, image)
            show(grids, as_json=json, table=table)
            path = picture_path(out, opened.name, "grid", Path(image).stem)
            save_picture(grid_picture(opened, grids), path, quiet=json)


def similar(
    patch: Annotated[
        str, typer.Option("--patch", "-p", metavar="IMAGE:ROW,COL", help="The cell to start from.")
    ],
    top: Count = 20,
    others: Annotated[bool, typer.Option("--others", help="Leave out cells of the same image.")] = False,
    out: PictureFile = None,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Find the cells of the whole dataset that are most similar to one cell.

    Example: audit similar --patch img.jpg:3,4
    """
    from auditor.cli.pictures import find_similar, similar_picture

    image, row, col = parse_cell(patch)
    with open_index(index) as opened:
        found = find_similar(opened, image, row, col, top, others)
        show(found, as_json=json, table=table)
        path = picture_path(out, opened.name, "similar", Path(image).stem, str(row), str(col))
        save_picture(similar_picture(opened, found), path, quiet=json)


def match(
    a: Annotated[str, typer.Argument(help="An indexed image.", show_default=False)],
    b: Annotated[str, typer.Argument(help="Another one.", show_default=False)],
    top: Count = 20,
    mutual: Annotated[
        bool, typer.Option("--mutual", help="Only pairs in which each cell is the other's nearest.")
    ] = False,
    out: PictureFile = None,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Join the most similar cells of two images, with their shares of the similarity (Figure 9).

    Example: audit match a.jpg b.jpg
    """
    from auditor.cli.pictures import match_picture
    from auditor.search.match import match as correspond

    with open_index(index) as opened:
        found = correspond(opened, a, b, k=top, only_mutual=mutual)
        show(found, as_json=json, table=table)
        path = picture_path(out, opened.name, "match", Path(a).stem, Path(b).stem)
        save_picture(match_picture(opened, found), path, quiet=json)
