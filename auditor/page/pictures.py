"""The images that fit on a page: pictures, facts, cells and nearest cells, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.page.images import MOST, SCALE, Listed, cell_arrays, encode_crop, image_facts, pack, weigh
from auditor.report.text import plural
from auditor.search.among import most_images, nearest_among
from auditor.store import Index
from auditor.terminal.progress import Bar

NEAREST = 5
NOWHERE = 0xFFFFFFFF
"""What stands for no cell."""


@dataclass(frozen=True, slots=True)
class Carried:
    """Which images are carried, how many are gone, and whose files are no longer those that were indexed."""

    ids: tuple[int, ...]
    gone: int
    changed: tuple[str, ...]

    def tell(self, images: int, megabytes: int, bare: float) -> str:
        """Which images are on the page, and what would bring more; empty where there are none at all.

        `bare` are the megabytes of the page without them, which no wish makes smaller.
        """
        if not images:
            return ""
        count = len(self.ids)
        gone = f"; {plural(self.gone, 'image')} could not be read any more" if self.gone else ""
        if count + self.gone >= images:
            return f"This page carries all {plural(count, 'image')} that are there{gone}."
        if bare > megabytes:
            why = f"without any it is already {bare:.1f} MB; more: --max-mb {ceil(2 * bare)}"
            return f"This page carries none of {plural(images, 'image')}: {why}."
        order = "those of the findings first, then one of every class in turn"
        more = "all of them: --folder DIR" if count + self.gone >= MOST else f"more: --max-mb {2 * megabytes}"
        return f"This page carries {count:,} of {plural(images, 'image')}: {order}{gone}; {more}."


def warn_of_changes(index: Index, changed: Sequence[str]) -> tuple[str, ...]:
    """The sentence on files that are no longer those that were indexed; nothing where all are."""
    if not changed:
        return ()
    root = index.manifest.dataset.root
    are = "is" if len(changed) == 1 else "are"
    return (
        f"The index is older than its dataset: {plural(len(changed), 'image')} {are} no longer what was "
        f"indexed, for example {changed[0]}; update with: audit index {root}",
    )


def carry(
    index: Index, ranked: Sequence[Listed], bar: Bar, keep: Callable[[bytes], object], room: float = inf
) -> Carried:
    """Give `keep` the pictures of the images, in their order, as many as fit into `room` bytes of HTML."""
    bar.start("pictures", len(ranked))
    each, compared = weigh(index), most_images(index)
    nearest = index.manifest.cells_per_image * NEAREST * 6 * 4 / 3  # bytes of an image's nearest cells
    ids: list[int] = []
    changed: list[str] = []
    gone = 0
    for image in ranked:
        read = encode_crop(index, image)
        bar.advance(1)
        if read is None:
            gone += 1
            continue
        encoded, is_same = read
        room -= len(encoded) * 4 / 3 + each + (nearest if len(ids) < compared else 0)
        if room < 0:
            break
        keep(encoded)
        ids.append(image.id)
        changed += [] if is_same else [image.path]
    return Carried(tuple(ids), gone, tuple(changed))


def carried_data(index: Index, ids: Sequence[int]) -> dict[str, Any]:
    """What the script is told of the images: facts, cells, nearest cells."""
    near = nearest_cells_of(index, ids)
    packed = {name: pack(near[name]) for name in ("cell", "cosine")}
    return {
        "images": {"id": list(ids), **image_facts(index, ids)},
        "cells": cell_arrays(index, ids),
        "near": {"images": len(near["cell"]), "k": NEAREST, **packed},
    }


def nearest_cells_of(index: Index, ids: Sequence[int]) -> dict[str, NDArray[Any]]:
    """The nearest cells (n, H * W, NEAREST) of the first n images among them, as many as time allows."""
    count = min(len(ids), most_images(index))
    near = nearest_among(index, np.asarray(ids[:count], dtype=np.int64), NEAREST)
    shape = (count, index.manifest.cells_per_image, NEAREST)
    cells = np.where(near.places < 0, NOWHERE, near.places).astype(np.uint32)
    cosines = np.rint(np.clip(near.cosines, 0, 1) * SCALE).astype(np.uint16)
    return {"cell": cells.reshape(shape), "cosine": cosines.reshape(shape)}
