"""`audit context`: what a class owes to its surroundings, by class, in one image, under every fill."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

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
from auditor.measure.images import find_class
from auditor.records import Fill
from auditor.store import Index

LISTED = 50  # images of a class


def context(
    class_: Annotated[
        str | None, typer.Option("--class", "-c", metavar="CLASS", help="One class by id, name or synset.")
    ] = None,
    by: Annotated[
        Literal["delta", "bg_act_wo_fg"], typer.Option(help="delta: Table 8; bg_act_wo_fg: Table 7.")
    ] = "delta",
    minimum: Annotated[int, typer.Option(min=1, help="Leave out classes with fewer images.")] = 1,
    images: Annotated[
        int | None,
        typer.Option(min=1, help="Images to list with --class (50), or to occlude of each class (all)."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="IMG", help="One image, occluded and inpainted, cell by cell (Figures 2, 12)."),
    ] = None,
    inpainted: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --image: your inpainting of it; OpenCV's when not given."),
    ] = None,
    fill: Annotated[
        str | None,
        typer.Option(metavar="FILL,...", help="Occlude again by mean, black, grey, blur, noise (A.6)."),
    ] = None,
    placebo: Annotated[
        bool, typer.Option("--placebo", help="Also lay the foreground's shape over background (A.6).")
    ] = False,
    out: PictureFile = None,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Rank classes by context dependence (Tables 7, 8), or look into one class, one image, other fills.

    Example: audit context --class 74, audit context --image img.jpg, audit context --fill blur --placebo
    """
    fills = _parse_fills(fill)
    _check(image, inpainted, fills, placebo)
    with open_index(index) as opened:
        if image is not None:
            _show_image(opened, image, class_, inpainted, fills, out, json, table)
        elif fills or placebo:
            _show_fills(opened, class_, fills, placebo, images, out, json, table)
        elif class_ is not None:
            _show_class(opened, class_, images or LISTED, out, json, table)
        else:
            from auditor.measure.context import context as rank

            show(rank(opened, by=by, minimum=minimum), as_json=json, table=table)


def _parse_fills(text: str | None) -> tuple[Fill, ...]:
    """The fills of a comma-separated list, each once."""
    names = list(dict.fromkeys(name.strip() for name in text.split(","))) if text else []
    fills = tuple(known for name in names for known in get_args(Fill) if known == name)
    if len(fills) < len(names):
        raise typer.BadParameter(f"{text} is not among {', '.join(get_args(Fill))}", param_hint="--fill")
    return fills


def _check(image: str | None, inpainted: Path | None, fills: tuple[Fill, ...], placebo: bool) -> None:
    """Refuse options that would have no effect together."""
    if inpainted is not None and image is None:
        raise typer.BadParameter("it needs the --image that was inpainted", param_hint="--inpainted")
    if image is not None and len(fills) > 1:
        raise typer.BadParameter("one fill at a time with --image", param_hint="--fill")
    if image is not None and placebo:
        raise typer.BadParameter("a placebo compares classes, not one --image", param_hint="--placebo")


def _show_class(
    index: Index, name: str, limit: int, out: Path | None, as_json: bool, table: Path | None
) -> None:
    from auditor.cli.pictures import class_picture
    from auditor.measure.context import class_detail

    detail = class_detail(index, name, limit=limit)
    show(detail, as_json=as_json, table=table)
    path = picture_path(out, index.name, "context", detail.row.name)
    save_picture(class_picture(index, detail), path, quiet=as_json)


def _show_image(
    index: Index,
    image: str,
    class_: str | None,
    inpainted: Path | None,
    fills: tuple[Fill, ...],
    out: Path | None,
    as_json: bool,
    table: Path | None,
) -> None:
    from auditor.draw.grids import draw_variants
    from auditor.explain.context import draw_inputs, image_context, read_panels

    label = None if class_ is None else find_class(index, class_)
    panels = read_panels(index, image, inpainted)
    found = image_context(index, panels, label=label, fill=fills[0] if fills else None)
    show(found, as_json=as_json, table=table)
    path = picture_path(out, index.name, "context", Path(image).stem)
    save_picture(draw_variants(draw_inputs(index, panels, found), found.grids), path, quiet=as_json)


def _show_fills(
    index: Index,
    class_: str | None,
    fills: tuple[Fill, ...],
    placebo: bool,
    images: int | None,
    out: Path | None,
    as_json: bool,
    table: Path | None,
) -> None:
    from auditor.cli.progress import Bar
    from auditor.draw.fill_chart import draw_fills
    from auditor.explain.fills import count_fills
    from auditor.measure.fills import compare_fills

    label = None if class_ is None else find_class(index, class_)
    fills = fills or (index.manifest.fill,)
    with Bar("images", quiet=as_json) as bar:
        counts = count_fills(index, fills, label=label, has_placebo=placebo, limit=images, watch=bar)
    compared = compare_fills(index, fills, counts, has_placebo=placebo)
    show(compared, as_json=as_json, table=table)
    path = picture_path(out, index.name, "fills", class_ or "all")
    save_picture(draw_fills(compared), path, quiet=as_json)
