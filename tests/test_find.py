"""A region against plain loops, beside `similar`, and on planted rooms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import run_audit
from photos import SMALL, write_photo
from PIL import Image

from auditor.errors import CellError, DatasetError, IndexMismatch
from auditor.grids import parse_box, share_cells
from auditor.questions.find.ask import find
from auditor.questions.find.record import Find
from auditor.questions.similar.ask import similar, similar_to_vector
from auditor.report.views import view_of
from auditor.search.only import Only
from auditor.store import Index, IndexWriter, Placed, write_shard
from indexes import DIM, arrays, cell_columns, image_columns, make_index, manifest, random_images

ROOMS, EACH = 8, 6  # images that show a room


def plain_shares(box: tuple[int, ...], grid: tuple[int, int], side: int) -> np.ndarray:
    """Pixel by pixel."""
    shared = np.zeros(grid, int)
    rows, cols = (np.arange(n + 1) * side // n for n in grid)
    for y in range(box[1], box[3]):
        for x in range(box[0], box[2]):
            shared[np.searchsorted(rows, y, "right") - 1, np.searchsorted(cols, x, "right") - 1] += 1
    return shared


@pytest.mark.parametrize("box", [(0, 0, 40, 40), (3, 7, 8, 9), (11, 0, 12, 40), (13, 13, 27, 14)])
@pytest.mark.parametrize("grid", [(3, 3), (4, 5), (7, 1)])
def test_a_cell_shares_with_a_box_what_its_pixels_do(
    box: tuple[int, int, int, int], grid: tuple[int, int]
) -> None:
    assert np.array_equal(share_cells(box, grid, 40), plain_shares(box, grid, 40))


def test_a_box_is_read_as_it_is_written() -> None:
    assert parse_box("a:1,2,3,4.jpg:40,0,120.5,80") == ("a:1,2,3,4.jpg", (40, 0, 160.5, 80))
    assert parse_box("a.jpg:0,0,1,0.5") == ("a.jpg", (0, 0, 1, 0.5))
    for text in ("a.jpg", "a.jpg:1,2,3", "a.jpg:1,2,0,4", "a.jpg:-1,2,3,4", "a.jpg:nan,2,3,4"):
        with pytest.raises(CellError, match=r"names no box; write it as image\.jpg:x,y,w,h"):
            parse_box(text)


# ------------------------------------------------------------------------------------- on the demo


def plain_find(index: Index, answer: Find, *, background: bool) -> list[tuple[str, float]]:
    """Every image by loops over its cells: path and score, best first."""
    query = dict(zip(answer.cells, answer.shares, strict=True))
    vectors = {}
    for cell in query:
        row, col = map(int, cell.rpartition(":")[2].split(","))
        vectors[cell] = index.features(index.image(answer.path))[row, col].astype(float)
    rows = index.query("SELECT image, cell FROM cells WHERE variant = 0 AND foreground")
    objects = set(zip(rows["image"].tolist(), rows["cell"].tolist(), strict=True)) if background else set()
    scored = []
    for image, path in enumerate(index.query("SELECT path FROM images ORDER BY id")["path"].tolist()):
        if path == answer.path:
            continue
        cells = index.features(image).reshape(-1, index.manifest.dim).astype(float)
        kept = [cell for cell in range(len(cells)) if (image, cell) not in objects and cells[cell].any()]
        if kept:
            best = {name: max(vectors[name] @ cells[cell] for cell in kept) for name in query}
            score = sum(query[name] * best[name] for name in query) / sum(query.values())
            scored.append((path, score))
    return sorted(scored, key=lambda each: -each[1])


@pytest.mark.parametrize("background", [False, True])
def test_every_score_is_that_of_plain_loops(scenes: Index, background: bool) -> None:
    answer = find(scenes, "images/000000.png", (140, 10, 220, 100), k=160, background=background)
    wanted = plain_find(scenes, answer, background=background)
    assert [found.score for found in answer.found] == pytest.approx([score for _, score in wanted], abs=1e-5)
    assert {found.path for found in answer.found[:20]} == {path for path, _ in wanted[:20]}
    few = find(scenes, "images/000000.png", (140, 10, 220, 100), k=7, background=background).found
    assert [(found.path, found.cells) for found in few] == [
        (each.path, each.cells) for each in answer.found[:7]
    ]
    places = share_cells(answer.seen, scenes.grid, 112)
    objects = scenes.query("SELECT cell FROM cells WHERE image = 0 AND variant = 0 AND foreground")["cell"]
    if background:
        places.ravel()[objects] = 0
        assert all(found.background.value == 1 for found in answer.found)
    assert len(answer.cells) == np.count_nonzero(places)
    assert answer.shares == pytest.approx((places[places > 0] / 16**2).tolist())


@pytest.mark.parametrize(("row", "col"), [(0, 6), (3, 2), (6, 0)])
def test_a_box_in_one_cell_is_similar(scenes: Index, row: int, col: int) -> None:
    """Exactly: the same cells, the same cosines, whichever part of the cell the box covers."""
    hits = similar(scenes, "images/000000.png", row, col, k=30).hits
    wanted = [(f"{hit.path}:{hit.row},{hit.col}", hit.cosine, hit.label) for hit in hits]
    x, y = 32 * col, 32 * row
    for box in ((x, y, x + 32, y + 32), (x + 5, y + 9, x + 20, y + 11)):
        found = find(scenes, "images/000000.png", box, k=30).found
        assert [(each.cells[0], each.score, each.label) for each in found] == wanted
        assert {len(each.cells) for each in found} == {1}


def test_what_nobody_annotated_is_no_background(tmp_path: Path) -> None:
    """A box in one cell finds on the background what `similar --place background` does."""
    made = random_images(4, 60)
    for image in made:
        image.status = "ok"
    assert sum(image.foreground is None for image in made) > 5
    asked = next(image for image in made if image.foreground is not None and not image.foreground[0])
    known = {image.path for image in made if image.foreground is not None}
    with Index.open(make_index(tmp_path / "index", made)) as index:
        answer = find(index, asked.path, (16, 16, 40, 40), k=60, background=True)
        hits = similar(index, asked.path, 0, 0, k=60, only=Only(place="background")).hits
        (table,) = view_of(answer).tables
    assert answer.unannotated == len(made) - len(known)
    assert "no cell of theirs is known to be background" in " ".join(table.notes)
    assert {found.path for found in answer.found} == {
        image.path for image in made if image.foreground and not all(image.foreground) and image is not asked
    }
    assert [found.cells for found in answer.found] == [(f"{hit.path}:{hit.row},{hit.col}",) for hit in hits]


def test_the_command_says_and_draws_it(demo: Path, audit: Callable[..., str]) -> None:
    box = ("find", "--box", "images/000000.png:192,0,32,32", "-k", "3", "--out", str(demo / "find.png"))
    printed = audit(*box, "--background")
    assert "The box covers 1 cell; other images, background only." in printed
    with Image.open(demo / "find.png") as drawn:
        assert drawn.width > 1000


def test_an_index_without_sizes_says_so(tmp_path: Path) -> None:
    made = random_images(4, 3)
    made[0].status = "ok"
    with IndexWriter.create(tmp_path / "index", manifest()) as writer:
        writer.place([Placed("00000", 0, tuple(image.path for image in made))])
        columns = image_columns(made, 0)
        del columns["width"], columns["height"]
        content = {"images": columns, "cells": cell_columns(made, 0), **arrays(made)}
        write_shard(writer.path, writer.manifest, "00000", **content)
        writer.finish()
    wanted = "was made before audit kept the sizes of images"
    with Index.open(tmp_path / "index") as index, pytest.raises(IndexMismatch, match=wanted):
        find(index, made[0].path, (16, 16, 40, 40))


def test_boxes_that_cannot_be_asked_are_refused(scenes: Index) -> None:
    path = "images/000000.png"
    with pytest.raises(CellError, match=r"000000.png:300,0,5,5 lies beside the image, which has 224 x 224"):
        find(scenes, path, (300, 0, 305, 5))
    with pytest.raises(CellError, match="covers nothing that the backbone saw"):
        find(scenes, path, (10.2, 10.2, 10.4, 10.4))
    objects = scenes.query("SELECT cell FROM cells WHERE image = 0 AND variant = 0 AND foreground")["cell"]
    y, x = (32 * int(each) for each in divmod(int(objects[0]), 7))
    with pytest.raises(CellError, match="covers annotated objects alone; ask without --background"):
        find(scenes, path, (x, y, x + 9, y + 9), background=True)


# ------------------------------------------------------------------------------------- planted rooms


def test_planted_rooms_are_found(tmp_path: Path) -> None:
    """Four cells of a room anywhere in six of 120 images, none like any other: 20 are looked at."""
    rng = np.random.default_rng(0)
    made = random_images(3, 120, (5, 5))
    walls = rng.standard_normal((ROOMS, 4, DIM))
    for number, image in enumerate(made):
        image.status = "ok"
        if number < ROOMS * EACH:
            places = [0, 1, 5, 6] if number % EACH == 0 else rng.choice(25, 4, replace=False)
            seen = walls[number // EACH] + 0.5 * rng.standard_normal((4, DIM))
            image.features.reshape(25, DIM)[places] = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    recalls, of_pooled = [], []
    with Index.open(make_index(tmp_path / "rooms", made, grid=(5, 5))) as index:
        for room in range(ROOMS):
            # the crop begins at 16 of 256 pixels, and two of its five cells end at 89
            answer = find(index, made[room * EACH].path, (16, 16, 16 + 89, 16 + 89))
            assert [cell.rpartition(":")[2] for cell in answer.cells] == ["0,0", "0,1", "1,0", "1,1"]
            others = {image.path for image in made[room * EACH + 1 : (room + 1) * EACH]}
            pooled = similar_to_vector(index, made[room * EACH].features[:2, :2].mean(axis=(0, 1)), k=21)
            recalls.append(len(others & {found.path for found in answer.found}) / len(others))
            of_pooled.append(len(others & {hit.path for hit in pooled.hits}) / len(others))
    assert np.mean(recalls) >= 0.9
    assert np.mean(of_pooled) <= 0.7


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Photos of noise that nobody annotated."""
    folder = tmp_path_factory.mktemp("find")
    for number in range(20):
        write_photo(folder / "photos" / f"{number:03d}.png", number)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_audit("index", "photos", *SMALL, "--head", "none", "--name", "photos")
        with Index.open(folder / "indexes" / "photos") as opened:
            yield opened


def test_a_file_of_its_own_finds_what_its_indexed_copy_finds(photos: Index, tmp_path: Path) -> None:
    root = Path(photos.manifest.dataset.root)
    (tmp_path / "new.png").write_bytes((root / "000.png").read_bytes())
    answer = find(photos, str(tmp_path / "new.png"), (30, 0, 120, 64))
    assert (answer.found[0].path, answer.found[0].score) == ("000.png", pytest.approx(1, abs=1e-3))
    own = find(photos, "000.png", (30, 0, 120, 64))
    assert [each.path for each in answer.found[1:]] == [each.path for each in own.found]
    with pytest.raises(DatasetError, match="nothing is annotated in photos"):
        find(photos, "000.png", (30, 0, 120, 64), background=True)
