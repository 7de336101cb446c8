"""`audit map`: what does a dataset hold that nobody labelled?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.map.record import CellMap
    from auditor.records.watch import Watch
    from auditor.store import Index


@question(draws=True)
def map_(
    index: Index,
    watch: Watch,
    sample: Annotated[int, typer.Option("--sample", min=16, help="Cells that UMAP sees, at most.")] = 20_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the sample and of UMAP.")] = 0,
    clusters: Annotated[  # read by the pictures alone
        bool,
        typer.Option("--clusters", help="Draw the exemplars of every listed cluster on a sheet as well."),
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every cell with its place to a .parquet or .csv file."),
    ] = None,
) -> CellMap:
    """Lay all cells out in two dimensions, find clusters, and show the suspicious ones (Figure 10).

    Example: audit map --clusters
    """
    from auditor.questions.map import ask

    answer = ask.map_(index, sample=sample, seed=seed, watch=watch)
    if export is not None:
        from auditor.report.write import write_table

        write_table(ask.map_cells(index), export)
    return answer
