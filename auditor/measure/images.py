"""Single images and classes: prediction grids, the class that a user means."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DatasetError
from auditor.measure.counts import require_head
from auditor.records import ImageGrids
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


def find_classes(index: Index, texts: Sequence[str]) -> list[int]:
    """Class ids from ids, names or synsets, or lists of them as "3,8"; a name may itself hold commas."""
    labels: list[int] = []
    for text in texts:
        try:
            labels.append(find_class(index, text))
        except DatasetError:
            if "," not in text:
                raise
            labels += [find_class(index, part.strip()) for part in text.split(",")]
    return list(dict.fromkeys(labels))


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


def _names(index: Index, labels: NDArray[np.int64], label: int) -> dict[int, str]:
    shown = {int(found) for found in np.unique(labels)} | ({int(label)} if label >= 0 else set())
    return {found: index.manifest.classes[found].name for found in sorted(shown)}
