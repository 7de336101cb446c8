"""Checks of boxes, polygons and run-length codes before they are filled: pycocotools takes broken ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.grids import Mask

Box = tuple[float, float, float, float]

CLIPPED_BOX = "Boxes that leave their image, clipped"
CLIPPED_POLYGON = "Polygons that leave their image, clipped"

_ROUNDING = 0.001  # of the longer side: what exporters round is not counted as leaving the image
_LARGEST = 1e15
_FAR = 4  # a polygon corner this many image sides away is an error, and would take gigabytes to trace
_MAX_CHUNKS = 6  # 30 bits a run, more than any image that is decoded holds


def is_number(value: object) -> bool:
    """Whether a value of a JSON is a coordinate: finite, no truth value, no whole number beyond floats."""
    return type(value) in (int, float) and abs(value) < _LARGEST  # type: ignore[arg-type]


def clip_box(box: Box, width: float, height: float) -> tuple[Box, bool]:
    """The part of a box x0, y0, x1, y1 inside its image, and whether more than rounding lay outside.

    ValueError for a box that is empty or has no part inside: an object that nobody knows the place of.
    """
    x0, y0, x1, y1 = box
    if not (x0 < x1 and y0 < y1):
        raise ValueError("a box is empty")
    inside = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise ValueError("a box lies outside its image")
    outside = max(abs(edge - clipped) for edge, clipped in zip(box, inside, strict=True))
    return inside, outside > _ROUNDING * max(width, height)


def leaves(polygons: Sequence[Sequence[float]], width: float, height: float) -> bool:
    """Whether any corner of flat x, y polygons lies outside the image by more than rounding."""
    slack = _ROUNDING * max(width, height)
    sides = [(polygon[axis::2], side) for polygon in polygons for axis, side in enumerate((width, height))]
    return any(min(edges) < -slack or max(edges) > side + slack for edges, side in sides)


def check_polygons(polygons: object, width: int, height: int) -> tuple[tuple[float, ...], ...]:
    """Polygons as flat x, y tuples; ValueError when one has no area to fill or leaves the image by far."""
    if not isinstance(polygons, Sequence) or not polygons:
        raise ValueError("no polygon")
    return tuple(_check_polygon(polygon, _FAR * max(width, height)) for polygon in polygons)


def _check_polygon(polygon: object, limit: int) -> tuple[float, ...]:
    if not isinstance(polygon, Sequence) or len(polygon) < 6 or len(polygon) % 2:
        raise ValueError("a polygon needs three or more x, y pairs")
    if not all(map(is_number, polygon)):
        raise ValueError("a polygon holds something else than numbers")
    if any(abs(edge) > limit for edge in polygon):
        raise ValueError("a polygon leaves its image by far")
    return tuple(float(edge) for edge in polygon)


def check_rle(rle: Mapping[str, Any], width: int, height: int) -> dict[str, Any]:
    """A COCO run-length code, compressed or not, that fills width x height pixels, else ValueError."""
    if rle.get("size") not in ([height, width], (height, width)):
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
