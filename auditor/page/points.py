"""The map as a page draws it: the sampled cells with what they can be coloured by."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.page.images import NONE, SCALE, pack
from auditor.questions.map.record import CellMap
from auditor.store import Index

RANGE = 0xFFFF  # of a coordinate: finer than any screen

CELLS = """
WITH wanted AS (
  SELECT unnest($cells::BIGINT[]) AS cell, unnest(range(len($cells::BIGINT[])))::INTEGER AS place)
SELECT top1, top5_p[1] AS p, foreground FROM wanted
LEFT JOIN cells ON cells.image = wanted.cell // $width AND cells.cell = wanted.cell % $width AND variant = 0
ORDER BY place
"""
IMAGES = """
SELECT id, path, label, true_name, split, metadata FROM images
WHERE list_contains($ids::INTEGER[], id) ORDER BY id
"""


def map_points(index: Index, cell_map: CellMap) -> dict[str, Any]:
    """Columns of the sampled cells (n,), packed, and of the images that they lie in.

    x and y in steps of 1 / RANGE of the larger side; `image` is a row of `images`; `foreground` 0, 1, or 2
    where nothing is annotated; `cluster` 0 for none.
    """
    width = index.manifest.cells_per_image
    cells = cell_map.sampled
    facts = index.query(CELLS, {"cells": cells.tolist(), "width": width})
    ids, image = np.unique(cells // width, return_inverse=True)
    low = cell_map.points.min(axis=0) if len(cells) else np.zeros(2)
    side = float((cell_map.points - low).max()) if len(cells) else 1.0
    places = np.rint((cell_map.points - low) / (side or 1.0) * RANGE).astype(np.uint16)
    return {
        "x": pack(places[:, 0]),
        "y": pack(places[:, 1]),
        "image": pack(image.astype(np.uint32)),
        "cell": pack((cells % width).astype(np.uint16)),
        "top": pack(_filled(facts["top1"], NONE).astype(np.uint16)),
        "p": pack(np.rint(_filled(facts["p"], 0.0) * SCALE).astype(np.uint16)),
        "foreground": pack(_filled(facts["foreground"], 2, np.uint8).astype(np.uint8)),
        "cluster": pack(cell_map.members.astype(np.uint16)),
        "images": _image_columns(index, ids),
        "clusters": [_cluster(each) for each in cell_map.clusters],
        "cells": index.images * width,
        "seed": cell_map.seed,
    }


def _filled(column: NDArray[Any], missing: Any, kind: Any = np.float64) -> NDArray[Any]:
    return np.asarray(np.ma.filled(np.ma.asarray(column).astype(kind), missing))


def _image_columns(index: Index, ids: NDArray[np.int64]) -> dict[str, list[Any]]:
    rows = index.query(IMAGES, {"ids": ids.tolist()})
    columns = {name: column.tolist() for name, column in rows.items()}
    columns["metadata"] = [json.loads(text) if text else {} for text in columns["metadata"]]
    return columns


def _cluster(cluster: Any) -> dict[str, Any]:
    label = cluster.label
    return {
        "number": cluster.number,
        "cells": cluster.cells,
        "images": cluster.images,
        "class": label.name if label else None,
        "predicted": cluster.predicted[0].name if cluster.predicted else None,
    }
