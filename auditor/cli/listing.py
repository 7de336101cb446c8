"""`audit list`, `check` and `models`: which indexes are here, are they sound, which backbones have a name."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.errors import AuditError, IndexDamaged
from auditor.terminal.options import INDEXES, AsJson, IndexName, TableFile, index_path
from auditor.terminal.show import show

if TYPE_CHECKING:
    from auditor.records import BackboneRow, Check, IndexSummary
    from auditor.report.tables import Entry
    from auditor.report.views import View


def list_(json: AsJson = False, table: TableFile = None) -> None:
    """List the indexes here: what each is made of, its weights, size and date.

    Example: audit list
    """
    from auditor.store.listing import list_indexes

    summaries = tuple(map(_with_evidence, list_indexes(INDEXES)))
    show(summaries, as_json=json, table=table, view=view_indexes(summaries))


QUICK = 5_000_000
"""Cells of an index that are counted for its row: 2.5 million take a quarter of a second."""


def _with_evidence(summary: IndexSummary) -> IndexSummary:
    """The row with what its cells are worth, where that is known at once."""
    from auditor.measure.evidence import cell_evidence
    from auditor.questions.hygiene.ask import brief
    from auditor.store.index import Index

    if summary.problem or not summary.is_complete or summary.cells > QUICK:
        return summary
    try:
        with Index.open(INDEXES / summary.name) as index:
            evidence = None if summary.head == "none" else cell_evidence(index)
            verdict = brief(index)
    except AuditError as error:  # what the sizes of its files did not show
        return replace(summary, problem=str(error))
    return replace(summary, evidence=evidence.sentence if evidence else None, hygiene=verdict)


def check(
    index: IndexName = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild what is derived from the shards.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Verify every file of an index, and compare its dataset; exit 4 if something is damaged.

    Example: audit check --index birds-dinov2 --repair
    """
    from auditor.indexing.changes import dataset_differences
    from auditor.search.make_lists import prepare_search
    from auditor.store.check import check as verify
    from auditor.terminal.progress import Bar

    path = index_path(index)
    checked = verify(path, repair=repair)
    if repair and checked.is_sound:
        with Bar(quiet=json) as bar:
            prepare_search(path, bar)
    if checked.is_sound and (differences := dataset_differences(path)) is not None:
        names = differences.names
        checked = replace(checked, changed=names(differences.changed), gone=names(differences.gone))
    show(checked, as_json=json, view=view_check(checked), about=_about(path))
    if not checked.is_sound:
        sys.exit(IndexDamaged.exit_code)


def _about(path: Path) -> tuple[IndexSummary, ...]:
    """The index, as far as its manifest can be read."""
    from auditor.store.listing import summary_of

    try:
        return (summary_of(path),)
    except AuditError:
        return ()


def models(json: AsJson = False, table: TableFile = None) -> None:
    """List the backbones that have a short name; any timm/NAME or open_clip/NAME:TAG works too.

    Example: audit index ./photos --backbone timm/convnext_tiny.fb_in22k
    """
    from auditor.models.catalog import rows

    backbones = rows()
    show(backbones, as_json=json, table=table, view=view_backbones(backbones))


# ------------------------------------------------------------------------------------- as tables


def view_indexes(summaries: Sequence[IndexSummary]) -> View:
    """The indexes here, a row each."""
    from auditor.report.tables import Table, columns_of
    from auditor.report.views import View

    if not summaries:
        return View("Nothing to show.")
    notes = (f"{each.name} cannot be used: {each.problem}" for each in summaries if each.problem)
    columns = (
        *columns_of("Index|Dataset|Backbone|Weights|Head|Certificate", "Images|Cells|Size"),
        *columns_of("Changed", ""),
    )
    known = [each for each in summaries if each.backbone]
    rows = tuple(map(_summary, known))
    tables = (Table("Indexes", columns, rows, tuple(_remarks(known))),) if known else ()
    return View("Indexes", tables, notes=tuple(notes))


def _remarks(summaries: Sequence[IndexSummary]) -> Iterator[str]:
    """What the rows leave open."""
    from auditor.report.text import plural, tell_agreement

    for each in summaries:
        if each.is_newest:
            yield f"* {each.name} is the newest: commands use it where --index names no other"
        if each.part:
            yield f"{each.name} is part {each.part}; once all are made, join them with: audit merge"
        elif not each.is_complete:
            yield f"{each.name} is unfinished; run its audit index again to continue it"
        if each.broken:
            yield f"{each.name}: {each.broken:,} of {plural(each.images, 'image')} could not be read"
        yield from (f"{each.name}: {caveat}" for caveat in each.caveats)
        if each.agreement:
            yield f"{each.name}: {tell_agreement(each.agreement)}"
        if each.search:
            yield (
                f"{each.name}: search finds {each.search.recall:.1%} of the 20 nearest cells of other images "
                f"(measured on {each.search.asked:,} of {each.search.measured:,} cells), looking into "
                f"{each.search.probed:,} of {plural(each.search.lists, 'list')} and at "
                f"{each.search.reranked:,} stored features"
            )
        if each.evidence:
            yield f"{each.name}: {each.evidence}"
        if each.hygiene:
            yield f"{each.name}: hygiene: {each.hygiene}; see: audit hygiene --index {each.name}"


def _summary(summary: IndexSummary) -> tuple[Entry, ...]:
    from auditor.report.tables import Entry
    from auditor.report.text import NO_DATA, size

    verdict = summary.certificate.verdict if summary.certificate else NO_DATA
    state = "unusable" if summary.problem else "" if summary.is_complete else "unfinished"
    if summary.part:
        state = f"part {summary.part}"
    return (
        Entry(f"{summary.name} *" if summary.is_newest else summary.name, state),
        Entry(summary.dataset),
        Entry(Path(summary.backbone).name if Path(summary.backbone).is_absolute() else summary.backbone),
        Entry(_weights(summary.weights)),
        Entry(summary.head),
        Entry(verdict),
        Entry(f"{summary.images:,}"),
        Entry(f"{summary.cells:,}"),
        Entry(size(summary.bytes)),
        Entry(_minute(summary.modified) or NO_DATA),
    )


def _weights(weights: str) -> str:
    """A file's name without its folder; that nobody trained random ones is said beside them."""
    return f"{weights}, untrained" if weights.startswith("random") else Path(weights).name


def _minute(time: str) -> str:
    """An ISO time on the clock of whoever reads it, to the minute."""
    return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M}" if time else ""


def view_check(checked: Check) -> View:
    """The verdict, what was verified, and what is or was damaged."""
    from auditor.report.text import plural, size
    from auditor.report.views import View

    verdict = "is sound" if checked.is_sound else f"is damaged: {plural(len(checked.problems), 'problem')}"
    lines = (
        f"{plural(checked.files, 'file')}, {size(checked.bytes)} verified",
        *(f"damaged   {problem}" for problem in checked.problems),
        *(f"repaired  {repaired}" for repaired in checked.repaired),
        *(f"repair with:  {command}" for command in checked.repair),
        *_differences(checked),
    )
    return View(f"{checked.index} {verdict}", notes=lines)


def _differences(checked: Check) -> Iterator[str]:
    """How the dataset differs from what was indexed; answers are about the images as they were."""
    if checked.changed is None or checked.gone is None:
        return
    yield from (f"changed   {path}" for path in checked.changed)
    yield from (f"gone      {path}" for path in checked.gone)
    if checked.changed or checked.gone:
        yield "the index is older than its dataset: run its audit index again"


def view_backbones(rows: Sequence[BackboneRow]) -> View:
    """The catalog, a row each."""
    from auditor.report.tables import Table, columns_of
    from auditor.report.views import View

    columns = (
        *columns_of("Name|Library and model", "Grid|Dim|Size"),
        *columns_of("Aggregation|Readout|Note", ""),
    )
    return View("Backbones", (Table("Backbones", columns, tuple(map(_backbone, rows))),))


def _backbone(row: BackboneRow) -> tuple[Entry, ...]:
    from auditor.report.tables import Entry
    from auditor.report.text import size

    numbers = (f"{row.grid[0]}x{row.grid[1]}", str(row.dim), size(4 * row.parameters))
    model = f"{row.library}/{row.model}"
    texts = (row.name, model, *numbers, row.aggregation, row.readout, row.note)
    return tuple(map(Entry, texts))
