"""`audit probe`, `threshold` and `pool`: experiments that need nothing but an index."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Literal

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
from auditor.errors import AuditError
from auditor.records import PoolRule, Probe, ProbeKind

if TYPE_CHECKING:
    from auditor.indexing.build import Watch
    from auditor.store import Index


def probe(
    on: Annotated[
        str | None, typer.Option("--on", metavar="INDEX", help="Evaluated; the newest when not given.")
    ] = None,
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
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Train a head on the stored vectors and measure with it, without a forward pass (Table 3, A.4).

    Example: audit probe --on coco-val-dinov2 --train coco-train-dinov2
    """
    from auditor.cli.progress import Bar

    with ExitStack() as stack:
        evaluated = stack.enter_context(open_index(on))
        source = None if train is None else stack.enter_context(open_index(train))
        with Bar(quiet=json) as bar:
            found = _probe(evaluated, source, head, seed, epochs, bar)
    show(found, as_json=json, table=table)


def _probe(
    on: Index, train: Index | None, kind: ProbeKind, seed: int, epochs: int | None, watch: Watch
) -> Probe:
    """Training knows no metrics and metrics no training: what came out of both."""
    from auditor.indexing.probe import probe as train_probe
    from auditor.measure.metrics import metrics

    probed = train_probe(on, train, kind=kind, seed=seed, epochs=epochs, watch=watch)
    with probed.index as rescored:
        measured = metrics(rescored)
    return Probe(
        index=on.name,
        trained_on=on.name if train is None else train.name,
        kind=kind,
        seed=seed,
        epochs=probed.epochs,
        folds=probed.folds,
        trained_images=probed.trained_images,
        classes=len(rescored.manifest.classes),
        file=str(on.path / probed.file),
        sha256=probed.sha256,
        metrics=measured,
        own=metrics(on),
        notes=probed.notes,
    )


def threshold(
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT|INDEX", help="Gives the prototypes; a fifth of the images when not given."
        ),
    ] = None,
    target: Annotated[
        Literal["all", "one"], typer.Option(help="all classes of an image, or one fixed class per image.")
    ] = "all",
    out: PictureFile = None,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Keep only confident cells: Loc. and BG Act. over the threshold, for four scores (Figures 5, 6).

    Example: audit threshold --index val-convnext_base --table curves.csv
    """
    from auditor.draw.charts import draw_thresholds
    from auditor.measure.threshold import thresholds

    with ExitStack() as stack:
        opened = stack.enter_context(open_index(index))
        given = _calibration(stack, opened, calibration)
        found = thresholds(opened, calibration=given, target=target)
    show(found, as_json=json, table=table)
    save_picture(draw_thresholds(found), picture_path(out, found.index, "threshold"), quiet=json)


def _calibration(stack: ExitStack, index: Index, name: str | None) -> Index | str | None:
    """A split of the index where it has one of that name, else an index of its own."""
    if name is None or len(index.query("SELECT 1 FROM images WHERE split = ? LIMIT 1", [name])["1"]):
        return name
    return stack.enter_context(open_index(name))


def pool(
    rules: Annotated[
        str, typer.Option(metavar="RULE,RULE", help="Which rules, and in which order.")
    ] = "mean,max,top5,lse,foreground,threshold",
    temperature: Annotated[float, typer.Option(help="Of lse, log-sum-exp.")] = 1.0,
    tau: Annotated[float, typer.Option(help="Of threshold: cells whose max softmax exceeds it.")] = 0.5,
    index: IndexName = None,
    json: AsJson = False,
    table: TableFile = None,
) -> None:
    """Pool the cells by other rules than the mean: accuracy, and which images change (section 6).

    Example: audit pool --rules mean,max,lse
    """
    from auditor.measure.pool import pool as pool_cells

    with open_index(index) as opened:
        found = pool_cells(opened, rules=_rules(rules), temperature=temperature, tau=tau)
    show(found, as_json=json, table=table)


def _rules(text: str) -> tuple[PoolRule, ...]:
    from auditor.measure.pool import RULES

    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in RULES:
            raise AuditError(f"{name!r} is no pooling rule; there are: {', '.join(RULES)}")
    return tuple(rule for name in dict.fromkeys(names) for rule in RULES if rule == name)
