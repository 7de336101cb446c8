"""How images are resized, cropped and normalised for a backbone (A.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from auditor.errors import BackboneError
from auditor.models.catalog import CATALOG, BackboneSpec
from auditor.models.source import Source
from auditor.records import Interpolation, Preprocess

_PAPER = Preprocess(interpolation="bilinear")  # A.1: ImageNet statistics for every model


def choose_preprocess(
    spec: BackboneSpec, source: Source, size: int | None, choice: Literal["model", "paper"]
) -> Preprocess:
    """Geometry 256 / 224 scaled to `size`, with the model's own statistics or the paper's."""
    native_input = spec.preprocess or source.preprocess
    statistics = _PAPER if choice == "paper" else native_input
    if spec.preprocess is not None and size in (None, native_input.crop):
        resize, crop = native_input.resize, native_input.crop
    else:
        native = None if spec.name in CATALOG else source.native_size
        crop = size or native or _PAPER.crop
        resize = round(crop * _PAPER.resize / _PAPER.crop)
    return replace(statistics, resize=resize, crop=crop)


def override_statistics(
    chosen: Preprocess,
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
    interpolation: Interpolation | None,
) -> Preprocess:
    """The preprocessing with what the user said of it."""
    return replace(
        chosen,
        mean=chosen.mean if mean is None else _three(mean),
        std=chosen.std if std is None else _three(std),
        interpolation=interpolation or chosen.interpolation,
    )


def _three(values: float | Sequence[float]) -> tuple[float, float, float]:
    given = (values,) * 3 if isinstance(values, int | float) else tuple(values)
    if len(given) == 1:
        given = given * 3
    if len(given) != 3:
        raise BackboneError(f"--mean and --std take one value or three, not {len(given)}")
    return float(given[0]), float(given[1]), float(given[2])
