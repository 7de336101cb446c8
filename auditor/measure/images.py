"""Single images and classes: prediction grids, counts per image, the class that a user means."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.measure.counts import Counts, Target, count_images, count_pairs, require_head
from auditor.measure.rates import PAIR_RATES
from auditor.records import ImageGrids, ImageRow
from auditor.store import Index


def find_class(index: Index, text: str) -> int:
    """Class id from an id, a name (in any case) or a synset; DatasetError with close matches."""
    classes = index.manifest.classes
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    wanted = text.casefold()
    for label, known in enumerate(classes):
        if wanted in (known.name.casefold(), known.synset):
            return label
    names = {known.name.casefold(): known.name for known in classes}
    containing = [name for folded, name in names.items() if wanted in folded][:3]
    close = containing or [names[folded] for folded in get_close_matches(wanted, names)]
    raise DatasetError(f"{index.name} has no class {text!r}; close matches: {', '.join(close) or 'none'}")


def image_grids(index: Index, path: str) -> ImageGrids:
    """The prediction grids of one image in the variants that were run (the paper's Figure 0)."""
    return grids_of(index, index.image(path))


def grids_of(index: Index, image: int) -> ImageGrids:
    """The prediction grids of an image id."""
    require_head(index)
    cells = index.query(
        "SELECT variant, top1, top5_p[1] AS p, foreground FROM cells WHERE image = ? ORDER BY variant, cell",
        [image],
    )
    label = np.ma.filled(index.query("SELECT label FROM images WHERE id = ?", [image])["label"], -1)[0]
    variants = np.unique(cells["variant"])
    shape = (len(variants), *index.grid)
    labels = np.asarray(cells["top1"], dtype=np.int64).reshape(shape)
    foreground = cells["foreground"].reshape(shape)[0]
    return ImageGrids(
        path=index.path_of(image),
        label=int(label) if label >= 0 else None,
        variants=tuple(index.manifest.variants[variant] for variant in variants),
        labels=labels,
        probabilities=np.asarray(cells["p"], dtype=np.float64).reshape(shape),
        foreground=None if np.ma.is_masked(foreground) else np.asarray(foreground, dtype=np.bool_),
        names=_names(index, labels, label),
    )


def image_rows(index: Index, *, target: Target = "all") -> tuple[ImageRow, ...]:
    """The counts behind every metric, image by image, those of pairs summed over the image's classes."""
    images, pairs = count_images(index, target), count_pairs(index, target)
    counts = {name: images[name] for name in COUNTED} | _sum_pairs(pairs, images["image"])
    return tuple(
        ImageRow(
            path=str(images["path"][row]),
            label=_optional(images["label"], row),
            predicted=_optional(images["predicted"], row),
            **{name: int(column[row]) for name, column in counts.items()},
        )
        for row in range(len(images["image"]))
    )


COUNTED = (
    *("top1", "top5", "fg_cells", "bg_cells", "fg_hits", "fg_cells_without_bg", "fg_hits_without_bg"),
    *("real", "real_top1", "real_found"),
)


def _sum_pairs(pairs: Counts, images: NDArray[Any]) -> Counts:
    rows = np.searchsorted(images, pairs["image"])
    names = ("fg_det", "bg_act", "bg_act_without_fg", "det_top1", "det_top5")
    hits = {name: PAIR_RATES[name](pairs)[0] for name in names}
    summed = {name: np.bincount(rows, weights=hit, minlength=len(images)) for name, hit in hits.items()}
    return summed | {"classes": np.bincount(rows, minlength=len(images))}


def _optional(column: NDArray[Any], row: int) -> int | None:
    value = column[row]
    return None if value is np.ma.masked else int(value)


def _names(index: Index, labels: NDArray[np.int64], label: int) -> dict[int, str]:
    shown = {int(found) for found in np.unique(labels)} | ({int(label)} if label >= 0 else set())
    return {found: index.manifest.classes[found].name for found in sorted(shown)}
