"""Composes the page: every question that the index can answer, and why the others go unanswered."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from auditor.errors import AuditError
from auditor.explain.crops import is_outside
from auditor.grids import check_cell, parse_cell
from auditor.page.compare.ask import compare
from auditor.page.compare.paper import find_row
from auditor.page.compare.record import PaperRow
from auditor.page.data import page_data
from auditor.page.facts import banners, facts, nothing, remarks, tiles, warnings
from auditor.page.images import MOST as MOST_IMAGES
from auditor.page.images import Listed, rank_images
from auditor.page.pictures import Carried, carried_data, carry, warn_of_changes
from auditor.questions import Question, all_questions
from auditor.questions.context.ask import find_subject
from auditor.questions.findings.draw import describe, draw_finding
from auditor.questions.findings.record import Findings
from auditor.questions.metrics.ask import metrics
from auditor.questions.metrics.record import Metrics
from auditor.report.page import weigh_page
from auditor.report.page_parts import Figure, Page, Section, Verdict
from auditor.report.views import pictures_of
from auditor.report.wish import Answer, Wish
from auditor.store import Index
from auditor.terminal.options import index_path
from auditor.terminal.progress import Bar

MEGABYTE = 1_000_000
MOST = 25  # megabytes: what most mail servers take

Part = Iterator[Section | str]
"""The sections of one question, and sentences for the page's notes."""


def compose(
    index: Index, wish: Wish, *, is_live: bool, bar: Bar, megabytes: int = MOST, others: Sequence[Index] = ()
) -> Page:
    """Everything that the index can answer, and pictures in the room that is left of so many `megabytes`."""
    size = ("--max-mb", str(megabytes)) if megabytes != MOST else ()
    page = compose_answers(index, wish, is_live=is_live, bar=bar, others=others, words=size)
    return _with_pictures(index, page, megabytes, bar)


def compose_answers(
    index: Index,
    wish: Wish,
    *,
    is_live: bool,
    bar: Bar,
    others: Sequence[Index] = (),
    words: Sequence[str] | None = None,
) -> Page:
    """The page but for its images; what cannot be answered becomes a note. `others` are compared with it.

    `words` are those of `audit report` that the page cannot know; None where no command writes it.
    """
    command = "" if words is None else _command(index, wish, is_live, others, words)
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
    sections += _compare(index, others, notes)
    manifest = index.manifest
    verdicts = tuple(_verdicts(index, sections))
    return Page(
        title=f"{index.name}: what the classifier looked at",
        facts=facts(index),
        certificate=manifest.certificate,
        sections=tuple(section for section in sections if not isinstance(section.record, Findings)),
        notes=(*_reasons(sections), *notes, *manifest.dataset.notes, *remarks(index)),
        versions=tuple(manifest.versions.items()),
        command=command,
        banners=(*banners(index), *warnings(sections, others)),
        verdicts=verdicts,
        nothing=nothing(sections),
        tiles=tiles(sections),
        data=page_data(index, sections, verdicts),
    )


def _compare(index: Index, others: Sequence[Index], notes: list[str]) -> Iterator[Section]:
    """The metrics of all side by side, then what each of the others answers otherwise."""
    if not others:
        return
    words = [word for other in others for word in ("--index", name_of(other))]
    indexes = (index, *others)
    together = tuple(metrics(each, beside=indexes) for each in indexes)
    yield Section(together, write_command(index, "metrics", *words), question="compare")
    beside = tuple(_beside_the_paper((index, *others), together))
    if beside:
        yield Section(beside, question="compare")
    for other in others:
        try:
            yield Section(compare(index, other), question="compare")
        except AuditError as reason:
            notes.append(f"Comparison left out: {reason}")


def _beside_the_paper(indexes: Sequence[Index], measured: Sequence[Metrics]) -> Iterator[PaperRow]:
    for index, ours in zip(indexes, measured, strict=True):
        found = find_row(index)
        if found is not None:
            table, row = found
            yield PaperRow(ours, table.name, table.images, dict(zip(table.columns, row, strict=True)))


def _with_pictures(index: Index, page: Page, megabytes: int, bar: Bar) -> Page:
    """The page with as many images as its size allows, those of the findings first."""
    ranked = ranked_images(index, page)
    bare = weigh_page(page)
    pictures: list[bytes] = []
    carried = carry(index, ranked[:MOST_IMAGES], bar, pictures.append, megabytes * MEGABYTE - bare)
    told = tell_carried(index, page, carried, carried.tell(len(ranked), megabytes, bare / MEGABYTE))
    data = {**told.data, **carried_data(index, carried.ids)}
    return replace(told, data=data, pictures=tuple(pictures))


def ranked_images(index: Index, page: Page) -> list[Listed]:
    """The images in the order in which a page takes them, those of its findings first."""
    return rank_images(index, _paths(cell for each in page.verdicts for cell in each.finding.cells))


def tell_carried(index: Index, page: Page, carried: Carried, note: str) -> Page:
    """The page with what is to say of its images."""
    return replace(
        page,
        data={**page.data, "carried": note},
        notes=(note, *page.notes) if note else page.notes,
        banners=(*page.banners, *warn_of_changes(index, carried.changed)),
    )


def _paths(cells: Iterator[str]) -> Iterator[str]:
    return (parse_cell(cell)[0] for cell in cells)


def _verdicts(index: Index, sections: Sequence[Section]) -> Iterator[Verdict]:
    records = [section.record for section in sections if isinstance(section.record, Findings)]
    found = [each for record in records for each in record.findings]
    subjects = list(dict.fromkeys(each.subject for each in found))
    for number, each in enumerate(found):
        drawn, caption = draw_finding(index, each), describe(each)
        command = write_command(index, *each.words)
        shown = Figure.of(drawn, caption, caption) if drawn else None
        yield Verdict(number, subjects.index(each.subject) + 1, each, command, shown)


def _reasons(sections: Sequence[Section]) -> Iterator[str]:
    """Why a question had no finding."""
    for section in sections:
        if isinstance(section.record, Findings):
            yield from section.record.notes


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
            figures = () if isinstance(answer.record, Findings) else tuple(_figures(index, answer))
            yield Section(answer.record, command, figures, question.name)
        else:
            yield answer


def _figures(index: Index, answer: Answer) -> Iterator[Figure]:
    for picture in pictures_of(index, answer.record):
        yield Figure.of(picture.drawn(), picture.caption, picture.caption)


def write_command(index: Index, name: str, *words: str) -> str:
    """The line that asks the same again, in a shell."""
    return shlex.join(["audit", name, "--index", name_of(index), *words])


def name_of(index: Index) -> str:
    """What `--index` takes for it: its name below indexes/, else its path."""
    is_here = index_path(index.name).resolve() == index.path.resolve()
    return index.name if is_here else str(index.path)


def _command(index: Index, wish: Wish, is_live: bool, others: Sequence[Index], words: Sequence[str]) -> str:
    cells = [word for patch in wish.patches for word in ("--patch", patch)]
    against = [word for other in others for word in ("--index", name_of(other))]
    return write_command(index, "report", *against, *cells, *words, *(["--live"] if is_live else []))
