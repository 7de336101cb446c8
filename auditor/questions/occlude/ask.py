"""One image, inpainted and occluded (Figures 2 and 12): what each cell shows, and which cells flipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.data.filling import occlude_crop
from auditor.data.load import Loaded
from auditor.errors import DatasetError
from auditor.explain.inpaint import NOTHING, OPENCV, change_outside, inpaint, read_inpainted
from auditor.explain.scorer import Scorer, load_annotated
from auditor.grids import Mask, occupancy
from auditor.indexing.score import CellScores
from auditor.measure.absence import index_beside
from auditor.questions.occlude.record import Flip, Guess, ImageContext, Pixels, Shift
from auditor.records import Fill, ImageGrids, Rate
from auditor.report.wish import Answer, Wish
from auditor.store import Index


@dataclass(frozen=True, slots=True)
class Panels:
    """An image's crop, its inpainting (S, S, 3) and the pixels (S, S) that occlusion covers."""

    loaded: Loaded
    label: int | None
    fold: int | None
    mask: Mask
    inpainted: Pixels | None
    inpainting: str

    @property
    def images(self) -> list[Loaded]:
        """The original and, where there is one, the inpainted image."""
        if self.inpainted is None:
            return [self.loaded]
        return [self.loaded, replace(self.loaded, pixels=self.inpainted)]


def read_panels(index: Index, path: str, inpainted: Path | None = None) -> Panels:
    """An indexed image and its inpainting: from a file, or else by OpenCV where that is installed."""
    image = index.image(path)
    found = index.query("SELECT path, label, fold, foreground, hash FROM images WHERE id = ?", [image])
    known, label, fold, packed, content_hash = (_first(column) for column in found.values())
    if packed is None:
        raise DatasetError(
            f"{known} has no annotated foreground to occlude; index it with boxes or masks: "
            + index_beside(index, "annotated", "--annotations FILE")
        )
    loaded = load_annotated(index, known, packed, content_hash)
    if loaded.foreground is None or loaded.size is None:
        raise DatasetError(loaded.error or f"{known} cannot be read")
    mask = loaded.foreground.union
    if inpainted is None:
        painted = inpaint(loaded.pixels, mask)
        return Panels(loaded, label, fold, mask, painted, NOTHING if painted is None else OPENCV)
    painted = read_inpainted(inpainted, loaded.size, index.manifest.preprocess)
    return Panels(loaded, label, fold, mask, painted, f"from {inpainted}")


def occlude(
    index: Index,
    image: str,
    *,
    label: int | None = None,
    inpainted: Path | None = None,
    fill: Fill | None = None,
) -> ImageContext:
    """What the cells of an indexed image show, and which flip once its foreground is occluded.

    `label` is the class K to look for, by default the image's own; `inpainted` a file with the object painted
    out, by default OpenCV's work; `fill` by default the index's.
    """
    panels = read_panels(index, image, inpainted)
    scorer, filled = Scorer(index), fill or index.manifest.fill
    images, folds = panels.images, [panels.fold] * len(panels.images)
    before, after = scorer.original(images, folds), scorer.occluded(images, folds, filled)
    scores = [panel for pair in zip(before, after, strict=True) for panel in pair]
    names = [known.name for known in index.manifest.classes]
    grids = _grids(index, panels, scores, panels.label if label is None else label)
    return ImageContext(
        index=index.name,
        fill=filled,
        inpainting=panels.inpainting,
        outside_change=_outside_change(panels),
        grids=grids,
        guesses=tuple(tuple(_guesses(panel, names)) for panel in scores),
        shifts=tuple(_shift(grids, variant) for variant in range(0, len(scores), 2)),
        inputs=tuple(np.asarray(shown) for shown in _draw_inputs(index, panels, filled)),
    )


def _outside_change(panels: Panels) -> float | None:
    if panels.inpainted is None:
        return None
    return change_outside(panels.loaded.pixels, panels.inpainted, panels.mask)


def _draw_inputs(index: Index, panels: Panels, fill: Fill) -> Iterator[Image.Image]:
    """What the network was shown in each panel, in the order of `VARIANTS`, as a person sees it."""
    seed = int(index.manifest.options["seed"])
    for image in panels.images:
        crop = Image.fromarray(image.pixels)
        yield from (crop, occlude_crop(crop, panels.mask, fill, index.manifest.preprocess, seed))


VARIANTS = ("original", "without_fg", "inpainted", "inpainted_without_fg")


def _grids(index: Index, panels: Panels, scores: Sequence[CellScores], label: int | None) -> ImageGrids:
    shape = (len(scores), *index.grid)
    labels = np.stack([panel.top5[:, 0] for panel in scores]).astype(np.int64).reshape(shape)
    chances = np.stack([panel.probabilities[:, 0] for panel in scores]).astype(np.float64).reshape(shape)
    shown = {int(found) for found in np.unique(labels)} | ({label} if label is not None else set())
    return ImageGrids(
        path=panels.loaded.sample.path,
        label=label,
        variants=VARIANTS[: len(scores)],
        labels=labels,
        probabilities=chances,
        foreground=occupancy(panels.mask, index.grid),
        names={found: index.manifest.classes[found].name for found in sorted(shown)},
    )


def _guesses(panel: CellScores, names: Sequence[str]) -> Iterator[Guess]:
    for label, chance in zip(panel.image_top5.tolist(), panel.image_probabilities.tolist(), strict=True):
        yield Guess(label, names[label], chance)


def _shift(grids: ImageGrids, variant: int) -> Shift:
    """From a variant to the next one, which is the same image occluded."""
    before, after = grids.labels[variant : variant + 2]
    assert grids.foreground is not None
    background = ~grids.foreground
    changed, image = before != after, grids.variants[variant]
    to_class = changed & background & (after == grids.label)
    cells = int(np.count_nonzero(background))
    return Shift(
        image=image,
        flipped=Rate(int(np.count_nonzero(changed)), changed.size),
        flipped_background=Rate(int(np.count_nonzero(changed & background)), cells),
        flipped_to_class=Rate(int(np.count_nonzero(to_class)), cells if grids.label is not None else 0),
        flips=tuple(_flip(grids, variant, row, col) for row, col in np.argwhere(changed).tolist()),
    )


def _flip(grids: ImageGrids, variant: int, row: int, col: int) -> Flip:
    was, became = (int(label) for label in grids.labels[variant : variant + 2, row, col])
    is_background = grids.foreground is not None and not grids.foreground[row, col]
    image, names = grids.variants[variant], grids.names
    return Flip(image, row, col, is_background, was, names[was], became, names[became])


def _first(column: NDArray[Any]) -> Any:
    value = column[0]
    return None if value is np.ma.masked else value


def report(index: Index, wish: Wish) -> Iterator[Answer]:
    """On a page: Figures 2 and 12 of the page's image."""
    if wish.subject is not None:
        path, label = wish.subject.path, wish.subject.label
        yield Answer(occlude(index, path, label=label), (path, "--class", str(label)))
