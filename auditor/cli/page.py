"""Composes the report: which questions the index is asked, in which order, and why some go unanswered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditor.cli import live_sections as live
from auditor.cli import stored_sections as stored
from auditor.cli.progress import Bar
from auditor.cli.stored_sections import Part, write_command
from auditor.errors import AuditError
from auditor.report.sections import Page, Section
from auditor.store import Index


def compose(
    index: Index, *, patches: Sequence[str], classes: int, images: int, is_live: bool, bar: Bar
) -> Page:
    """Everything that the index can answer, in the order of the paper; what it cannot becomes a note."""
    parts = dict(_parts(index, patches, classes, images, is_live))
    bar.start("sections", len(parts))
    sections: list[Section] = []
    notes: list[str] = []
    for name, part in parts.items():
        _ask(name, part, sections, notes)
        bar.advance(1)
    manifest = index.manifest
    return Page(
        title=f"{index.name}: what the classifier looked at",
        facts=_facts(index),
        certificate=manifest.certificate,
        sections=tuple(sections),
        notes=(*notes, *manifest.dataset.notes, *_left_out(index)),
        versions=tuple(manifest.versions.items()),
        command=_command(index, patches, classes, images, is_live),
    )


def _ask(name: str, part: Part, sections: list[Section], notes: list[str]) -> None:
    """Add what a part answers, and the reason where it cannot go on."""
    before = len(sections)
    try:
        for answer in part:
            if isinstance(answer, Section):
                sections.append(answer)
            else:
                notes.append(answer)
    except AuditError as reason:
        notes.append(f"{name} {'left out' if len(sections) == before else 'incomplete'}: {reason}")


def _parts(
    index: Index, patches: Sequence[str], classes: int, images: int, is_live: bool
) -> Iterator[tuple[str, Part]]:
    """The questions by name, in the order of the paper's figures and tables."""
    similar = list(stored.tell_similar(index, patches))  # at once: a wrong cell is the user's error, no note
    has_head = index.manifest.head.name != "none"
    subject = live.find_subject(index) if is_live and has_head else None
    if has_head:
        yield from _class_parts(index, classes, images, subject)
    elif is_live:
        yield "Live", iter([f"--live asks about classes, and {index.name} has no head; use --head probe"])
    yield "Correspondence", stored.tell_match(index)
    yield "Map", stored.tell_map(index)
    yield "Similar cells", iter(similar)
    if subject is not None:
        yield "Attack", live.tell_attack(index, subject)
    if has_head:
        yield "Pooling rules", stored.tell_pooling(index)


def _class_parts(
    index: Index, classes: int, images: int, subject: live.Subject | None
) -> Iterator[tuple[str, Part]]:
    """Up to Figure 8 of the paper: everything is about classes."""
    yield "Metrics", stored.tell_metrics(index)
    yield "Prediction grids", stored.tell_grids(index, images)
    yield "Context dependence", stored.tell_context(index, classes)
    if subject is not None:
        yield "One image occluded and inpainted", live.tell_image_context(index, subject)
        yield "Delta under other fills", live.tell_fills(index, subject)
    yield "Thresholds", stored.tell_thresholds(index)
    yield "Class maps", stored.tell_class_maps(index)
    if subject is not None:
        yield "Relevance", live.tell_relevance(index, subject)


def _command(index: Index, patches: Sequence[str], classes: int, images: int, is_live: bool) -> str:
    cells = [word for patch in patches for word in ("--patch", patch)]
    counts = ("--classes", str(classes), "--images", str(images))
    return write_command(index, "report", *cells, *counts, *(["--live"] if is_live else []))


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
