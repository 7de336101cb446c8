"""The sections of the report that need the backbone again, all about one image: `audit report --live`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from auditor.cli.pictures import crop
from auditor.cli.stored_sections import Part, caption, rank_classes, write_command
from auditor.draw.fill_chart import draw_fills
from auditor.draw.filmstrip import draw_attack
from auditor.draw.grids import draw_variants
from auditor.draw.heat import draw_relevance
from auditor.errors import DatasetError
from auditor.measure.context import class_detail
from auditor.measure.fills import compare_fills
from auditor.records import Fill, ImageGrids
from auditor.report.sections import Figure, Section
from auditor.store import Index

FILLS: tuple[Fill, ...] = ("mean", "black", "blur")
OCCLUDED = 24  # images of the class under every fill
STEPS = 6  # of the attack: they move a pixel by more than eps, so it is as strong as a longer one may be
LOOKED_AT = 50  # images of the class among which the one with foreground is sought


@dataclass(frozen=True, slots=True)
class Subject:
    """The image that the model is asked about, and the class to look for in it."""

    path: str
    label: int


def find_subject(index: Index) -> Subject:
    """Of the most context-dependent class the first image with foreground; else the index's first image."""
    try:
        label = rank_classes(index)[0]
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


def tell_image_context(index: Index, subject: Subject) -> Part:
    """Figures 2 and 12."""
    from auditor.explain.context import draw_inputs, image_context, read_panels

    panels = read_panels(index, subject.path)
    found = image_context(index, panels, label=subject.label)
    command = write_command(index, "context", "--image", subject.path, "--class", str(subject.label))
    yield Section(found, command, tuple(_pairs(found.grids, draw_inputs(index, panels, found))))


def _pairs(grids: ImageGrids, inputs: Sequence[Image.Image]) -> Iterator[Figure]:
    """Each image beside its occluded self: four in a row would be too small to read."""
    for first in range(0, len(inputs), 2):
        both = slice(first, first + 2)
        pair = replace(
            grids,
            variants=grids.variants[both],
            labels=grids.labels[both],
            probabilities=grids.probabilities[both],
        )
        kind = ("as it is", "inpainted")[first // 2]
        text = (
            f"{grids.path} {kind}, and the same occluded: the class predicted in every cell (Figures 2, 12)"
        )
        yield from caption(draw_variants(inputs[both], pair), text)


def tell_fills(index: Index, subject: Subject) -> Part:
    """A.6: the class under several fills, and under a placebo."""
    from auditor.explain.fills import count_fills

    said = _Sentences()
    counts = count_fills(index, FILLS, label=subject.label, has_placebo=True, limit=OCCLUDED, watch=said)
    found = compare_fills(index, FILLS, counts, has_placebo=True)
    words = ("--class", str(subject.label), "--fill", ",".join(FILLS), "--placebo", "--images", str(OCCLUDED))
    text = "Delta under every fill, and that of the placebo under the same (A.6)"
    yield Section(found, write_command(index, "context", *words), caption(draw_fills(found), text))
    yield from said.sentences


@dataclass(frozen=True, slots=True)
class _Sentences:
    """A watch that keeps what it is told for the page's notes: the bar counts sections, not images."""

    sentences: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.sentences.append(text)

    def start(self, stage: str, total: int) -> None:
        """Stages are not shown."""

    def advance(self, count: int) -> None:
        """Neither is their progress."""


def tell_relevance(index: Index, subject: Subject) -> Part:
    """Figure 8, for the cell that shows the class most surely."""
    from auditor.explain.relevance import relevance

    row, col = _surest_cell(index, subject)
    found = relevance(index, subject.path, row, col, subject.label)
    words = (subject.path, "--cell", f"{row},{col}", "--class", str(subject.label))
    text = (
        f"{subject.path}: the pixels that the score of cell {row},{col} for {found.name} came from (Figure 8)"
    )
    drawn = draw_relevance(crop(index, subject.path), found)
    yield Section(found, write_command(index, "relevance", *words), caption(drawn, text))


def _surest_cell(index: Index, subject: Subject) -> tuple[int, int]:
    """A foreground cell if there is one, predicted as the class if there is one, with most confidence."""
    cells = index.query(
        "SELECT cell FROM cells WHERE image = $image AND variant = 0 "
        "ORDER BY coalesce(foreground, false) DESC, top1 = $label DESC, top5_p[1] DESC, cell LIMIT 1",
        {"image": index.image(subject.path), "label": subject.label},
    )
    row, col = divmod(int(cells["cell"][0]), index.grid[1])
    return row, col


def tell_attack(index: Index, subject: Subject) -> Part:
    """Figure 11, towards the likeliest class that the image is neither labelled with nor taken for."""
    from auditor.explain.attack import attack

    target = _runner_up(index, subject)
    found = attack(index, subject.path, target, steps=STEPS)
    text = f"{subject.path}: attacked towards {found.names[target]}, step by step (Figure 11)"
    words = (subject.path, "--target", str(target), "--steps", str(STEPS))
    yield Section(found, write_command(index, "attack", *words), caption(draw_attack(found), text))


def _runner_up(index: Index, subject: Subject) -> int:
    rows = index.query(
        "SELECT coalesce(labels, []) AS own, top5_original[2:] AS likely FROM images WHERE path = ?",
        [subject.path],
    )
    own = set(rows["own"][0])
    for label in rows["likely"][0]:
        if label not in own:
            return int(label)
    raise DatasetError(f"{subject.path} has every class that it is likely to be taken for: no target is left")
