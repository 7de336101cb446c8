"""Composes the report: every question that the index can answer, and why the others go unanswered."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from auditor.draw.grids import figure
from auditor.errors import AuditError
from auditor.explain.crops import is_outside
from auditor.grids import check_cell, parse_cell
from auditor.questions import Question, all_questions
from auditor.questions.context.ask import find_subject
from auditor.report.page_parts import Answer, Figure, Page, Section, Wish
from auditor.report.text import tell_empty
from auditor.report.views import pictures_of
from auditor.store import Index
from auditor.terminal.options import index_path
from auditor.terminal.progress import Bar

Part = Iterator[Section | str]
"""The sections of one question, and sentences for the page's notes."""


def compose(index: Index, wish: Wish, *, is_live: bool, bar: Bar) -> Page:
    """Everything that the index can answer, in the order of the paper; what it cannot becomes a note."""
    has_head = index.manifest.head.name != "none"
    if is_live and has_head:
        wish = replace(wish, subject=find_subject(index))
    questions = [each for each in all_questions() if _can_ask(each, wish, has_head=has_head)]
    for patch in wish.patches:  # at once: a wrong cell is the user's error, no note
        _check(index, patch)
    bar.start("questions", len(questions))
    sections: list[Section] = []
    notes: list[str] = []
    if is_live and not has_head:
        notes.append(f"--live asks about classes, and {index.name} has no head; use --head probe")
    for question in questions:
        sections += _ask(index, question, wish, notes)
        bar.advance(1)
    manifest = index.manifest
    return Page(
        title=f"{index.name}: what the classifier looked at",
        facts=_facts(index),
        certificate=manifest.certificate,
        caveats=manifest.caveats,
        sections=tuple(sections),
        notes=(*notes, *manifest.dataset.notes, *_left_out(index)),
        versions=tuple(manifest.versions.items()),
        command=_command(index, wish, is_live),
    )


def _can_ask(question: Question, wish: Wish, *, has_head: bool) -> bool:
    return (has_head or not question.of_classes) and (wish.subject is not None or not question.needs_model)


def _check(index: Index, patch: str) -> None:
    path, row, col = parse_cell(patch)
    check_cell(row, col, index.grid)
    if not is_outside(index, path):
        index.image(path)


def _ask(index: Index, question: Question, wish: Wish, notes: list[str]) -> list[Section]:
    """What a question answers for the page; a note with the reason where it cannot go on."""
    sections: list[Section] = []
    try:
        for part in _parts(index, question, wish):
            if isinstance(part, Section):
                sections.append(part)
            else:
                notes.append(part)
    except AuditError as reason:
        state = "incomplete" if sections else "left out"
        notes.append(f"{question.title} {state}: {reason}")
    return sections


def _parts(index: Index, question: Question, wish: Wish) -> Part:
    ask = question.load("ask")
    if not hasattr(ask, "report"):
        return
    for answer in ask.report(index, wish):
        if isinstance(answer, Answer):
            command = write_command(index, question.name, *answer.words)
            yield Section(answer.record, command, tuple(_figures(index, answer)))
        else:
            yield answer


def _figures(index: Index, answer: Answer) -> Iterator[Figure]:
    for picture in pictures_of(index, answer.record):
        yield figure(picture.drawn(), picture.caption, picture.caption)


def write_command(index: Index, name: str, *words: str) -> str:
    """The line that asks the same again, in a shell."""
    is_here = index_path(index.name).resolve() == index.path.resolve()
    return shlex.join(["audit", name, "--index", index.name if is_here else str(index.path), *words])


def _command(index: Index, wish: Wish, is_live: bool) -> str:
    cells = [word for patch in wish.patches for word in ("--patch", patch)]
    counts = ("--classes", str(wish.classes), "--images", str(wish.images))
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
    lost = [
        f"{n} images are {status}, for example {path}: {error}"
        for status, n, path, error in zip(*columns, strict=True)
    ]
    summary = index.summary()
    if summary.empty_cells:
        lost.append(tell_empty(summary.empty_cells, summary.images_with_empty_cells or 0))
    return tuple(lost)
