"""Annotations at random against pycocotools and against plain geometry, sound ones and broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from auditor.data.foreground import project
from auditor.data.load import load
from auditor.data.read import read_dataset
from auditor.data.shown import pack_mask, unpack_mask
from auditor.grids import Geometry
from auditor.records import Preprocess, Region, Sample

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools under NumPy 2

SEEDS = range(300)


def random_mask(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """Noise, nothing, everything, or a few rectangles."""
    match rng.integers(0, 4):
        case 0:
            return rng.random((height, width)) < rng.random()
        case 1:
            return np.full((height, width), bool(rng.integers(0, 2)))
        case _:
            mask = np.zeros((height, width), bool)
            for _ in range(rng.integers(1, 4)):
                y, x = rng.integers(0, height), rng.integers(0, width)
                mask[y : y + rng.integers(1, height + 1), x : x + rng.integers(1, width + 1)] ^= True
            return mask


def square(rng: np.random.Generator) -> tuple[int, int]:
    """A size that a geometry of the same side leaves as it is: nothing is resized or cut."""
    side = int(rng.integers(3, 60))
    return side, side


def drawn(region: Region, size: tuple[int, int]) -> NDArray[np.bool_]:
    found = project(Sample("a", regions=(region,)), Geometry(size[0], size[0]), size)
    assert found is not None
    return found.union


def runs_of(mask: NDArray[np.bool_]) -> list[int]:
    """The uncompressed code: lengths of runs of 0 and 1, column by column."""
    runs, value = [0], False
    for pixel in mask.ravel(order="F").tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def decoded(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """What pycocotools makes of a segmentation."""
    is_compressed = isinstance(segmentation, dict) and isinstance(segmentation["counts"], str)
    code = segmentation if is_compressed else coco_mask.frPyObjects(segmentation, height, width)
    mask = np.asarray(coco_mask.decode(code)).astype(bool)
    return mask.any(axis=-1) if mask.ndim == 3 else mask


@pytest.mark.parametrize("kind", ["compressed", "plain"])
def test_run_length_codes(kind: str) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        size = square(rng)
        mask = random_mask(rng, *size)
        counts: Any = runs_of(mask)
        if kind == "compressed":
            counts = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        code = {"size": list(size), "counts": counts}
        np.testing.assert_array_equal(drawn(Region(0, rle=code, size=size), size), mask)


def test_packed_masks() -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        mask = random_mask(rng, int(rng.integers(1, 50)), int(rng.integers(1, 50)))
        np.testing.assert_array_equal(unpack_mask(pack_mask(mask)), mask)


def test_polygons() -> None:
    """As pycocotools traces them, also where they leave the image."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        size = square(rng)
        corners = [
            rng.uniform(-0.3, 1.3, 2 * int(rng.integers(3, 9))) * size[0] for _ in range(rng.integers(1, 4))
        ]
        polygons = tuple(tuple(float(edge) for edge in each) for each in corners)
        expected = decoded([list(each) for each in polygons], *size)
        np.testing.assert_array_equal(drawn(Region(0, polygons=polygons, size=size), size), expected)


def test_triangles_by_geometry() -> None:
    """A pixel whose centre is inside by more than a pixel is in the mask, one outside by as much is not."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        size = (48, 48)
        points = rng.uniform(-10, 58, (3, 2))
        edges = np.roll(points, -1, axis=0) - points
        turn = np.sign(edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0])
        y, x = np.mgrid[0:48, 0:48] + 0.5
        distances = [
            turn * (dx * (y - py) - dy * (x - px)) / np.hypot(dx, dy)
            for (px, py), (dx, dy) in zip(points, edges, strict=True)
        ]
        depth = np.min(distances, axis=0)
        mask = drawn(Region(0, polygons=(tuple(points.ravel().tolist()),), size=size), size)
        assert mask[depth > 1].all(), seed
        assert not mask[depth < -1].any(), seed


def test_boxes() -> None:
    """Corners truncated to whole pixels, the far ones exclusive, whatever lies outside cut away."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        size = square(rng)
        x0, x1, y0, y1 = (float(v) for v in rng.uniform(-0.3, 1.3, 4) * size[0])
        x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        if x1 <= 0 or y1 <= 0 or x0 >= size[0] or y0 >= size[0]:
            continue
        mask = drawn(Region(0, box=(x0, y0, x1, y1), size=size), size)
        expected = np.zeros(size, bool)
        expected[max(int(y0), 0) : int(y1), max(int(x0), 0) : int(x1)] = True
        np.testing.assert_array_equal(mask, expected)


# ------------------------------------------------------------------------------------- broken ones


VALUES: tuple[Any, ...] = (
    *(None, True, "x", "", [], {}, [[]], [[[]]], -1, 0, 1e300, 10**30, float("nan"), float("inf"), "12"),
    *([1, 2], [1, 2, 3, 4], [[1, 2, 3]], {"size": [24, 24]}, {"counts": [576]}),
)


def spoil(value: Any, rng: np.random.Generator) -> Any:
    """One thing changed somewhere inside."""
    match value:
        case list() if value and rng.random() < 0.8:
            place = int(rng.integers(0, len(value)))
            if rng.random() < 0.2:
                return value[:place] + value[place + 1 :]
            return [spoil(each, rng) if place == n else each for n, each in enumerate(value)]
        case dict() if value and rng.random() < 0.9:
            key = list(value)[int(rng.integers(0, len(value)))]
            return {**value, key: spoil(value[key], rng)}
        case str() if value and rng.random() < 0.8:
            place = int(rng.integers(0, len(value)))
            return value[:place] + chr(int(rng.integers(32, 127))) + value[place + 1 :]
        case int() | float() if rng.random() < 0.5:
            return value + int(rng.integers(-3, 4))
    return VALUES[int(rng.integers(0, len(VALUES)))]


def random_annotation(rng: np.random.Generator) -> dict[str, Any]:
    """A sound one on 24 x 24 pixels."""
    mask = random_mask(rng, 24, 24)
    box = [float(v) for v in rng.uniform(1, 12, 4)]
    segmentation: Any = None
    match rng.integers(0, 4):
        case 0:
            segmentation = {"size": [24, 24], "counts": runs_of(mask)}
        case 1:
            code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            segmentation = {"size": [24, 24], "counts": code["counts"].decode()}
        case 2:
            segmentation = [[float(v) for v in rng.uniform(0, 24, 8)] for _ in range(rng.integers(1, 3))]
    return {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "segmentation": segmentation}


def expected_mask(row: dict[str, Any]) -> NDArray[np.bool_]:
    """What the annotation says, by pycocotools and by hand."""
    if row["segmentation"]:
        return decoded(row["segmentation"], 24, 24)
    left, top, width, height = row["bbox"]
    mask = np.zeros((24, 24), bool)
    mask[max(int(top), 0) : max(int(top + height), 0), max(int(left), 0) : max(int(left + width), 0)] = True
    return mask


def test_a_spoilt_annotation_gives_its_own_mask_or_none(tmp_path: Path) -> None:
    """Never a mask that the annotation does not say, never a lost object as background, never a traceback."""
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    images = [{"id": 1, "file_name": "a.png", "width": 24, "height": 24}]
    Image.new("RGB", (24, 24)).save(tmp_path / "a.png")
    sound = {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 24, 24]}
    outcomes = {"drawn": 0, "unclear": 0, "elsewhere": 0}
    for seed in range(1500):
        rng = np.random.default_rng(seed)
        row = spoil(random_annotation(rng), rng)
        if not isinstance(row, dict) or not {"bbox", "segmentation", "image_id", "category_id"} <= row.keys():
            continue
        content = {"images": images, "annotations": [row, sound], "categories": categories}
        (tmp_path / "instances.json").write_text(json.dumps(content))
        (sample,) = (dataset := read_dataset(tmp_path)).samples
        loaded = load(dataset, sample, Preprocess(24, 24))
        if row["image_id"] != 1 or row["image_id"] is True:
            outcomes["elsewhere"] += 1
        elif loaded.foreground is None:
            outcomes["unclear"] += 1
            assert loaded.code == "annotation"
        else:
            outcomes["drawn"] += 1
            wanted = expected_mask(row)
            found = dict(zip(loaded.foreground.labels, loaded.foreground.masks, strict=True))
            label = row["category_id"] - 1
            if label == 1:
                wanted = wanted | True
            shown = found.get(label, np.zeros((24, 24), bool))
            is_small = wanted.sum() < 0.01 * 24 * 24  # the paper's filter
            np.testing.assert_array_equal(shown, wanted & (not is_small), err_msg=str(seed))
    assert min(outcomes["drawn"], outcomes["unclear"]) > 200, outcomes
