"""From the real predictions of an independent implementation, our metrics give its own totals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from predictions import read_rows, write_predictions

from auditor.questions.metrics.ask import image_rows, metrics
from auditor.records import Rate
from auditor.store import Index


@pytest.mark.parametrize("fill", ["mean", "black"])
def test_real_predictions_give_the_independent_totals(real: Path, tmp_path: Path, fill: str) -> None:
    expected = json.loads((real / f"expected/ilsvrc_{fill}_summary.json").read_text())
    rows = read_rows(real, fill)
    write_predictions(real, tmp_path / "index", rows)
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
