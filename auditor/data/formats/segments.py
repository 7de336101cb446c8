"""Checks of polygons and run-length codes before pycocotools fills them: it takes broken ones in silence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.grids import Mask

_FAR = 4  # a polygon corner this many image sides away is an error, and would take gigabytes to trace
_MAX_CHUNKS = 6  # 30 bits a run, more than any image that is decoded holds


def check_polygons(polygons: object, width: int, height: int) -> tuple[tuple[float, ...], ...]:
    """Polygons as flat x, y tuples; ValueError when one has no area to fill or leaves the image by far."""
    if not isinstance(polygons, Sequence) or not polygons:
        raise ValueError("no polygon")
    return tuple(_check_polygon(polygon, _FAR * max(width, height)) for polygon in polygons)


def _check_polygon(polygon: object, limit: int) -> tuple[float, ...]:
    if not isinstance(polygon, Sequence) or len(polygon) < 6 or len(polygon) % 2:
        raise ValueError("a polygon needs three or more x, y pairs")
    if not all(isinstance(edge, int | float) and math.isfinite(edge) for edge in polygon):
        raise ValueError("a polygon holds something else than numbers")
    if any(abs(edge) > limit for edge in polygon):
        raise ValueError("a polygon leaves its image by far")
    return tuple(float(edge) for edge in polygon)


def check_rle(rle: Mapping[str, Any], width: int, height: int) -> dict[str, Any]:
    """A COCO run-length code, compressed or not, that fills width x height pixels, else ValueError."""
    if list(rle.get("size") or ()) != [height, width]:
        raise ValueError("its size is not that of its image")
    counts = rle.get("counts")
    runs = decode_counts(counts) if isinstance(counts, str) else _check_runs(counts)
    if runs.size and int(runs.min()) < 0:
        raise ValueError("a run is negative")
    if int(runs.sum()) != width * height:
        raise ValueError("its runs do not add up to its size")
    return {"size": [height, width], "counts": counts}


def _check_runs(counts: object) -> NDArray[np.int64]:
    if not isinstance(counts, list) or not all(type(run) is int and 0 <= run < 1 << 31 for run in counts):
        raise ValueError("its counts are neither a string nor whole numbers")
    return np.array(counts, dtype=np.int64)


def decode_counts(text: str) -> NDArray[np.int64]:
    """The runs of a compressed code: 5 bits a character, bit 5 continues, from the fourth on differences.

    Raises ValueError for text that is no such code.
    """
    chunks = np.frombuffer(text.encode("ascii", "replace"), dtype=np.uint8).astype(np.int64) - 48
    if not chunks.size or chunks.min() < 0 or chunks.max() > 63 or chunks[-1] & 32:
        raise ValueError("its counts are no run-length code")
    ends = np.flatnonzero(chunks & 32 == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if int(lengths.max()) > _MAX_CHUNKS:
        raise ValueError("a run is longer than any image")
    shifts = 5 * (np.arange(chunks.size) - np.repeat(starts, lengths))
    runs = np.add.reduceat((chunks & 31) << shifts, starts)
    runs -= np.where(chunks[ends] & 16, np.int64(1) << (5 * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])  # the first run stays out of the differences
    return np.asarray(runs, dtype=np.int64)


def fill(code: Mapping[str, Any]) -> Mask:
    """The mask (H, W) of a sound run-length code: runs of 0 and 1 in turn, column by column.

    pycocotools.decode does the same but warns under NumPy 2.
    """
    counts = code["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    runs = decode_counts(text) if isinstance(text, str) else np.array(text, dtype=np.int64)
    values = np.arange(runs.size) % 2 == 1
    return np.repeat(values, runs).reshape(tuple(code["size"]), order="F")
