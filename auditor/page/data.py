"""What the page's script reads: the records' own numbers by column, and what its views need to draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from auditor.page.compare.record import Comparison
from auditor.page.points import map_points
from auditor.questions.confusion.record import ClassAccuracy, Confusion
from auditor.questions.context.record import ClassContext, ContextTable
from auditor.questions.fills.record import FillTable
from auditor.questions.map.record import CellMap
from auditor.questions.pool.record import Pooling
from auditor.questions.threshold.record import Thresholds
from auditor.report.flat import to_columns
from auditor.report.metric import metrics_of
from auditor.report.page_parts import Section, Verdict
from auditor.store import Index


def page_data(index: Index, sections: Sequence[Section], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Everything but the images that the page carries."""
    manifest = index.manifest
    maps = [section.record for section in sections if isinstance(section.record, CellMap)]
    return {
        "index": index.name,
        "grid": list(index.grid),
        "side": manifest.preprocess.crop,
        "variants": list(manifest.variants),
        "fill": {"name": manifest.fill, "colour": _fill_colour(index)},
        "names": [each.name for each in manifest.classes],
        "synsets": [each.synset for each in manifest.classes],
        "classes": _columns(sections, ContextTable),
        "accuracy": _columns(sections, Confusion, "classes"),
        "definitions": _definitions(),
        "findings": [_finding(each) for each in verdicts],
        "map": map_points(index, maps[0]) if maps else None,
        "charts": dict(_charts(sections)),
        "others": [_other(section.record) for section in sections if isinstance(section.record, Comparison)],
    }


def _columns(sections: Sequence[Section], kind: type, part: str = "rows") -> dict[str, list[Any]] | None:
    """The rows of the first record of a kind by column; rates by their hits and totals alone."""
    for section in sections:
        if isinstance(section.record, kind):
            rows = getattr(section.record, part)
            if not rows:
                return None
            columns: dict[str, list[Any]] = to_columns(rows, "lists")
            rates = {name.removesuffix("_hits") + "_value" for name in columns if name.endswith("_hits")}
            return {name: column for name, column in columns.items() if name not in rates}
    return None


def _definitions() -> dict[str, dict[str, str]]:
    metrics = {**metrics_of(ClassAccuracy), **metrics_of(ClassContext)}
    return {
        name: {"title": each.title, "definition": each.definition, "source": each.source}
        for name, each in metrics.items()
    }


def _finding(verdict: Verdict) -> dict[str, Any]:
    finding = verdict.finding
    return {
        "rank": verdict.rank,
        "subject": finding.subject,
        "sentence": finding.sentence,
        "command": verdict.command,
        "hits": finding.rate.hits,
        "total": finding.rate.total,
        "interval": finding.interval,
        "q": finding.q_value,
        "cells": finding.cells,
        "variant": finding.variant,
    }


def _other(answer: Comparison) -> dict[str, Any]:
    """What another index says of the images of which it says something else."""
    return {"index": answer.second, "answers": {row.path: row.second for row in answer.images}}


def _fill_colour(index: Index) -> list[int] | None:
    """What stands where pixels were occluded; None where that depends on the image."""
    manifest = index.manifest
    if manifest.fill == "mean":
        return [round(255 * value) for value in manifest.preprocess.mean]
    colours = {"black": [0, 0, 0], "grey": [128, 128, 128]}
    return colours.get(manifest.fill)


def _charts(sections: Sequence[Section]) -> Iterator[tuple[str, Any]]:
    """Curves and rows that the page draws itself, by the number of their section."""
    for section in sections:
        record = section.record
        if isinstance(record, Thresholds):
            yield "threshold", to_columns(record, "lists")
        elif isinstance(record, Pooling):
            yield "pool", to_columns(record.rows, "lists")
        elif isinstance(record, FillTable):
            yield "fills", to_columns(record.rows, "lists")
