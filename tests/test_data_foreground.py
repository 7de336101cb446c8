"""Regions in the crop: by hand, by brute force, and on the real annotations."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from auditor.data.foreground import project
from auditor.data.read import read_dataset
from auditor.errors import DatasetError
from auditor.grids import Geometry, occupancy
from auditor.records import MaskFile, Region, Sample

GEOMETRY = Geometry(16, 12)  # an image of 32 x 16 keeps its size, and its crop starts at (10, 2)
SIZE = (32, 16)


def draw(*regions, min_area=0.0, size=SIZE):
    return project(Sample("a.png", regions=regions), GEOMETRY, size, min_area)


def rectangle(left, top, right, bottom):
    mask = np.zeros((12, 12), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def test_an_image_without_regions_has_no_foreground():
    assert draw() is None


def test_every_kind_of_region_draws_the_same_rectangle(tmp_path):
    box = (12.0, 4.0, 20.0, 10.0)
    polygon = (12.0, 4.0, 20.0, 4.0, 20.0, 10.0, 12.0, 10.0)
    full = np.zeros((16, 32), dtype=np.uint8, order="F")
    full[4:10, 12:20] = 1
    flat = np.concatenate(([0], full.ravel(order="F"), [0]))
    edges = np.flatnonzero(np.diff(flat))
    runs = [int(run) for run in np.diff(np.concatenate(([0], edges, [full.size])))]
    Image.fromarray(full * 5).save(tmp_path / "mask.png")
    compressed = coco_mask.encode(full)
    regions = [
        Region(0, box=box),
        Region(0, box=(12 / 32, 4 / 16, 20 / 32, 10 / 16), is_relative=True),
        Region(0, polygons=(polygon,), size=SIZE),
        Region(0, polygons=(tuple(v / (32, 16)[i % 2] for i, v in enumerate(polygon)),), is_relative=True),
        Region(0, rle={"size": [16, 32], "counts": runs}, size=SIZE),
        Region(0, rle={"size": [16, 32], "counts": compressed["counts"].decode()}, size=SIZE),
        Region(0, file=MaskFile(tmp_path / "mask.png")),
        Region(0, file=MaskFile(tmp_path / "mask.png", 5)),
    ]
    for region in regions:
        found = draw(region)
        assert found.labels == (0,)
        np.testing.assert_array_equal(found.masks, [rectangle(2, 2, 10, 8)])


def test_annotations_drawn_at_another_size_are_scaled():
    half = Region(0, box=(6.0, 2.0, 10.0, 5.0), size=(16, 8))
    mask = np.zeros((8, 16), dtype=np.uint8, order="F")
    mask[2:5, 6:10] = 1
    code = Region(1, rle=coco_mask.encode(mask), size=(16, 8))
    found = draw(half, code)
    np.testing.assert_array_equal(found.masks, [rectangle(2, 2, 10, 8)] * 2)


def test_classes_are_sorted_and_their_regions_joined():
    found = draw(Region(7, box=(10, 2, 12, 4)), Region(3, box=(14, 2, 16, 4)), Region(7, box=(11, 3, 14, 6)))
    assert found.labels == (3, 7)
    np.testing.assert_array_equal(found.masks[1], rectangle(0, 0, 2, 2) | rectangle(1, 1, 4, 4))
    np.testing.assert_array_equal(found.union, found.masks[0] | found.masks[1])


def test_small_regions_are_dropped_each_by_itself():
    # 12 x 12 = 144 pixels: 10 % are 14.4.
    small, large = Region(0, box=(10, 2, 17, 4)), Region(1, box=(10, 2, 15, 5))  # 14 and 15 pixels
    assert draw(small, large).labels == (0, 1)
    assert draw(small, large, min_area=0.1).labels == (1,)
    assert draw(small, small, min_area=0.1).labels == ()


def test_what_lies_outside_of_the_crop_is_not_present():
    found = draw(Region(0, box=(0, 0, 9, 16)))
    assert found.labels == ()
    assert found.masks.shape == (0, 12, 12)
    assert not found.union.any()


def test_semantic_mask_files_hold_several_classes(tmp_path):
    values = np.zeros((16, 32), dtype=np.uint8)
    values[4:6, 12:14], values[6:8, 12:14], values[8, 12] = 1, 2, 255
    Image.fromarray(values).save(tmp_path / "mask.png")
    found = draw(*(Region(label, file=MaskFile(tmp_path / "mask.png", label + 1)) for label in range(3)))
    assert found.labels == (0, 1)
    np.testing.assert_array_equal(found.masks, [rectangle(2, 2, 4, 4), rectangle(2, 4, 4, 6)])


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (
            Region(0, box=(0, 0, 1, 1), size=(16, 32)),
            "drawn on 16 x 32 pixels, the upright image has 32 x 16",
        ),
        (Region(0, polygons=((0, 0, 9, 0, 9, 9),), size=(10**6, 5 * 10**5)), "check the size"),
        (Region(0, file=MaskFile(Path("gone.png"))), r"gone\.png cannot be read"),
        (Region(0), "neither box"),
    ],
)
def test_annotations_that_disagree_with_the_image_are_refused(region, message):
    with pytest.raises(DatasetError, match=r"annotation of a\.png") as error:
        draw(region)
    error.match(message)


# ------------------------------------------------------------------------------------------- real annotations


def test_real_boxes_give_the_expected_pixels_and_cells(real):
    dataset = read_dataset(real / "ilsvrc" / "images", real / "ilsvrc" / "boxes")
    with (real / "expected" / "ilsvrc_mean_images.csv").open() as file:
        expected = {
            Path(row["file"]).name: (int(row["fg_pixels"]), row["fg_cells"]) for row in csv.DictReader(file)
        }
    found = {}
    for sample in dataset.samples:
        union = project(sample, Geometry(), (227, 227)).union
        bits = "".join(str(int(cell)) for cell in occupancy(union, (7, 7)).ravel())
        found[sample.path] = (int(union.sum()), bits)
    assert found == expected


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools under NumPy 2
def test_real_masks_equal_nearest_pixel_lookup(real):
    """Nearest by hand: the pixel of the annotation under each centre of the crop's pixels."""
    dataset = read_dataset(real / "coco", limit=12)
    kept = 0
    for sample in dataset.samples:
        width, height = sample.regions[0].size
        slow, is_clear = brute_force(sample, width, height)
        found = project(sample, Geometry(), (width, height), dataset.min_area)
        assert found.labels == tuple(sorted(slow))
        for label, mask in zip(found.labels, found.masks, strict=True):
            differs = mask != slow[label]
            assert not (differs & is_clear).any()
            assert differs.mean() < 1e-3  # ties that floating point breaks the other way
        kept += len(slow)
    assert kept > 12


def brute_force(sample, width, height):
    new = (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
    ys = (round((new[1] - 224) / 2) + np.arange(224) + 0.5) * height / new[1]
    xs = (round((new[0] - 224) / 2) + np.arange(224) + 0.5) * width / new[0]
    clear_rows, clear_cols = (np.abs(centres - np.rint(centres)) > 1e-6 for centres in (ys, xs))
    masks = {}
    for region in sample.regions:
        parts = [list(p) for p in region.polygons] if region.polygons else region.rle
        code = coco_mask.frPyObjects(parts, height, width)
        drawn = coco_mask.decode(code).astype(bool)
        crop = (drawn.any(axis=-1) if drawn.ndim == 3 else drawn)[np.ix_(ys.astype(int), xs.astype(int))]
        if crop.sum() >= 0.01 * 224 * 224:
            masks[region.label] = masks.get(region.label, False) | crop
    return masks, np.outer(clear_rows, clear_cols)
