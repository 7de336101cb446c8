"""Pixels to cells: brute force, closed forms, and the paper's own counts from all ILSVRC boxes."""

import csv
import gzip

import numpy as np
import pytest

from auditor.errors import CellError
from auditor.grids import (
    Geometry,
    cell_box,
    cell_id,
    edges,
    occupancy,
    parse_cell,
    split_cell_id,
    widened,
)

GRIDS = (7, 14, 16)


def paint(geometry, boxes, width, height):
    mask = np.zeros((geometry.crop, geometry.crop), dtype=bool)
    for box in boxes:
        left, top, right, bottom = geometry.project_box(box, width, height)
        mask[top:bottom, left:right] = True
    return mask


@pytest.fixture(scope="module")
def counts(real):
    """Per class and grid: images, images with foreground, images with background, foreground cells."""
    found = np.zeros((1000, len(GRIDS), 4), dtype=int)
    with gzip.open(real / "ilsvrc_val_boxes.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            boxes = [tuple(map(float, box.split(","))) for box in row["boxes"].split()]
            mask = paint(Geometry(), boxes, int(row["width"]), int(row["height"]))
            for position, side in enumerate(GRIDS):
                cells = int(np.count_nonzero(occupancy(mask, (side, side))))
                found[int(row["class"]), position] += (1, cells > 0, cells < side * side, cells)
    return found


def test_boxes_give_all_denominators_of_table_8(real, counts):
    with (real / "expected" / "table8_denominators.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    for row in rows:
        with_background = counts[int(row["label"]), 0, 2]
        assert with_background == int(row["images_with_background"])
        assert str(with_background) in row["denominators_that_fit"].split()


def test_boxes_give_the_counts_of_all_classes(real, counts):
    with (real / "expected" / "geometry_by_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = [
        [
            [int(row["n_images"])]
            + [int(row[f"g{side}_{name}"]) for name in ("with_fg", "with_bg", "fg_cells")]
            for side in GRIDS
        ]
        for row in sorted(rows, key=lambda row: int(row["label"]))
    ]
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize(
    ("size", "resized", "offset"),
    [
        ((500, 375), (341, 256), (58, 16)),  # 256 * 500 / 375 = 341.33; (341 - 224) / 2 = 58.5 rounds to even
        ((375, 500), (256, 341), (16, 58)),
        ((227, 227), (256, 256), (16, 16)),
        ((100, 1000), (256, 2560), (16, 1168)),
    ],
)
def test_resize_truncates_and_crop_is_central(size, resized, offset):
    geometry = Geometry()
    assert geometry.resized(*size) == resized
    assert geometry.offset(*resized) == offset


def test_project_box_by_hand():
    # 512 x 256 keeps its size; the crop starts at (144, 16).
    assert Geometry().project_box((150, 20, 200.9, 120), 512, 256) == (6, 4, 56, 104)
    assert Geometry().project_box((0, 0, 512, 256), 512, 256) == (0, 0, 224, 224)
    left, _, right, _ = Geometry().project_box((0, 0, 100, 256), 512, 256)
    assert left == right == 0  # outside of the crop


@pytest.mark.parametrize("grid", [(7, 7), (3, 5), (14, 16), (1, 1)])
def test_occupancy_equals_brute_force(grid):
    rng = np.random.default_rng(3)
    for density in (0.0, 0.002, 0.05, 1.0):
        mask = rng.random((48, 48)) < density
        slow = np.zeros(grid, dtype=bool)
        for row in range(grid[0]):
            for col in range(grid[1]):
                left, top, right, bottom = cell_box(row, col, grid, 48)
                slow[row, col] = any(mask[y, x] for y in range(top, bottom) for x in range(left, right))
        np.testing.assert_array_equal(occupancy(mask, grid), slow)


def test_widened_cells_touch_one_by_an_edge_or_a_corner():
    masks = np.random.default_rng(4).random((20, 4, 6)) < 0.1
    slow = np.zeros_like(masks)
    for image, row, col in np.ndindex(masks.shape):
        cells = np.argwhere(masks[image])
        slow[image, row, col] = any(max(abs(r - row), abs(c - col)) <= 1 for r, c in cells)
    np.testing.assert_array_equal(widened(masks), slow)


@pytest.mark.parametrize(("side", "cells"), [(224, 7), (224, 16), (225, 7), (16, 16), (10, 3)])
def test_edges_divide_every_pixel_once(side, cells):
    found = edges(side, cells)
    assert found[0] == 0
    assert found[-1] == side
    widths = np.diff(found)
    assert widths.min() >= side // cells
    assert widths.max() <= -(-side // cells)


def test_cell_ids_are_their_own_inverse():
    grid = (3, 5)
    ids = [cell_id(i, r, c, grid) for i in range(4) for r in range(3) for c in range(5)]
    assert ids == list(range(60))
    assert split_cell_id(ids[-1], grid) == (3, 2, 4)


def test_cell_names():
    assert parse_cell("a:b/c.jpg:3,14") == ("a:b/c.jpg", 3, 14)
    for broken in ("a.jpg", "a.jpg:3", ":1,2", "a.jpg:-1,2", "a.jpg:1,2x", f"a.jpg:{'9' * 5000},1"):
        with pytest.raises(CellError, match="names no cell"):
            parse_cell(broken)
    for row, col in ((3, 0), (0, 5), (-1, 0), (0, -1)):
        message = rf"cell {row},{col} is outside the 3 x 5 grid; rows go from 0 to 2, columns from 0 to 4"
        with pytest.raises(CellError, match=message):
            cell_box(row, col, (3, 5), 224)
    assert cell_box(2, 4, (3, 5), 224) == (179, 149, 224, 224)
