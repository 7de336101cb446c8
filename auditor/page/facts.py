"""What a page says of its index before any answer: banners, the numbers of the whole set, facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditor.measure.rates import wilson
from auditor.questions.context.record import ContextTable
from auditor.questions.hygiene.ask import hygiene
from auditor.questions.hygiene.record import Hygiene
from auditor.questions.metrics.record import Metrics
from auditor.records import Rate
from auditor.report.metric import metrics_of
from auditor.report.page_parts import Section, Tile
from auditor.report.tables import metric_entry
from auditor.report.text import certify, plural, tell_agreement, tell_empty
from auditor.store import Index

TILES = ("top1", "top5", "loc", "fg_det", "bg_act", "bg_act_without_fg", "delta")
"""The numbers of the whole set that stand above all tables."""
NO_FINDING = "Nothing that the number of images supports."
UNMATCHED = "classes are not among the head's"  # in the note that says so


def banners(index: Index) -> tuple[str, ...]:
    """What must be known before anything is believed."""
    manifest = index.manifest
    certificate = manifest.certificate
    is_exact = certificate is None or certificate.verdict == "exact" or manifest.readout == "exact"
    return (
        *manifest.caveats,
        *(note for note in manifest.dataset.notes if UNMATCHED in note),
        *_lost(index, "broken"),
        *([] if is_exact or certificate is None else [f"Not an exact readout. {certify(certificate)}"]),
    )


def warnings(sections: Sequence[Section], others: Sequence[Index]) -> tuple[str, ...]:
    """What an answer says against believing the others: that cells are not worth reading, whose they are."""
    records = (section.record for section in sections)
    own = (each.sentence for each in records if isinstance(each, Hygiene) and each.verdict == "fail")
    compared = ((other.name, hygiene(other)) for other in others)
    return (*own, *(f"{name}: {each.sentence}" for name, each in compared if each.verdict == "fail"))


def nothing(sections: Sequence[Section]) -> str:
    """What is said where there is no finding: the reason, where classes cannot be judged at all."""
    for section in sections:
        table = section.record
        if isinstance(table, ContextTable) and not table.is_judged:
            return f"{table.sentence[0].upper()}{table.sentence[1:]}."
    return NO_FINDING


def tiles(sections: Sequence[Section]) -> tuple[Tile, ...]:
    """The numbers of the whole set, those that were counted."""
    for section in sections:
        if isinstance(section.record, tuple) and section.record and isinstance(section.record[0], Metrics):
            return tuple(_tiles(section.record[0]))
    return ()


def _tiles(answer: Metrics) -> Iterator[Tile]:
    for name in TILES:
        metric, value = metrics_of(Metrics)[name], getattr(answer, name)
        if value is None or (isinstance(value, Rate) and not value.total):
            continue
        entry = metric_entry(value, metric.unit)
        unit = " %" if metric.unit == "percent" else ""
        bounds = wilson(value) if isinstance(value, Rate) else None
        yield Tile(metric.title, entry.text + unit, entry.detail, metric.definition, metric.source, bounds)


def facts(index: Index) -> tuple[tuple[str, str], ...]:
    """The index in pairs of label and value."""
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
        *([("Agreement", tell_agreement(manifest.agreement))] if manifest.agreement else []),
    )


def _lost(index: Index, status: str) -> tuple[str, ...]:
    """The sentence on images of a status, with the first reason; nothing where there are none."""
    rows = index.query(
        "SELECT count(*) AS n, min(path) AS path, min(error) AS error FROM images "
        "WHERE status = ? AND NOT is_removed",
        [status],
    )
    (count,), (path,), (error,) = (rows[name].tolist() for name in ("n", "path", "error"))
    if not count:
        return ()
    return (
        f"{plural(count, 'image')} {'is' if count == 1 else 'are'} {status}, for example {path}: {error}",
    )


def remarks(index: Index) -> tuple[str, ...]:
    """What was left out on purpose, and cells that say nothing."""
    summary = index.summary()
    empty = summary.empty_cells
    sentence = (tell_empty(empty, summary.images_with_empty_cells or 0),) if empty else ()
    return (*_lost(index, "filtered"), *sentence)
