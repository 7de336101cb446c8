"""The commands in the order of the work: build an index, ask it, look at images, report, synthesise."""

from __future__ import annotations

from typing import Annotated

import typer

from auditor import __version__
from auditor.cli import (
    contexts,
    explaining,
    images,
    indexing,
    mapping,
    probing,
    questions,
    reporting,
    synthetic,
)

app = typer.Typer(
    name="audit",
    help="What did my image classifier really look at, and what is in my dataset that nobody labelled?",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with:  audit index ./photos --backbone dinov2   then:  audit metrics",
)

BUILD, ASK, LOOK, EXPLAIN, REPORT, MAKE = (
    "1. Build an index",
    "2. Ask the index",
    "3. Look at images and cells",
    "4. Explain with the model",
    "5. Report",
    "6. Synthetic scenes",
)
for panel, commands in {
    BUILD: (indexing.index, indexing.list_, indexing.check, indexing.models),
    ASK: (questions.metrics, contexts.context, probing.probe, probing.threshold, probing.pool),
    LOOK: (images.grid, images.similar, images.match, mapping.map_, mapping.concept),
    EXPLAIN: (explaining.cam, explaining.relevance, explaining.attack),
    REPORT: (reporting.report,),
    MAKE: (synthetic.synth, synthetic.train),
}.items():
    for command in commands:
        app.command(name=command.__name__.rstrip("_"), rich_help_panel=panel)(command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"audit {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...
