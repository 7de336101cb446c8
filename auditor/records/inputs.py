"""What is read and what backbones are.

Class ids in a `Dataset` are positions in its own `classes`; everywhere after indexing they are positions in
the head's classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from auditor.grids import Geometry, Mask

VARIANTS = ("original", "without_bg", "without_fg")
"""The three inputs of section 4.1, in the order in which the index numbers them."""

Fill = Literal["mean", "black", "grey", "blur", "noise"]
Interpolation = Literal["bilinear", "bicubic"]
ProbeKind = Literal["linear", "mlp"]
Precision = Literal["float32", "bfloat16"]
Readout = Literal["pointwise", "exact"]
"""How cells are scored: each by itself, or so that the scores' mean is the image's (A.4)."""
Runtime = Literal["torch", "openvino"]
"""What computes the grid: eager torch, or OpenVINO, on CPUs."""


# ---------------------------------------------------------------------- what is read


@dataclass(frozen=True, slots=True)
class ClassName:
    """A class by its name and, for ImageNet's, its WordNet synset."""

    name: str
    synset: str | None = None


@dataclass(frozen=True, slots=True)
class MaskFile:
    """One class of a mask image: the pixels that equal `value`, or every non-zero pixel when it is None."""

    path: Path
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """Annotated foreground of one class in one image, in pixels of the upright original.

    Exactly one of `box` (x0, y0, x1, y1), `polygons`, `rle` (COCO, compressed or not) and `file` is set.
    `size` is the (width, height) that the annotation was drawn on, None where it does not say. A box or
    polygon that `is_relative` is given in shares of the image's sides instead of pixels (YOLO).
    """

    label: int
    box: tuple[float, float, float, float] | None = None
    polygons: tuple[tuple[float, ...], ...] | None = None
    rle: Mapping[str, Any] | None = None
    file: MaskFile | None = None
    size: tuple[int, int] | None = None
    is_relative: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a dataset: its path below the root, the classes said to be in it, its regions.

    `unclear` says what of its annotations cannot be read: then it has no regions at all, because the cells of
    the one that is lost would count as background.
    """

    path: str
    labels: tuple[int, ...] = ()
    label: int | None = None  # the one evaluation label where the dataset names one (its target), else None
    regions: tuple[Region, ...] = ()
    split: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    unclear: str | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images in place under `root`, with what was recognised, dropped and why in `notes`.

    `min_area` is the share of the crop below which a region is dropped (COCO's 1 % filter, A.1); where it is
    above zero an image's labels are those of the regions that remain, and an image with none is left out.
    """

    root: Path
    kind: str
    classes: tuple[ClassName, ...]
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()
    min_area: float = 0.0


@dataclass(frozen=True, slots=True)
class Foreground:
    """Pixel masks of the crop, one per class present: labels (P,), masks (P, S, S) bool."""

    labels: tuple[int, ...]
    masks: Mask

    @property
    def union(self) -> Mask:
        """Pixels (S, S) of any class."""
        return np.asarray(self.masks.any(axis=0), dtype=np.bool_)


# ---------------------------------------------------------------------- what a backbone is


@dataclass(frozen=True, slots=True)
class Preprocess:
    """From an upright RGB image to the network's input: resize, crop, then (pixel / 255 - mean) / std."""

    resize: int = 256
    crop: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bicubic"

    @property
    def geometry(self) -> Geometry:
        """The resize and crop that masks and boxes go through too."""
        return Geometry(self.resize, self.crop)


Verdict = Literal["exact", "exact-affine", "exact-attn", "pointwise-only", "features-only"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """How the dense scores Z of a head relate to its image scores z, measured on real images.

    Errors are max |mean over cells of Z - z| / standard deviation of z over classes, in float32; None where
    the readout does not exist. `exact_readout` names the decomposition that fits: linear, norm_linear,
    taylor, attention or pooled_norm.
    """

    aggregation: str  # gap | token | attention | mixed | none
    head: str  # linear | norm_linear | mlp | attention | none, as found by measurement
    verdict: Verdict
    pointwise_error: float | None
    exact_error: float | None
    exact_readout: str | None
    images: int
    note: str = ""
