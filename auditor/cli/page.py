"""Composes the report's page from the answers of one index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from auditor.cli.pictures import find_similar, grid_picture, match_picture, similar_picture, variants_picture
from auditor.cli.progress import Bar
from auditor.errors import DatasetError
from auditor.grids import parse_cell
from auditor.measure.context import class_detail, context
from auditor.measure.images import grids_of
from auditor.measure.metrics import metrics
from auditor.records import ImageGrids
from auditor.report.draw import figure
from auditor.report.sections import Figure, Page, Section
from auditor.search.match import match
from auditor.store import Index

SHOWN = 3  # images of a class, each in all variants


def compose(index: Index, *, patches: Sequence[str], classes: int, images: int, bar: Bar) -> Page:
    """Everything that the index can answer by itself, in the order of the paper."""
    parts: list[Callable[[], Iterator[Section]]] = []
    if index.manifest.head.name != "none":
        parts += [lambda: _numbers(index, classes), lambda: _grids(index, images)]
    parts += [lambda: _similar(index, patches), lambda: _match(index)]
    bar.start("sections", len(parts))
    sections: list[Section] = []
    for part in parts:
        sections += part()
        bar.advance(1)
    manifest = index.manifest
    return Page(
        title=f"{index.name}: what the classifier looked at",
        facts=_facts(index),
        certificate=manifest.certificate,
        sections=tuple(sections),
        notes=manifest.dataset.notes + _left_out(index),
        versions=tuple(manifest.versions.items()),
        command=f"audit report --index {index.name}",
    )


def _facts(index: Index) -> tuple[tuple[str, str], ...]:
    manifest, summary = index.manifest, index.summary()
    height, width = manifest.grid
    preprocess = manifest.preprocess
    return (
        ("Dataset", f"{manifest.dataset.root} ({manifest.dataset.kind})"),
        ("Backbone", f"{manifest.backbone.name}: {manifest.backbone.library} {manifest.backbone.model}"),
        (
            "Weights",
            f"{manifest.backbone.weights}, sha256 {(manifest.backbone.weights_sha256 or 'unknown')[:16]}",
        ),
        ("Head", f"{manifest.head.name}, {len(manifest.classes)} classes"),
        ("Images", f"{summary.images:,}"),
        ("Cells", f"{summary.cells:,}: {height} x {width} of {manifest.dim} numbers per image"),
        (
            "Input",
            f"shorter side {preprocess.resize}, centre crop {preprocess.crop}, {preprocess.interpolation}, "
            f"mean {preprocess.mean}, std {preprocess.std}",
        ),
        ("Occlusion", manifest.fill if len(manifest.variants) > 1 else "none: nothing is annotated"),
    )


def _left_out(index: Index) -> tuple[str, ...]:
    """What could not be read, with the first reasons."""
    rows = index.query(
        "SELECT status, count(*) AS n, min(path) AS path, min(error) AS error FROM images "
        "WHERE status <> 'ok' GROUP BY status ORDER BY status"
    )
    columns = (rows[name].tolist() for name in ("status", "n", "path", "error"))
    return tuple(
        f"{n} images are {status}, for example {path}: {error}"
        for status, n, path, error in zip(*columns, strict=True)
    )


def _numbers(index: Index, classes: int) -> Iterator[Section]:
    yield Section((metrics(index),), f"audit metrics --index {index.name}")
    if len(index.manifest.variants) == 1:
        return
    by_delta, by_background = context(index), context(index, by="bg_act_wo_fg")
    yield Section(by_delta, f"audit context --index {index.name}")
    yield Section(by_background, f"audit context --index {index.name} --by bg_act_wo_fg")
    ranked = chain.from_iterable(zip(by_background.rows, by_delta.rows, strict=True))
    for label in list(dict.fromkeys(row.label for row in ranked))[:classes]:
        detail = class_detail(index, label, limit=SHOWN)
        figures = tuple(_variants(index, grids) for grids in detail.images)
        yield Section(detail, f"audit context --index {index.name} --class {label}", figures)


def _variants(index: Index, grids: ImageGrids) -> Figure:
    caption = f"{grids.path}: the class predicted in every cell, original and occluded (Figure 2)"
    return figure(variants_picture(index, grids), caption, caption)


def _grids(index: Index, count: int) -> Iterator[Section]:
    """Images spread evenly over the index."""
    usable = index.query("SELECT id FROM images WHERE usable ORDER BY id")["id"].tolist()
    for image in usable[:: max(1, len(usable) // max(1, count))][:count]:
        grids = grids_of(index, image)
        caption = f"{grids.path}: the class predicted in every cell (Figure 0)"
        command = f"audit grid --index {index.name} {grids.path}"
        yield Section(grids, command, (figure(grid_picture(index, grids), caption, caption),))


def _similar(index: Index, patches: Sequence[str]) -> Iterator[Section]:
    for patch in patches:
        image, row, col = parse_cell(patch)
        found = find_similar(index, image, row, col, 20, True)
        caption = f"The cells most similar to {patch} in other images"
        command = f"audit similar --index {index.name} --others --patch {patch}"
        yield Section(found, command, (figure(similar_picture(index, found), caption, caption),))


def _match(index: Index) -> Iterator[Section]:
    """The two images of the commonest class that has two, as an example of a correspondence."""
    pairs = index.query(
        "SELECT list(path ORDER BY id)[:2] AS pair FROM images WHERE usable AND label IS NOT NULL "
        "GROUP BY label HAVING count(*) > 1 ORDER BY count(*) DESC, label LIMIT 1"
    )["pair"]
    for a, b in pairs.tolist():
        try:
            found = match(index, a, b)
            drawn = match_picture(index, found)
        except DatasetError:
            return  # the images are gone; the rest of the page does not need them
        caption = f"Corresponding cells of {a} and {b} (Figure 9)"
        yield Section(found, f"audit match --index {index.name} {a} {b}", (figure(drawn, caption, caption),))
