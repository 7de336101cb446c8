"""Tables 7 and 8: classes by how much of them a network sees in the background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.measure.counts import Counts, count_pairs
from auditor.measure.images import find_class, grids_of
from auditor.measure.rates import PAIR_RATES, rates_by, wilson
from auditor.measure.significance import correct, mcnemar
from auditor.records import ClassContext, ClassDetail, ContextTable
from auditor.store import Index

By = Literal["delta", "bg_act_wo_fg"]
Flags = NDArray[np.bool_]


def context(index: Index, *, by: By = "delta", minimum: int = 1) -> ContextTable:
    """Classes with at least `minimum` images that have a background cell, most context-dependent first."""
    counts = count_pairs(index, "all")
    if not counts["bg_cells_without_fg"].any():
        raise DatasetError(
            f"{index.name} has no background to compare: context needs boxes or masks; "
            f"build it with: audit index {index.manifest.dataset.root} --annotations FILE"
        )
    rows = [row for row in _class_rows(index, counts) if row.bg_act_without_fg.total >= max(minimum, 1)]
    return ContextTable(index.name, by, tuple(sorted(_correct(rows), key=lambda row: _rank(row, by))))


def class_detail(index: Index, label: int | str, *, limit: int | None = None) -> ClassDetail:
    """One class's row, corrected over all classes, and its images: those that gain the class first."""
    wanted = find_class(index, str(label))
    counts = count_pairs(index, "all")
    row = next((row for row in _correct(_class_rows(index, counts)) if row.label == wanted), None)
    if row is None:
        name = index.manifest.classes[wanted].name
        raise DatasetError(f"no image of {index.name} is labelled {name} ({wanted}); see: audit context")
    own = counts["class"] == wanted
    gained, lost, kept = (part[own] for part in _changes(counts))
    order = np.lexsort((counts["image"][own], ~kept, ~lost, ~gained))
    images = counts["image"][own][order][:limit]
    return ClassDetail(index.name, row, tuple(grids_of(index, int(image)) for image in images))


def _class_rows(index: Index, counts: Counts) -> list[ClassContext]:
    """A row for every class that some image is labelled with; q-values come later."""
    classes, group = np.unique(np.asarray(counts["class"], dtype=np.int64), return_inverse=True)
    rates = {name: rates_by(group, rows(counts), len(classes)) for name, rows in PAIR_RATES.items()}
    gained, lost, _ = (np.bincount(group, weights=part, minlength=len(classes)) for part in _changes(counts))
    images = np.bincount(group, minlength=len(classes))
    rows = []
    for position, label in enumerate(classes):
        known = index.manifest.classes[label]
        before, after = rates["bg_act"][position], rates["bg_act_without_fg"][position]
        more, less = int(gained[position]), int(lost[position])
        rows.append(
            ClassContext(
                label=int(label),
                name=known.name,
                synset=known.synset,
                images=int(images[position]),
                loc=rates["loc"][position],
                fg_det=rates["fg_det"][position],
                bg_act=before,
                bg_act_interval=wilson(before),
                bg_act_without_fg=after,
                bg_act_without_fg_interval=wilson(after),
                gained=more,
                lost=less,
                p_value=mcnemar(more, less) if after.total else None,
                q_value=None,
            )
        )
    return rows


def _changes(counts: Counts) -> tuple[Flags, Flags, Flags]:
    """Pairs whose background shows the class only without foreground, only with it, and both times."""
    compared = (counts["bg_cells"] > 0) & (counts["bg_cells_without_fg"] > 0)
    before, after = counts["bg_hits"] > 0, counts["bg_hits_without_fg"] > 0
    return compared & after & ~before, compared & before & ~after, compared & before & after


def _correct(rows: Sequence[ClassContext]) -> list[ClassContext]:
    """Fill in the q-values over the rows that have a test."""
    q_values = correct([row.p_value for row in rows])
    return [replace(row, q_value=q) for row, q in zip(rows, q_values, strict=True)]


def _rank(row: ClassContext, by: By) -> tuple[float, int, int]:
    """Largest first; among equals the class with more images, then the lower id."""
    value = row.delta if by == "delta" else row.bg_act_without_fg.value
    return (-value if value is not None else np.inf, -row.bg_act_without_fg.total, row.label)
