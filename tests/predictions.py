"""What an independent implementation predicted on real photos, as little indexes that show just that."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from auditor.records import ClassName
from indexes import FakeImage, make_index, manifest

GRID = (7, 7)


def read_rows(real: Path, fill: str) -> list[dict[str, str]]:
    """A row per photo: its classes, its foreground, what each cell shows in each variant, and the counts."""
    with (real / f"expected/ilsvrc_{fill}_images.csv").open() as file:
        return list(csv.DictReader(file))


def write_predictions(real: Path, path: Path, rows: list[dict[str, str]]) -> Path:
    """An index whose cells show what the independent implementation predicted (features are not needed)."""
    published = json.loads((real / "ilsvrc/real.json").read_text())
    images = [_describe(row, published[Path(row["file"]).name]) for row in rows]
    described = replace(manifest(GRID, dim=1), classes=tuple(ClassName(str(label)) for label in range(1000)))
    return make_index(path, images, size=len(images), described=described)


def _describe(row: dict[str, str], published: list[int]) -> FakeImage:
    label, foreground = int(row["label"]), [flag == "1" for flag in row["fg_cells"]]
    shown = [row[name].split() for name in ("cells", "cells_wo_bg", "cells_wo_fg")]
    return FakeImage(
        path=row["file"],
        label=label,
        labels=(label,),
        present=[{label} if flag else set() for flag in foreground],
        foreground=foreground,
        shown=np.array(shown, dtype=np.int64)[..., None],
        guesses=np.array([[int(row["pred"])]]),
        real=tuple(published),
        features=np.ones((*GRID, 1), np.float32),
        norms=np.ones(GRID, np.float32),
    )
