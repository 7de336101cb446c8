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
    """Class id from an id, a name (in any case) or a synset.

    DatasetError lists all classes of a name that several share, or close matches of one that none has.
    """
    labels = _classes_called(index, text)
    if len(labels) == 1:
        return labels[0]
    if labels:
        raise DatasetError(_ask_for_one(index, text, labels))
    wanted = text.casefold()
    names = {known.name.casefold(): known.name for known in index.manifest.classes}
    containing = [name for folded, name in names.items() if wanted in folded][:3]
    close = containing or [names[folded] for folded in get_close_matches(wanted, names)]
    raise DatasetError(f"{index.name} has no class {text!r}; close matches: {', '.join(close) or 'none'}")


def find_classes(index: Index, texts: Sequence[str]) -> list[int]:
    """Class ids from ids, names or synsets, or lists of them as "3,8"; a name may itself hold commas."""
    labels: list[int] = []
    for text in texts:
        parts = [text] if _classes_called(index, text) else map(str.strip, text.split(","))
        labels += [find_class(index, part) for part in parts]
    return list(dict.fromkeys(labels))


def _classes_called(index: Index, text: str) -> list[int]:
    """The classes of an id, a synset or a name; of names that differ in case alone, the one written so."""
    classes = index.manifest.classes
    if text.isdecimal() and int(text) < len(classes):
        return [int(text)]
    wanted = text.casefold()
    labels = range(len(classes))
    return (
        [label for label in labels if classes[label].synset == wanted]
        or [label for label in labels if classes[label].name == text]
        or [label for label in labels if classes[label].name.casefold() == wanted]
    )


def _ask_for_one(index: Index, text: str, labels: Sequence[int]) -> str:
    classes = [(label, index.manifest.classes[label]) for label in labels]
    listed = ", ".join(
        " ".join(filter(None, (str(label), known.name, known.synset))) for label, known in classes
    )
    word = "id or synset" if all(known.synset for _, known in classes) else "id"
    return f"{text!r} names {len(labels)} classes of {index.name}: {listed}; name one by its {word}"


def grids_of(index: Index, image: int) -> ImageGrids:
    """The prediction grids of an image id."""
    require_head(index)
    cells = index.query(
        "SELECT variant, top1, top5_p[1] AS p, foreground FROM cells WHERE image = ? ORDER BY variant, cell",
        [image],
    )
    ((label,),) = index.rows("SELECT label FROM images WHERE id = ?", [image])
    variants = sorted(set(cells["variant"].tolist()))
    shape = (len(variants), *index.grid)
    labels = np.asarray(cells["top1"], dtype=np.int64).reshape(shape)
    foreground = cells["foreground"].reshape(shape)[0].tolist()
    return ImageGrids(
        path=index.path_of(image),
        label=label,
        variants=tuple(index.manifest.variants[variant] for variant in variants),
        labels=labels,
        probabilities=np.asarray(cells["p"], dtype=np.float64).reshape(shape),
        foreground=None if any(None in row for row in foreground) else np.array(foreground, dtype=np.bool_),
        names=_names(index, labels, label),
    )


def _names(index: Index, labels: NDArray[np.int64], label: int | None) -> dict[int, str]:
    shown = {*labels.ravel().tolist(), *(() if label is None else (label,))}
    return {found: index.manifest.classes[found].name for found in sorted(shown)}
