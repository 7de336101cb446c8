"""Every metric of the README again, as plain loops over images and cells, from the definitions.

Slow on purpose and independent of the SQL: it sees the images as the test made them, never an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from indexes import FakeImage

Fraction = tuple[int, int]


def counted(images: Sequence[FakeImage], removed: Sequence[int] = ()) -> list[FakeImage]:
    """The images that metrics speak of."""
    return [
        image for number, image in enumerate(images) if image.status == "ok" and number not in set(removed)
    ]


def evaluation_classes(image: FakeImage, target: str) -> list[int]:
    """All labels, or the one label."""
    if target == "all":
        return sorted(set(image.labels))
    return [] if image.label is None else [image.label]


def top1(image: FakeImage, variant: int, cell: int) -> int:
    """The class that a cell shows."""
    return int(image.shown[variant][cell][0])


def class_cells(image: FakeImage, label: int) -> list[int]:
    """Cells where a class is present."""
    return [cell for cell, here in enumerate(image.present or []) if label in here]


def background_cells(image: FakeImage) -> list[int]:
    """Annotated images' cells without foreground of any class."""
    return [cell for cell, flag in enumerate(image.foreground or []) if not flag]


def pairs(images: Sequence[FakeImage], target: str) -> list[tuple[FakeImage, int]]:
    """(image, evaluation class)."""
    return [(image, label) for image in images for label in evaluation_classes(image, target)]


def shows(image: FakeImage, variant: int, cells: Sequence[int], label: int) -> bool:
    """Whether any of the cells shows the class."""
    return any(top1(image, variant, cell) == label for cell in cells)


def fraction(flags: Sequence[bool]) -> Fraction:
    """Hits and total."""
    return sum(flags), len(flags)


def bg_act(chosen: Sequence[tuple[FakeImage, int]], variant: int) -> Fraction:
    """BG Act. on the original (0) or without the foreground (2)."""
    with_background = [(image, label) for image, label in chosen if background_cells(image)]
    return fraction(
        [shows(image, variant, background_cells(image), label) for image, label in with_background]
    )


def fg_det(chosen: Sequence[tuple[FakeImage, int]]) -> Fraction:
    """FG Det."""
    visible = [(image, label) for image, label in chosen if class_cells(image, label)]
    return fraction([shows(image, 0, class_cells(image, label), label) for image, label in visible])


def loc_of_image(image: FakeImage, target: str, variant: int) -> Fraction:
    """Foreground cells, each once, and those that show a class present in them."""
    hits = total = 0
    for cell, here in enumerate(image.present or []):
        evaluated = [label for label in evaluation_classes(image, target) if label in here]
        total += 1 if evaluated else 0
        hits += 1 if top1(image, variant, cell) in evaluated else 0
    return hits, total


def add(fractions: Sequence[Fraction]) -> Fraction:
    """Micro average."""
    return sum(hits for hits, _ in fractions), sum(total for _, total in fractions)


def mean(fractions: Sequence[Fraction]) -> float | None:
    """Macro average over those with a total."""
    values = [hits / total for hits, total in fractions if total]
    return sum(values) / len(values) if values else None


def real_found(image: FakeImage) -> Fraction:
    """ReaL labels that some cell shows."""
    labels = set(image.real or ())
    shown = {top1(image, 0, cell) for cell in range(len(image.shown[0]))}
    return len(labels & shown), len(labels)


def base_rate(images: Sequence[FakeImage], label: int, variant: int, best: int) -> float | None:
    """Cells that show a class among their `best` first, in the images that are not labelled with it."""
    flags = [
        label in image.shown[variant][cell][:best]
        for image in images
        if label not in image.labels and (variant == 0 or image.present is not None)
        for cell in range(len(image.shown[0]))
    ]
    return sum(flags) / len(flags) if flags else None


def by_chance(
    images: Sequence[FakeImage], looked_at: Sequence[tuple[int, int]], variant: int = 0, best: int = 1
) -> float | None:
    """The mean null of pairs, each given as its class and the number of cells looked at."""
    nulls = []
    for label, cells in looked_at:
        base = base_rate(images, label, variant, best)
        if cells and base is not None:
            none = 1.0
            for _ in range(cells):
                none *= 1 - base
            nulls.append(1 - none)
    return sum(nulls) / len(nulls) if nulls else None


def metrics(images: Sequence[FakeImage], target: str) -> dict[str, Any]:
    """Every number of a `Metrics` record."""
    chosen = pairs(images, target)
    labelled = [image for image in images if image.label is not None]
    real = [image for image in images if image.real]
    everywhere = range(len(images[0].shown[0]))
    several = any(len(image.labels) > 1 for image in images)
    some = [image for image in images if image.labels and several]
    background = [(label, len(background_cells(image))) for image, label in chosen]
    foreground = [(label, len(class_cells(image, label))) for image, label in chosen]
    anywhere = [(label, len(everywhere)) for _, label in chosen]
    return {
        "top1_any": fraction([image.guesses[0][0] in image.labels for image in some]),
        "fg_det_chance": by_chance(images, foreground),
        "bg_act_chance": by_chance(images, background),
        "bg_act_without_fg_chance": by_chance(images, background, 2),
        "det_top1_chance": by_chance(images, anywhere),
        "det_top5_chance": by_chance(images, anywhere, best=5),
        "images": len(images),
        "top1": fraction([image.guesses[0][0] == image.label for image in labelled]),
        "top5": fraction([image.label in image.guesses[0].tolist() for image in labelled]),
        "fg_det": fg_det(chosen),
        "loc": add([loc_of_image(image, target, 0) for image in images]),
        "loc_per_image": mean([loc_of_image(image, target, 0) for image in images]),
        "loc_without_bg": add([loc_of_image(image, target, 1) for image in images]),
        "bg_act": bg_act(chosen, 0),
        "bg_act_without_fg": bg_act(chosen, 2),
        "det_top1": fraction([shows(image, 0, everywhere, label) for image, label in chosen]),
        "det_top5": fraction(
            [any(label in image.shown[0][c] for c in everywhere) for image, label in chosen]
        ),
        "real_acc": fraction([image.guesses[0][0] in (image.real or ()) for image in real]),
        "real_rec": add([real_found(image) for image in images]),
        "real_rec_per_image": mean([real_found(image) for image in images]),
    }


def background_shares(images: Sequence[FakeImage], label: int) -> tuple[float | None, float | None]:
    """The mean share of background cells that show a class w/o FG, in its images and in all others."""
    shares: dict[bool, list[float]] = {True: [], False: []}
    for image in images:
        if cells := background_cells(image):
            shown = [top1(image, 2, cell) == label for cell in cells]
            shares[label in image.labels].append(sum(shown) / len(shown))
    own, others = (sum(part) / len(part) if part else None for part in (shares[True], shares[False]))
    return own, others


def class_row(images: Sequence[FakeImage], label: int) -> dict[str, Any]:
    """The counts of one row of Tables 7 and 8."""
    own = [(image, label) for image in images if label in image.labels]
    loc = [top1(image, 0, cell) == label for image, _ in own for cell in class_cells(image, label)]
    gained = lost = 0
    for image, _ in own:
        cells = background_cells(image)
        before, after = (shows(image, variant, cells, label) for variant in (0, 2))
        gained += after and not before
        lost += before and not after
    return {
        "images": len(own),
        "loc": fraction(loc),
        "fg_det": fg_det(own),
        "bg_act": bg_act(own, 0),
        "bg_act_without_fg": bg_act(own, 2),
        "gained": gained,
        "lost": lost,
    }
