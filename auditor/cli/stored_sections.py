"""The sections of the report that an index answers by itself: no model, no torch."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from PIL import Image

from auditor.cli.map_pictures import clusters_picture, map_picture
from auditor.cli.options import index_path
from auditor.cli.pictures import (
    crop,
    find_similar,
    grid_picture,
    match_picture,
    similar_picture,
    variants_picture,
)
from auditor.draw.charts import draw_thresholds
from auditor.draw.grids import figure
from auditor.draw.heat import draw_class_maps
from auditor.errors import DatasetError
from auditor.explain.cam import class_maps
from auditor.grids import parse_cell
from auditor.measure.context import class_detail, context
from auditor.measure.images import grids_of
from auditor.measure.metrics import metrics
from auditor.measure.pool import pool
from auditor.measure.scores import require_scores
from auditor.measure.threshold import thresholds
from auditor.records import ImageGrids
from auditor.report.sections import Figure, Section
from auditor.search.cluster import describe
from auditor.search.match import match
from auditor.store import Index
from auditor.store.derived import MAP

Part = Iterator[Section | str]
"""The sections of one question, and sentences for the page's notes."""

SHOWN = 3  # images of a class, each in all variants
MAPPED = 4  # classes of an image, each with its map
CLUSTERS = 20  # rows of exemplars: those that the table lists


def write_command(index: Index, name: str, *words: str) -> str:
    """The line that asks the same again, in a shell."""
    is_here = index_path(index.name).resolve() == index.path.resolve()
    known = index.name if is_here else str(index.path)
    return shlex.join(["audit", name, "--index", known, *words])


def caption(picture: Image.Image, text: str) -> tuple[Figure, ...]:
    """A drawing with its caption, which is also read out in its place."""
    return (figure(picture, text, text),)


def rank_classes(index: Index) -> list[int]:
    """Classes by context dependence: of Tables 7 and 8 the first of each, then the second."""
    by_background, by_delta = context(index, by="bg_act_wo_fg"), context(index)
    rows = chain.from_iterable(zip(by_background.rows, by_delta.rows, strict=True))
    return list(dict.fromkeys(row.label for row in rows))


def tell_metrics(index: Index) -> Part:
    """Tables 1 to 3."""
    yield Section((metrics(index),), write_command(index, "metrics"))


def tell_grids(index: Index, count: int) -> Part:
    """Figure 0 of images spread evenly over the index."""
    for image in _spread(index, count):
        grids = grids_of(index, image)
        drawn = caption(
            grid_picture(index, grids), f"{grids.path}: the class predicted in every cell (Figure 0)"
        )
        yield Section(grids, write_command(index, "grid", grids.path), drawn)


def _spread(index: Index, count: int) -> list[int]:
    usable: list[int] = index.query("SELECT id FROM images WHERE usable ORDER BY id")["id"].tolist()
    return usable[:: max(1, len(usable) // max(1, count))][:count]


def tell_context(index: Index, classes: int) -> Part:
    """Tables 8 and 7, then the classes that lead them, image by image."""
    yield Section(context(index), write_command(index, "context"))
    by = write_command(index, "context", "--by", "bg_act_wo_fg")
    yield Section(context(index, by="bg_act_wo_fg"), by)
    for label in rank_classes(index)[:classes]:
        detail = class_detail(index, label, limit=SHOWN)
        command = write_command(index, "context", "--class", str(label), "--images", str(SHOWN))
        yield Section(detail, command, tuple(_variants(index, grids) for grids in detail.images))


def _variants(index: Index, grids: ImageGrids) -> Figure:
    text = f"{grids.path}: the class predicted in every cell, original and occluded (Figure 2)"
    return figure(variants_picture(index, grids), text, text)


def tell_thresholds(index: Index) -> Part:
    """Figures 5 and 6."""
    if not len(index.query("SELECT 1 FROM cells WHERE foreground LIMIT 1")["1"]):
        raise DatasetError(f"nothing is annotated in {index.name}; index boxes or masks")
    found = thresholds(index)
    text = "Loc. and BG Act. over the threshold, and Loc. against BG Act., for every score (Figures 5, 6)"
    yield Section(found, write_command(index, "threshold"), caption(draw_thresholds(found), text))


def tell_class_maps(index: Index) -> Part:
    """Figure 7: where an image scores for the classes that it has, and for the one that it is taken for."""
    require_scores(index)  # else the map would be asked of the model, which this page does not load
    for image in _spread(index, 1):
        path, labels = index.path_of(image), _classes_of(index, image)
        found = class_maps(index, path, labels)
        text = f"{path}: where the image scores for {', '.join(each.name for each in found.maps)} (Figure 7)"
        command = write_command(index, "cam", path, "--class", ",".join(map(str, labels)))
        yield Section(found, command, caption(draw_class_maps(crop(index, path), found), text))


def _classes_of(index: Index, image: int) -> list[int]:
    rows = index.query(
        "SELECT list_append(coalesce(labels, [])[:?], top5_original[1]) AS classes FROM images WHERE id = ?",
        [MAPPED - 1, image],
    )
    return [int(label) for label in dict.fromkeys(rows["classes"][0])]


def tell_match(index: Index) -> Part:
    """Figure 9: the first two images of the commonest class that has two."""
    pairs = index.query(
        "SELECT list(path ORDER BY id)[:2] AS pair FROM images WHERE usable AND label IS NOT NULL "
        "GROUP BY label HAVING count(*) > 1 ORDER BY count(*) DESC, label LIMIT 1"
    )["pair"]
    for a, b in pairs.tolist():
        found = match(index, a, b)
        text = f"Corresponding cells of {a} and {b} (Figure 9)"
        yield Section(found, write_command(index, "match", a, b), caption(match_picture(index, found), text))


def tell_map(index: Index) -> Part:
    """Figure 10, where the index has a map: making one takes a minute and loads UMAP."""
    if MAP not in index.manifest.derived:
        yield f"The map is not on this page until there is one; make it with: {write_command(index, 'map')}"
        return
    path = index.path / MAP
    made = index.query("SELECT sample, seed FROM read_parquet($map) LIMIT 1", {"map": str(path)})
    options = (f"--{name}={values[0]}" for name, values in made.items())
    found = describe(index, path)
    shown = replace(found, clusters=found.clusters[:CLUSTERS])
    figures = (
        *caption(
            map_picture(index, found), "The cells on the map, and its most suspicious clusters (Figure 10)"
        ),
        *caption(clusters_picture(index, shown), "Exemplars of each of these clusters, its medoid first"),
    )
    yield Section(found, write_command(index, "map", *options), figures)


def tell_similar(index: Index, patches: Sequence[str]) -> Part:
    """The cells most similar to each patch in other images."""
    for patch in patches:
        image, row, col = parse_cell(patch)
        found = find_similar(index, image, row, col, 20, True)
        drawn = caption(similar_picture(index, found), f"The cells most similar to {patch} in other images")
        yield Section(found, write_command(index, "similar", "--others", "--patch", patch), drawn)


def tell_pooling(index: Index) -> Part:
    """Section 6."""
    yield Section(pool(index), write_command(index, "pool"))
