"""Pure geometry between pixels and cells: resize and crop, boxes, occupancy, cell names.

Everything here is integer arithmetic on NumPy arrays; nothing reads a file or knows a model.
A grid is H x W cells over a square crop of `crop` pixels; cell (row, col) is zero-based, row first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.errors import CellError

Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

_NUMBER = r"(\d+(?:\.\d+)?)"


@dataclass(frozen=True, slots=True)
class Geometry:
    """Shorter side to `resize`, longer side truncated, then a centre crop of `crop` pixels (A.1)."""

    resize: int = 256
    crop: int = 224

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the resize."""
        if width <= height:
            return self.resize, int(self.resize * height / width)
        return int(self.resize * width / height), self.resize

    def offset(self, width: int, height: int) -> tuple[int, int]:
        """Left and top of the crop in an already resized image of this size."""
        return round((width - self.crop) / 2.0), round((height - self.crop) / 2.0)

    def project_box(
        self, box: tuple[float, float, float, float], width: int, height: int
    ) -> tuple[int, int, int, int]:
        """A box of the original image in pixels of the crop: left, top, right, bottom, far edge exclusive.

        Corners times (new size / old size), minus the crop's offset, truncated, clipped to the crop: of the
        120 conventions that were tried, the one that gives all 20 denominators of Table 8.
        Multiplied before divided, so that whole pixels stay whole in floating point.
        """
        new_width, new_height = self.resized(width, height)
        left, top = self.offset(new_width, new_height)
        x0, y0, x1, y1 = box
        scaled = (
            x0 * new_width / width - left,
            y0 * new_height / height - top,
            x1 * new_width / width - left,
            y1 * new_height / height - top,
        )
        clipped = [min(max(int(edge), 0), self.crop) for edge in scaled]
        return clipped[0], clipped[1], clipped[2], clipped[3]


def occupancy(mask: Mask, grid: tuple[int, int]) -> Mask:
    """Cells (H, W) that hold any pixel of the mask (S, S): the paper's foreground cells (4.1, A.1)."""
    rows, cols = (edges(side, cells)[:-1] for side, cells in zip(mask.shape, grid, strict=True))
    by_row = np.logical_or.reduceat(mask, rows, axis=0)
    return np.asarray(np.logical_or.reduceat(by_row, cols, axis=1), dtype=np.bool_)


def widened(masks: Mask) -> Mask:
    """The cells of grids (n, H, W) that are set, or touch one that is by an edge or a corner."""
    _, height, width = masks.shape
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    shifted = [padded[:, row : row + height, col : col + width] for row in range(3) for col in range(3)]
    return np.asarray(np.logical_or.reduce(shifted), dtype=np.bool_)


def edges(side: int, cells: int) -> NDArray[np.int64]:
    """The pixel edges (cells + 1,) that divide `side` pixels evenly, rounded down where they cannot."""
    return np.arange(cells + 1, dtype=np.int64) * side // cells


def cell_box(row: int, col: int, grid: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """The cell's pixels in a square of `side` pixels: left, top, right, bottom, far edge exclusive."""
    check_cell(row, col, grid)
    ys, xs = edges(side, grid[0]), edges(side, grid[1])
    return int(xs[col]), int(ys[row]), int(xs[col + 1]), int(ys[row + 1])


def share_cells(box: tuple[int, int, int, int], grid: tuple[int, int], side: int) -> NDArray[np.int64]:
    """The pixels (H, W) that each cell has in common with a box in a square of `side` pixels."""
    shared = []
    for low, high, cells in ((box[1], box[3], grid[0]), (box[0], box[2], grid[1])):
        borders = edges(side, cells)
        shared.append(np.maximum(np.minimum(high, borders[1:]) - np.maximum(low, borders[:-1]), 0))
    return np.asarray(np.outer(*shared), dtype=np.int64)


def check_cell(row: int, col: int, grid: tuple[int, int]) -> None:
    """Raise CellError for a cell that the grid does not have."""
    if not (0 <= row < grid[0] and 0 <= col < grid[1]):
        raise CellError(
            f"cell {row},{col} is outside the {grid[0]} x {grid[1]} grid; "
            f"rows go from 0 to {grid[0] - 1}, columns from 0 to {grid[1] - 1}"
        )


def parse_cell(text: str) -> tuple[str, int, int]:
    """`path:row,col` as path, row and column; CellError for other text.

    The path may hold any character, colons and line breaks included.
    """
    match = re.fullmatch(r"(.+):(\d{1,9}),(\d{1,9})", text, re.DOTALL)
    if match is None:
        raise CellError(f"{text!r} names no cell; write it as image.jpg:row,col, for example img.jpg:3,4")
    return match[1], int(match[2]), int(match[3])


def parse_box(text: str) -> tuple[str, Box]:
    """`path:x,y,w,h` as path and box (x0, y0, x1, y1); CellError for other text and for empty boxes."""
    match = re.fullmatch(rf"(.+):{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}", text, re.DOTALL)
    numbers = [] if match is None else [float(each) for each in match.groups()[1:]]
    if match is None or min(numbers[2:]) <= 0:
        raise CellError(
            f"{text!r} names no box; write it as image.jpg:x,y,w,h in pixels of the image, left and top from "
            "0, width and height above 0, for example img.jpg:40,0,120,80"
        )
    x, y, width, height = numbers
    return match[1], (x, y, x + width, y + height)


def cell_id(image: int, row: int, col: int, grid: tuple[int, int]) -> int:
    """Image id * H * W + row * W + col: no mapping is ever stored."""
    return (image * grid[0] + row) * grid[1] + col


def split_cell_id(cell: int, grid: tuple[int, int]) -> tuple[int, int, int]:
    """The image, row and column of a cell id."""
    image, inside = divmod(int(cell), grid[0] * grid[1])
    return image, *divmod(inside, grid[1])
