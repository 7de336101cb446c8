"""From the real predictions of an independent implementation, our metrics give its own totals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from auditor.measure import image_rows, metrics
from auditor.records import ClassName, Rate
from auditor.store import Index, IndexWriter, write_shard
from indexes import manifest


def read_rows(real: Path, fill: str) -> list[dict[str, str]]:
    with (real / f"expected/ilsvrc_{fill}_images.csv").open() as file:
        return list(csv.DictReader(file))


def build(real: Path, path: Path, rows: list[dict[str, str]]) -> None:
    """An index whose cells show what the independent implementation predicted (features are not needed)."""
    published = json.loads((real / "ilsvrc/real.json").read_text())
    count, names = len(rows), ("cells", "cells_wo_bg", "cells_wo_fg")
    tops = np.array([[row[name].split() for name in names] for row in rows], dtype=np.int32)
    foreground = np.array([list(row["fg_cells"]) for row in rows]) == "1"
    every = np.repeat(foreground, 3, axis=0).ravel()
    label = np.array([int(row["label"]) for row in rows])
    images = {
        "id": np.arange(count),
        "path": [row["file"] for row in rows],
        "label": label,
        "labels": label[:, None],
        "real": [published[Path(row["file"]).name] for row in rows],
        "status": ["ok"] * count,
        "top5_original": np.array([[int(row["pred"])] for row in rows]),
    }
    cells = {
        "image": np.repeat(np.arange(count), 3 * 49),
        "variant": np.tile(np.repeat(np.arange(3), 49), count),
        "cell": np.tile(np.arange(49), 3 * count),
        "foreground": every,
        "present": [[k] if here else [] for k, here in zip(np.repeat(label, 147), every, strict=True)],
        "top5": tops.reshape(-1, 1),
    }
    with IndexWriter.create(path, manifest((7, 7), dim=1)) as writer:
        writer.update(classes=tuple(ClassName(str(k)) for k in range(1000)))
        features = np.ones((count, 7, 7, 1), np.float16)
        arrays = {"features": features, "norms": features[..., 0], "pooled": features[:, 0, 0]}
        writer.add(write_shard(path, "00000", **arrays, images=images, cells=cells))
        writer.finish()


@pytest.mark.parametrize("fill", ["mean", "black"])
def test_real_predictions_give_the_independent_totals(real: Path, tmp_path: Path, fill: str) -> None:
    expected = json.loads((real / f"expected/ilsvrc_{fill}_summary.json").read_text())
    rows = read_rows(real, fill)
    build(real, tmp_path / "index", rows)
    with Index.open(tmp_path / "index") as index:
        measured, images = metrics(index), image_rows(index)
    names = {"top1": "top1", "fg_det": "fg_det", "loc": "loc_micro", "loc_without_bg": "loc_wo_bg_micro",
             "bg_act": "bg_act", "bg_act_without_fg": "bg_act_wo_fg", "det_top1": "det_top1",
             "real_acc": "real_acc", "real_rec": "real_rec_micro"}  # fmt: skip
    for ours, theirs in names.items():
        rate = getattr(measured, ours)
        assert isinstance(rate, Rate)
        assert 100 * (rate.value or 0) == pytest.approx(expected[theirs], abs=1e-4), ours
    assert 100 * (measured.loc_per_image or 0) == pytest.approx(expected["loc_macro"], abs=1e-4)
    assert 100 * (measured.real_rec_per_image or 0) == pytest.approx(expected["real_rec_macro"], abs=1e-4)
    assert 100 * (measured.delta or 0) == pytest.approx(expected["delta"], abs=1e-4)
    columns = {"fg_cells": "n_fg", "bg_cells": "n_bg", "fg_hits": "fg_correct", "fg_det": "fg_det",
               "fg_hits_without_bg": "fg_correct_wo_bg", "bg_act": "bg_act", "real": "n_real",
               "bg_act_without_fg": "bg_act_wo_fg", "real_found": "real_found"}  # fmt: skip
    for row, image in zip(rows, images, strict=True):
        found = {theirs: getattr(image, ours) for ours, theirs in columns.items()}
        assert found == {theirs: int(row[theirs] or 0) for theirs in columns.values()}
