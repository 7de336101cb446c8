"""`audit probe`: a head trained on what an index holds."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.records import ProbeKind
from auditor.terminal.options import open_index
from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.probe.record import Probe
    from auditor.records.watch import Watch
    from auditor.store import Index

Evaluated = Annotated[
    str | None, typer.Option("--on", metavar="INDEX", help="Evaluated; the newest when not given.")
]


@question(index=Evaluated)
def probe(
    on: Index,
    train: Annotated[
        str | None,
        typer.Option(
            "--train", metavar="INDEX", help="Trained on; when not given, out of fold on --on itself."
        ),
    ] = None,
    head: Annotated[ProbeKind, typer.Option(help="linear: Table 3; mlp: three layers, Table 6.")] = "linear",
    seed: Annotated[int, typer.Option(help="The same seed gives the same head.")] = 0,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the images; by their number when not given.")
    ] = None,
    *,
    watch: Watch,
) -> Probe:
    """Train a head on the stored vectors and measure with it, without a forward pass (Table 3, A.4).

    Example: audit probe --on coco-val-dinov2 --train coco-train-dinov2
    """
    from auditor.questions.probe import ask

    with nullcontext() if train is None else open_index(train) as source:
        return ask.probe(on, source, kind=head, seed=seed, epochs=epochs, watch=watch)
