"""Whether two indexes are the same, content for content."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from auditor.store import Index, read_manifest, read_placement
from auditor.store.check import check


def assert_same(one: Path, other: Path) -> None:
    """Every row, every vector, the head and what the certificate says; not the times of writing."""
    with Index.open(one) as first, Index.open(other) as second:
        for table in ("images", "cells", "classes"):
            rows, others = (each.query(f"FROM {table}") for each in (first, second))
            assert rows.keys() == others.keys()
            for name in rows:
                assert str(rows[name].tolist()) == str(others[name].tolist()), (table, name)
        for file in ("features.npy", "norms.npy", "pooled.npy"):
            for placed in read_placement(one).shards:
                arrays = [np.load(path / "shards" / placed.name / file) for path in (one, other)]
                assert np.array_equal(*arrays)
        assert first.generation.shards == second.generation.shards
    manifests = read_manifest(one), read_manifest(other)
    assert manifests[0].identity == manifests[1].identity
    assert manifests[0].certificate == manifests[1].certificate
    assert manifests[0].head == manifests[1].head
    assert manifests[0].part is manifests[1].part is None
    assert check(one).is_sound
    assert check(other).is_sound
