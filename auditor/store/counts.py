"""What became of every image that was listed, and which cells have no content."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np

from auditor.store.columns import connect
from auditor.store.derived import DATABASE, shard_array
from auditor.store.manifest import Counts, Manifest

_STATUS = (
    "SELECT count(*) FILTER (usable), count(*) FILTER (status = 'broken' AND NOT is_removed), "
    "count(*) FILTER (status = 'filtered' AND NOT is_removed), count(*) FILTER (is_removed) FROM images"
)


def count_built(path: Path, manifest: Manifest) -> Counts:
    """`count_images` of an index whose database was built and is not open."""
    with connect(path / DATABASE) as connection:
        return count_images(path, manifest, connection)


def count_images(path: Path, manifest: Manifest, connection: duckdb.DuckDBPyConnection) -> Counts:
    """Count the images of an index, and its cells whose features are all zero."""
    indexed, broken, filtered, removed = connection.execute(_STATUS).fetchall()[0]
    usable = connection.execute("SELECT usable FROM images ORDER BY id").fetchnumpy()["usable"]
    cells = images = 0
    for shard in manifest.shards:
        rows = np.ma.filled(usable[shard.first : shard.first + shard.images], False)
        empty = (shard_array(path, shard, "norms.npy")[rows] == 0).sum((1, 2))
        cells, images = cells + int(empty.sum()), images + int((empty > 0).sum())
    return Counts(indexed, broken, filtered, removed, cells, images)
