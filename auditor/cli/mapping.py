"""`audit map` and `concept`: what a dataset holds that nobody labelled, and where else something is."""

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


def map_(
    sample: Annotated[int, typer.Option("--sample", min=16, help="Cells that UMAP sees, at most.")] = 20_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the sample and of UMAP.")] = 0,
    clusters: Annotated[
        bool, typer.Option("--clusters", help="Draw the exemplars of every cluster on a sheet as well.")
    ] = False,
    out: PictureFile = None,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Lay all cells out in two dimensions, find clusters, and show the suspicious ones (Figure 10).

    Example: audit map --clusters
    """
    from auditor.cli.map_pictures import clusters_picture, map_picture
    from auditor.search.map import cell_map

    with open_index(index) as opened:
        found = cell_map(opened, sample=sample, seed=seed)
        show(found, as_json=json, table=table)
        path = picture_path(out, opened.name, "map")
        save_picture(map_picture(opened, found), path, quiet=json)
        if clusters and found.clusters:
            sheet = path.with_stem(f"{path.stem}-clusters")
            save_picture(clusters_picture(opened, found), sheet, quiet=json)


def concept(
    references: Annotated[
        Path,
        typer.Argument(
            metavar="REF",
            help="A JSON file of cells and boxes, or a folder of crops, which the backbone sees enlarged.",
            show_default=False,
        ),
    ],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many cells to list.")] = 20,
    out: PictureFile = None,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Where else is what a few cells, boxes or crops show: how often, and in which classes (6.2).

    The file: {"name": "marker", "cells": ["img.jpg:3,4", "b.jpg:0,6"]}, with "boxes" and "negatives" if any.

    Example: audit concept marker.json
    """
    from auditor.cli.map_pictures import concept_picture, find_concept

    with open_index(index) as opened:
        found = find_concept(opened, references, top)
        show(found, as_json=json, table=table)
        path = picture_path(out, opened.name, "concept", found.name)
        save_picture(concept_picture(opened, found), path, quiet=json)
