"""`audit concept`: where else is what a few cells, boxes or crops show?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.concept.record import Concept
    from auditor.records.watch import Watch
    from auditor.store import Index


@question(draws=True)
def concept(
    index: Index,
    watch: Watch,
    references: Annotated[
        Path,
        typer.Argument(
            metavar="REF",
            help="A JSON file of cells and boxes, or a folder of crops, which the backbone sees enlarged.",
            show_default=False,
        ),
    ],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many cells to list.")] = 20,
) -> Concept:
    """Where else is what a few cells, boxes or crops show: how often, and in which classes (6.2).

    The file: {"name": "marker", "cells": ["img.jpg:3,4", "b.jpg:0,6"]}, with "boxes" and "negatives" if any.

    Example: audit concept marker.json
    """
    from auditor.questions.concept import ask

    return ask.concept(index, references, top, watch)
