"""Counting what whole images are taken for, and the other class that their cells show most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from auditor.errors import DatasetError
from auditor.measure.counts import require_head
from auditor.measure.rates import wilson
from auditor.questions.confusion.record import ClassAccuracy, ConfusedPair, Confusion
from auditor.records import Rate
from auditor.report.wish import Answer, Wish
from auditor.store import Index, once

IMAGES = """
SELECT label, top5_original[1] AS predicted, count(*) AS images,
       bool_or(list_contains(labels, top5_original[1])) AS is_own
FROM images WHERE usable AND label IS NOT NULL
GROUP BY label, top5_original[1], list_contains(labels, top5_original[1])
ORDER BY label, predicted
"""
RIVALS = """
WITH shown AS (
  SELECT label, top1, coalesce(list_contains(labels, top1), false) AS is_own
  FROM images JOIN cells ON cells.image = images.id
  WHERE usable AND label IS NOT NULL AND variant = 0 AND coalesce(cells.foreground, true)),
counted AS (SELECT label, top1, count(*) FILTER (NOT is_own) AS cells FROM shown GROUP BY label, top1),
totals AS (SELECT label, count(*) AS total FROM shown GROUP BY label)
SELECT label, arg_max(top1, (cells, -top1)) AS rival, max(cells) AS cells, any_value(total) AS total
FROM counted JOIN totals USING (label) GROUP BY label
"""


@once
def confusion(index: Index) -> Confusion:
    """Every pair of classes that some image confuses, every labelled class's accuracy and rival."""
    require_head(index)
    rows = list(_rows(index, IMAGES))
    if not rows:
        raise DatasetError(
            f"no image of {index.name} is labelled with a class of its head: nothing to confuse"
        )
    totals: dict[int, int] = {}
    right: dict[int, int] = {}
    for row in rows:
        totals[row["label"]] = totals.get(row["label"], 0) + row["images"]
        right[row["label"]] = right.get(row["label"], 0) + row["images"] * (row["label"] == row["predicted"])
    pairs = [
        _pair(index, row, totals) for row in rows if not row["is_own"] and row["predicted"] != row["label"]
    ]
    rivals = {row["label"]: row for row in _rows(index, RIVALS)}
    classes = [_class(index, label, Rate(right[label], totals[label]), rivals.get(label)) for label in totals]
    return Confusion(
        index=index.name,
        images=sum(totals.values()),
        top1=Rate(sum(right.values()), sum(totals.values())),
        pairs=tuple(sorted(pairs, key=lambda pair: (-pair.images.hits, pair.images.total, pair.label))),
        classes=tuple(sorted(classes, key=lambda row: (row.top1.value or 0.0, -row.top1.total, row.label))),
    )


def _rows(index: Index, sql: str) -> Iterator[dict[str, Any]]:
    columns = index.counted(sql)
    for values in zip(*(column.tolist() for column in columns.values()), strict=True):
        yield dict(zip(columns, values, strict=True))


def _pair(index: Index, row: dict[str, Any], totals: dict[int, int]) -> ConfusedPair:
    classes, images = index.manifest.classes, Rate(row["images"], totals[row["label"]])
    label, predicted = row["label"], row["predicted"]
    return ConfusedPair(
        label, classes[label].name, predicted, classes[predicted].name, images, wilson(images)
    )


def _class(index: Index, label: int, top1: Rate, rival: dict[str, Any] | None) -> ClassAccuracy:
    classes = index.manifest.classes
    shown = rival["rival"] if rival and rival["cells"] else None
    return ClassAccuracy(
        label=label,
        name=classes[label].name,
        top1=top1,
        interval=wilson(top1),
        rival=shown,
        rival_name=None if shown is None else classes[shown].name,
        rival_cells=Rate(rival["cells"], rival["total"]) if rival else Rate(0, 0),
    )


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: all of it."""
    yield Answer(confusion(index))
