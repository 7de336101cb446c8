"""Tables 1 to 3: every rate of one index, as its record defines them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.measure.absence import explain_absence
from auditor.measure.census import take_census
from auditor.measure.chance import with_chance
from auditor.measure.counts import Counts, Target, count_images, count_pairs
from auditor.measure.evidence import cell_evidence
from auditor.measure.present import rank_present
from auditor.measure.rates import mean_rate, whole_rate
from auditor.measure.real_labels import read_real
from auditor.measure.regrid import Grid, common_grid
from auditor.questions.metrics.record import Among, ImageRow, MatchedMetrics, Metrics, PresentMetrics
from auditor.report.metric import metrics_of
from auditor.report.wish import Answer, Wish
from auditor.store import Index, once

COUNTED = (
    *("top1", "top5", "fg_cells", "bg_cells", "fg_hits", "fg_cells_without_bg", "fg_hits_without_bg"),
    *("real", "real_top1", "real_found"),
)
PAIRED = ("fg_det", "bg_act", "bg_act_without_fg", "det_top1", "det_top5")


@once
def metrics(
    index: Index,
    *,
    target: Target = "all",
    real: Path | None = None,
    classes: Among = "all",
    beside: Sequence[Index] = (),
) -> Metrics:
    """Every metric of section 4.1; `target` is all labels of an image or the one that the dataset names.

    `real` is a file of ReaL labels to use instead of the index's own; with `classes` present, Table 2 is
    computed among the classes that the dataset holds as well. `beside` are indexes that it is compared with:
    where their grids differ, any-cell rates are given on the coarsest of them as well.
    """
    labels = None if real is None else read_real(index, real)
    pairs = with_chance(index, count_pairs(index, target))
    tables = {"pairs": pairs, "images": count_images(index, target, labels)}
    return Metrics(
        index=index.name,
        backbone=index.manifest.backbone.name,
        images=len(tables["images"]["image"]),
        certificate=index.manifest.certificate,
        present=_present(index, target) if classes == "present" else None,
        census=take_census(index),
        evidence=cell_evidence(index),
        absent=explain_absence(index),
        matched=_matched(index, target, common_grid((index, *beside))),
        **_rates(Metrics, tables),
    )


def _matched(index: Index, target: Target, grid: Grid | None) -> MatchedMetrics | None:
    if grid is None:
        return None
    pairs = with_chance(index, count_pairs(index, target, grid), grid)
    return MatchedMetrics(grid, **_rates(MatchedMetrics, {"pairs": pairs}))


def _rates(kind: type, tables: dict[str, Counts]) -> dict[str, Any]:
    """Every metric that is counted, by the field that defines it."""
    rates = {}
    for name, metric in metrics_of(kind).items():
        if metric.counts is not None:
            rows = metric.counts(tables[metric.over])
            rates[name] = mean_rate(rows) if metric.is_mean else whole_rate(rows)
    return rates


def _present(index: Index, target: Target) -> PresentMetrics:
    ranks = rank_present(index, target=target)
    return PresentMetrics(ranks.classes, *ranks.within(ranks.images), *ranks.within(ranks.pairs))


def image_rows(index: Index, *, target: Target = "all") -> tuple[ImageRow, ...]:
    """The counts behind every metric, image by image, those of pairs summed over the image's classes."""
    images, pairs = count_images(index, target), count_pairs(index, target)
    counts = {name: images[name] for name in COUNTED} | _sum_pairs(pairs, images["image"])
    return tuple(
        ImageRow(
            path=str(images["path"][row]),
            label=_optional(images["label"], row),
            predicted=_optional(images["predicted"], row),
            **{name: int(column[row]) for name, column in counts.items()},
        )
        for row in range(len(images["image"]))
    )


def _sum_pairs(pairs: Counts, images: NDArray[Any]) -> Counts:
    rows = np.searchsorted(images, pairs["image"])
    sums = {"classes": np.bincount(rows, minlength=len(images))}
    for name in PAIRED:
        count = metrics_of(Metrics)[name].counts
        assert count is not None
        sums[name] = np.bincount(rows, weights=count(pairs)[0], minlength=len(images))
    return sums


def _optional(column: NDArray[Any], row: int) -> int | None:
    value = column[row]
    return None if value is np.ma.masked else int(value)


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: Tables 1 to 3."""
    yield Answer((metrics(index),))
