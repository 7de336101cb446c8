"""Tables 7 and 8: classes by how much of them a network sees in the background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.measure.absence import explain_no_background
from auditor.measure.chance import shares_elsewhere, with_chance
from auditor.measure.counts import Counts, count_pairs
from auditor.measure.images import find_class, grids_of
from auditor.measure.rates import least_change, least_difference, means_by, rates_by, wilson
from auditor.measure.significance import correct, mcnemar
from auditor.questions.context.record import By, ClassContext, ClassDetail, ContextTable
from auditor.report.findings import Finding
from auditor.report.metric import metrics_of
from auditor.report.text import interval, percent, share
from auditor.report.wish import Answer, Subject, Wish
from auditor.store import Index, once

JUDGED = 2  # images with background: of fewer, nothing can be told from chance
FOUND = 0.02  # of the background cells at least; ten sets of scenes without faults gave 0.011 at most
SHOWN = 3  # images that show a finding
LOOKED_AT = 50  # images of the class among which the one with foreground is sought

Flags = NDArray[np.bool_]

HITS = """
WITH hits AS (
  SELECT images.id, path, cell FROM images JOIN cells ON cells.image = images.id
  WHERE usable AND list_contains(labels, $label) AND variant = 2 AND NOT cells.foreground
    AND top1 = $label),
most AS (SELECT id, count(*) AS n FROM hits GROUP BY id ORDER BY n DESC, id LIMIT $images)
SELECT path, cell FROM hits JOIN most USING (id) ORDER BY n DESC, id, cell
"""


@once
def context(
    index: Index, *, by: By = "delta", minimum: int = 1, plain: bool = False, shows_all: bool = False
) -> ContextTable:
    """Classes with at least `minimum` images that have a background cell, most context-dependent first.

    They are ranked by what the data support, the lower end of an interval (`ClassContext.least`), or with
    `plain` by the paper's rates as they are. q-values are over all classes, whatever the minimum.
    """
    rows = _correct(_class_rows(index, _counts(index)))
    kept = [row for row in rows if row.bg_act_without_fg.total >= max(minimum, 1)]
    rank = _rank_plainly if plain else _rank
    return ContextTable(
        index=index.name,
        by=by,
        rows=tuple(sorted(kept, key=lambda row: rank(row, by))),
        plain=plain,
        minimum=minimum,
        largest=max((row.bg_act_without_fg.total for row in rows), default=0),
        shows_all=shows_all,
    )


def p_values(index: Index) -> dict[int | None, float | None]:
    """The test of every class, uncorrected: the family that one class's test belongs to."""
    return {row.label: row.p_value for row in _class_rows(index, count_pairs(index, "all"))}


def _counts(index: Index) -> Counts:
    """The counts of all pairs; DatasetError, with the true reason, where there is no background."""
    counts = count_pairs(index, "all")
    if not counts["bg_cells_without_fg"].any():
        raise DatasetError(explain_no_background(index))
    return counts


def class_detail(index: Index, label: int | str, *, limit: int | None = None) -> ClassDetail:
    """One class's row, corrected over all classes, and its images: those that gain the class first."""
    wanted = find_class(index, str(label))
    counts = count_pairs(index, "all")
    row = next((row for row in _correct(_class_rows(index, counts)) if row.label == wanted), None)
    if row is None and not len(counts["class"]):
        raise DatasetError(f"no image of {index.name} has a label that its head knows")
    if row is None:
        name = index.manifest.classes[wanted].name
        raise DatasetError(
            f"no image of {index.name} is labelled {name} ({wanted}); those that are: "
            f"audit context --index {index.name} --all --plain"
        )
    own = counts["class"] == wanted
    gained, lost, kept = (part[own] for part in _changes(counts))
    order = np.lexsort((counts["image"][own], ~kept, ~lost, ~gained))
    images = counts["image"][own][order][:limit]
    return ClassDetail(index.name, row, tuple(grids_of(index, int(image)) for image in images))


def _class_rows(index: Index, counts: Counts) -> list[ClassContext]:
    """A row for every class that some image is labelled with; q-values come later."""
    classes, group = np.unique(np.asarray(counts["class"], dtype=np.int64), return_inverse=True)
    counts = with_chance(index, counts)
    rates = _rates_by(group, counts, len(classes))
    elsewhere = shares_elsewhere(index)
    changes = [np.bincount(group, weights=part, minlength=len(classes)) for part in _changes(counts)]
    images = np.bincount(group, minlength=len(classes))
    rows = []
    for position, label in enumerate(classes):
        own = {name: column[position] for name, column in rates.items()}
        before, after = own["bg_act"], own["bg_act_without_fg"]
        gained, lost, kept = (int(part[position]) for part in changes)
        can_judge = after.total >= JUDGED
        share, other = own["bg_share"], elsewhere.get(int(label))
        rows.append(
            ClassContext(
                label=int(label),
                name=index.manifest.classes[label].name,
                synset=index.manifest.classes[label].synset,
                images=int(images[position]),
                bg_act_interval=wilson(before),
                bg_act_without_fg_interval=wilson(after),
                gained=gained,
                lost=lost,
                p_value=mcnemar(gained, lost) if after.total else None,
                q_value=None,
                bg_share_elsewhere=other[0] if other else None,
                least_excess=least_difference((share, after.total), other) if can_judge and other else None,
                least_delta=least_change(kept, gained, lost, after.total) if can_judge else None,
                **own,
            )
        )
    return rows


def _rates_by(group: NDArray[np.int64], counts: Counts, classes: int) -> dict[str, list[Any]]:
    """Every counted metric of a row, class by class; each class counts its own pairs alone."""
    return {
        name: (means_by if metric.is_mean else rates_by)(group, metric.counts(counts), classes)
        for name, metric in metrics_of(ClassContext).items()
        if metric.counts
    }


def _changes(counts: Counts) -> tuple[Flags, Flags, Flags]:
    """Pairs whose background shows the class only without foreground, only with it, and both times."""
    compared = (counts["bg_cells"] > 0) & (counts["bg_cells_without_fg"] > 0)
    before, after = counts["bg_hits"] > 0, counts["bg_hits_without_fg"] > 0
    return compared & after & ~before, compared & before & ~after, compared & before & after


def _correct(rows: Sequence[ClassContext]) -> list[ClassContext]:
    """Fill in the q-values over the rows that have a test."""
    q_values = correct([row.p_value for row in rows])
    return [replace(row, q_value=q) for row, q in zip(rows, q_values, strict=True)]


def _rank(row: ClassContext, by: By) -> tuple[float, float, int, int]:
    """What the data support most first; last the classes of which they say nothing, in the plain order."""
    least = row.least(by)
    return (np.inf if least is None else -least, *_rank_plainly(row, by))


def _rank_plainly(row: ClassContext, by: By) -> tuple[float, int, int]:
    """Largest first; among equals the class with more images, then the lower id."""
    value = row.delta if by == "delta" else row.bg_act_without_fg.value
    return (-value if value is not None else np.inf, -row.bg_act_without_fg.total, row.label)


# ------------------------------------------------------------------------------------- on a page


def rank_classes(by_background: ContextTable, by_delta: ContextTable) -> list[int]:
    """Classes by context dependence: of Tables 7 and 8 the first of each, then the second."""
    rows = chain.from_iterable(zip(by_background.rows, by_delta.rows, strict=True))
    return list(dict.fromkeys(row.label for row in rows))


def find_subject(index: Index) -> Subject:
    """Of the most context-dependent class the first image with foreground; else the index's first image."""
    try:
        label = rank_classes(context(index, by="bg_act_wo_fg"), context(index))[0]
    except DatasetError:  # nothing is annotated: some questions can still be asked
        return _first_image(index)
    images = class_detail(index, label, limit=LOOKED_AT).images
    annotated = (grids for grids in images if grids.foreground is not None and grids.foreground.any())
    return Subject(next(annotated, images[0]).path, label)


def _first_image(index: Index) -> Subject:
    rows = index.query(
        "SELECT path, coalesce(label, top5_original[1]) AS class FROM images WHERE usable ORDER BY id LIMIT 1"
    )
    if not len(rows["path"]):
        raise DatasetError(f"{index.name} has no image that the model could be asked about")
    return Subject(str(rows["path"][0]), int(rows["class"][0]))


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: Tables 8 and 7."""
    yield Answer(context(index))
    yield Answer(context(index, by="bg_act_wo_fg"), ("--by", "bg_act_wo_fg"))


def findings(index: Index) -> Iterator[Finding]:
    """Classes that take more of their own images' background than of others', with every object covered."""
    for row in context(index, by="bg_act_wo_fg").rows:
        rate, bounds = row.bg_act_without_fg, row.bg_act_without_fg_interval
        if row.least_excess is None or row.least_excess < FOUND or rate.value is None:
            continue
        sentence = (
            f"{row.name} is predicted where no object is left: {percent(rate)} % of {rate.total} images "
            f"({interval(bounds)}) still show it with every object covered, in {share(row.bg_share)} % of "
            f"their background cells, against {share(row.bg_share_elsewhere)} % in other images."
        )
        words = ("context", "--class", str(row.label))
        cells = _hits_without_foreground(index, row.label)
        # no q: the row's own tests Delta, another question
        yield Finding(row.name, sentence, rate, bounds, None, row.least_excess, words, cells, "without_fg")


def _hits_without_foreground(index: Index, label: int) -> tuple[str, ...]:
    """Background cells that show the class with every object covered, in the images that have most."""
    rows = index.query(HITS, {"label": label, "images": SHOWN})
    width = index.grid[1]
    return tuple(
        f"{path}:{cell // width},{cell % width}"
        for path, cell in zip(rows["path"].tolist(), rows["cell"].tolist(), strict=True)
    )
