"""Five measurements of an index's own cells, each beside its null, and what each amounts to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from auditor.grids import split_cell_id
from auditor.measure.evidence import cell_evidence, image_ranks
from auditor.measure.rates import SURE, least_difference, wilson, wilson_of
from auditor.measure.reach import measure_reach
from auditor.measure.shuffled import shuffle_labels
from auditor.measure.survival import survival
from auditor.questions.hygiene.record import Check, Hygiene
from auditor.records import Rate
from auditor.report.findings import Finding
from auditor.report.text import percent, plural, share
from auditor.report.wish import Answer, Wish
from auditor.search.norms import measure_norms
from auditor.search.place_bias import place_bias
from auditor.store import Index, once

FEWEST = 10  # images: of fewer, nothing is judged
PLACED = 0.25  # of the cells that know their place, beyond the mirrored one: one in four
READS = 0.5  # of recognised images that stay so when covered: below, the covering is the finding
BINS = 60
NAMED, SHOWN = 10, 3  # high-norm cells that are named, and that show a finding


@once
def hygiene(index: Index) -> Hygiene:
    """Everything that the index can be asked without its images; a check fails only by what is certain."""
    numbers: dict[str, Any] = {}
    checks: list[Check] = []
    if index.manifest.head.name != "none":
        checks += [*_class(index, numbers), _survival(index, numbers)]
        numbers |= _reach(index)
    checks += [_norms(index, numbers), _places(index, numbers)]
    return Hygiene(index=index.name, checks=tuple(checks), **numbers)


@once
def brief(index: Index) -> str:
    """The verdict in a few words, which is all that `audit list` reads."""
    return hygiene(index).brief


def _class(index: Index, numbers: dict[str, Any]) -> Iterator[Check]:
    """Does the class win more foreground cells than a wrong one would, and is it ahead of others there?"""
    found = shuffle_labels(index)
    if found is None:
        reason = "no foreground cell of a labelled image: boxes or masks are needed"
        yield Check("class", None, reason)
        return
    chance = float(found.shares.mean())
    numbers |= {"share": found.share, "share_shuffled": chance, "share_p_value": found.p_value}
    sentence = (
        f"{percent(found.share)} % of its foreground cells say a label of their image, {100 * chance:.1f} % "
        f"when images exchange their labels"
    )
    yield _judge("class", found.images, found.p_value <= SURE, sentence)
    evidence, ranks = cell_evidence(index), image_ranks(index)
    if evidence is None or evidence.rank is None or not len(ranks):
        return
    ahead = Rate(int(np.count_nonzero(ranks < evidence.rank_by_chance)), len(ranks))
    numbers |= {"rank": evidence.rank, "rank_by_chance": evidence.rank_by_chance, "ahead": ahead}
    numbers["ranks"] = tuple(ranks.tolist())
    bounds = wilson(ahead)
    sentence = (
        f"the class is at median place {evidence.rank + 1:,.0f} of {2 * evidence.rank_by_chance + 1:,.0f} in "
        f"its foreground cells, better than the middle in {percent(ahead)} % of the images"
    )
    yield _judge("rank", ahead.total, bounds is not None and bounds[0] > 0.5, sentence)


def _survival(index: Index, numbers: dict[str, Any]) -> Check:
    """Do right cells stay right with everything around the objects covered?"""
    found = survival(index)
    if found is None:
        return Check("context", None, "no right cell with its background covered is stored")
    covered = Rate(found.after.hits, found.before.hits)
    numbers |= {
        "survives": found.kept,
        "survives_elsewhere": found.elsewhere,
        "read_covered": covered,
    }
    sentence = (
        f"{percent(found.kept)} % of the right cells stay right with the background covered, "
        f"{share(found.elsewhere)} % of others show the same then"
    )
    if (covered.value or 0) < READS:
        lost = f"{percent(covered)} % of the recognised images still are"
        return Check("context", None, f"{sentence}; but {lost}: covering is too much for the network to tell")
    share_kept, images = found.kept.value or 0, found.before.hits
    is_local = (
        share_kept > (found.elsewhere or 0) and bool(images) and wilson_of(share_kept, images)[1] >= 0.5
    )
    return _judge("context", images, is_local, sentence)


def _reach(index: Index) -> dict[str, Any]:
    """How far cells see: a number to read others by, and no fault."""
    found = measure_reach(index)
    if found is None:
        return {}
    return {"reach": found.distance, "reach_asked": len(found.changes), "changes": found.changes}


def _norms(index: Index, numbers: dict[str, Any]) -> Check:
    """Are there cells far longer than all others?"""
    found = measure_norms(index)
    if found is None:
        return Check("norms", None, "no cell has content")
    logs = np.log10(found.lengths)
    counts, edges = np.histogram(logs, BINS)
    places = [split_cell_id(int(cell), index.grid) for cell in found.high[:NAMED]]
    numbers |= {
        "high_norm": found.rate,
        "norm_limit": found.limit,
        "high_norm_cells": tuple(f"{index.path_of(image)}:{row},{col}" for image, row, col in places),
        "lengths": tuple(counts.tolist()),
        "length_edges": tuple((10**edges).tolist()),
    }
    sentence = f"{plural(found.rate.hits, 'cell')} of {found.rate.total:,} are far longer than the others"
    return Check("norms", not found.is_many, sentence)


def _places(index: Index, numbers: dict[str, Any]) -> Check:
    """Is a cell nearest to what stands at its own place in other images?"""
    found = place_bias(index)
    if found is None:
        return Check("place", None, "there are not two images, or not two columns, to compare")
    numbers |= {
        "same_place": found.same,
        "mirrored_place": found.mirrored,
        "place_by_chance": 1 / index.manifest.cells_per_image,
        "asked_at": tuple(map(tuple, found.asked_at.tolist())),
        "same_at": tuple(map(tuple, found.same_at.tolist())),
    }
    sentence = (
        f"the nearest cell of another image is at the same place for {100 * found.same:.1f} % of the cells, "
        f"at the mirrored place for {100 * found.mirrored:.1f} %"
    )
    least = least_difference((found.same, found.images), (found.mirrored, found.images))
    return _judge("place", found.images, least <= PLACED, sentence)


def _judge(name: str, images: int, passes: bool, sentence: str) -> Check:
    """The check, judged where there are images enough."""
    if images >= FEWEST:
        return Check(name, bool(passes), sentence)
    return Check(name, None, f"{sentence}; {plural(images, 'image')} are too few to judge")


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: all of it."""
    yield Answer(hygiene(index))


def findings(index: Index) -> Iterator[Finding]:
    """Each check that fails, before whatever else was found: it says how far the rest can be believed."""
    answer = hygiene(index)
    if answer.verdict != "fail":
        return
    rates = {
        "class": answer.share,
        "rank": answer.ahead,
        "context": answer.survives,
        "norms": answer.high_norm,
        "place": Rate(sum(map(sum, answer.same_at)), sum(map(sum, answer.asked_at))),
    }
    for check in answer.checks:
        rate = rates[check.name]
        if check.passes is False and rate is not None:
            sentence = f"Its cells are not worth reading as they are: {check.sentence}."
            cells = answer.high_norm_cells[:SHOWN] if check.name == "norms" else ()
            yield Finding("cells", sentence, rate, None, None, 1.0, ("hygiene",), cells)
