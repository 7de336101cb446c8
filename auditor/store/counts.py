"""What became of every image that was listed, and which cells have no content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from auditor.store.columns import connect
from auditor.store.manifest import Counts
from auditor.store.places import SHARDS, inside
from auditor.store.shards import ARRAYS, Shard

_STATUS = (
    "SELECT count(*) FILTER (usable), count(*) FILTER (status = 'broken' AND NOT is_removed), "
    "count(*) FILTER (status = 'filtered' AND NOT is_removed), count(*) FILTER (is_removed) FROM images"
)


def count_images(index: Path, database: Path, shards: Sequence[Shard]) -> Counts:
    """Count the images of a database that was just built, and its cells whose features are all zero."""
    with connect(database) as connection:
        indexed, broken, filtered, removed = connection.execute(_STATUS).fetchall()[0]
        usable = connection.execute("SELECT usable FROM images ORDER BY id").fetchnumpy()["usable"]
    cells = images = 0
    for shard in shards:
        norms = np.load(inside(index, SHARDS, shard.name, ARRAYS[1]), mmap_mode="r")
        rows = np.ma.filled(usable[shard.first : shard.first + shard.images], False)
        empty = (norms[rows] == 0).sum((1, 2))
        cells, images = cells + int(empty.sum()), images + int((empty > 0).sum())
    return Counts(indexed, broken, filtered, removed, cells, images)
