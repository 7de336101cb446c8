"""Annotated regions as pixel masks of the crop: the same resize and crop as the image's (A.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from auditor.data.formats.segments import Box, clip_box, fill
from auditor.data.pixels import MAX_PIXELS, VOID, fit, read_mask
from auditor.errors import DatasetError
from auditor.grids import Geometry, Mask
from auditor.records import Foreground, MaskFile, Region, Sample

_ASPECT = 0.05  # rounding of small masks stays below it, a rotation does not


def project(
    sample: Sample, geometry: Geometry, size: tuple[int, int], min_area: float = 0.0
) -> Foreground | None:
    """The foreground of an image whose upright (width, height) is `size`; None when it has no regions at all.

    Regions that cover less than `min_area` of the crop, or none of it, are dropped (A.1), and a class is
    present when one of its regions remains. Raises DatasetError where annotation and image disagree.
    """
    if not sample.regions:
        return None
    masks: dict[int, Mask] = {}
    smallest = max(min_area * geometry.crop**2, 1)
    for region, mask in zip(sample.regions, _draw_all(sample, geometry, size), strict=True):
        if np.count_nonzero(mask) >= smallest:
            masks[region.label] = masks[region.label] | mask if region.label in masks else mask
    labels = tuple(sorted(masks))
    shape = (len(labels), geometry.crop, geometry.crop)
    return Foreground(labels, np.array([masks[label] for label in labels], dtype=np.bool_).reshape(shape))


def _draw_all(sample: Sample, geometry: Geometry, size: tuple[int, int]) -> list[Mask]:
    files: dict[MaskFile, Mask] = {}
    try:
        for group in _by_file(sample.regions):
            files.update(_read_files(group, geometry, size))
        return [files[r.file] if r.file else _draw(r, geometry, size) for r in sample.regions]
    except DatasetError as error:
        raise DatasetError(f"the annotation of {sample.path} cannot be used: {error}") from error


def _by_file(regions: Sequence[Region]) -> list[list[MaskFile]]:
    groups: dict[object, list[MaskFile]] = {}
    for region in regions:
        if region.file:
            groups.setdefault(region.file.path, []).append(region.file)
    return list(groups.values())


def _read_files(group: Sequence[MaskFile], geometry: Geometry, size: tuple[int, int]) -> dict[MaskFile, Mask]:
    """The masks of one mask image, decoded once for all of its classes."""
    is_semantic = any(file.value is not None for file in group)
    values = read_mask(group[0].path, is_semantic)
    _check_aspect((values.shape[1], values.shape[0]), size)
    if is_semantic:
        _check_values(values, [file.value for file in group if file.value is not None])
    return {
        file: _fit(values != 0 if file.value is None else values == file.value, geometry, size)
        for file in group
    }


def _check_values(values: NDArray[np.int64], named: Sequence[int]) -> None:
    """Pixels of a value that stands for none of the image's classes are an object, and no background."""
    strange = values[~np.isin(values, [0, VOID, *named])]
    if strange.size:
        raise DatasetError(f"its mask holds the value {strange[0]}, which is none of its classes'")


def _draw(region: Region, geometry: Geometry, size: tuple[int, int]) -> Mask:
    if region.is_relative:
        region = _scale(region, size)
    drawn_on = region.size or size
    _check_aspect(drawn_on, size)
    if region.box is not None:
        return _draw_box(_clip(region.box, drawn_on), geometry, drawn_on)
    return _fit(_rasterise(region, drawn_on), geometry, size)


def _scale(region: Region, size: tuple[int, int]) -> Region:
    width, height = size
    if region.box is not None:
        x0, y0, x1, y1 = region.box
        return Region(region.label, box=(x0 * width, y0 * height, x1 * width, y1 * height), size=size)
    polygons = tuple(
        tuple(share * size[axis % 2] for axis, share in enumerate(polygon))
        for polygon in region.polygons or ()
    )
    return Region(region.label, polygons=polygons, size=size)


def _clip(box: Box, size: tuple[int, int]) -> Box:
    try:
        return clip_box(box, *size)[0]
    except ValueError as error:
        raise DatasetError(str(error)) from error


def _draw_box(box: Box, geometry: Geometry, size: tuple[int, int]) -> Mask:
    left, top, right, bottom = geometry.project_box(box, *size)
    mask = np.zeros((geometry.crop, geometry.crop), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def _rasterise(region: Region, size: tuple[int, int]) -> Mask:
    """Polygons, traced by pycocotools, or a run-length code, filled at the size that they were drawn on."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise DatasetError(f"it was drawn on {width} x {height} pixels; check the size that it gives")
    if region.polygons is not None:
        traced = coco_mask.frPyObjects([list(polygon) for polygon in region.polygons], height, width)
        return fill(coco_mask.merge(traced))
    if region.rle is not None:
        return fill(region.rle)
    raise DatasetError("a region has neither box, polygons, run-length code nor mask file")


def _fit(mask: Mask, geometry: Geometry, size: tuple[int, int]) -> Mask:
    image = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(fit(image, geometry, Image.Resampling.NEAREST, size), dtype=np.bool_)


def _check_aspect(drawn_on: tuple[int, int], size: tuple[int, int]) -> None:
    ratio = drawn_on[0] * size[1] / (drawn_on[1] * size[0])
    if abs(ratio - 1) > _ASPECT:
        raise DatasetError(
            f"it was drawn on {drawn_on[0]} x {drawn_on[1]} pixels, the upright image has "
            f"{size[0]} x {size[1]}; turn or crop one of them as the other is"
        )
