"""What splits share: planted rooms, plain loops, copies of files and of pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_audit
from photos import SMALL, write_photo
from PIL import Image

from auditor.errors import DatasetError
from auditor.measure.annotations import cells_on
from auditor.questions.leaks.ask import LEVEL, findings, leaks
from auditor.search.alike import corresponding
from auditor.search.among import nearest_among
from auditor.store import Index
from indexes import DIM, FakeImage, make_index, random_images

GRID, CELLS = (5, 5), 25
ROOMS = 12


def scattered(seed: int, count: int, *, rooms: int = 0) -> list[FakeImage]:
    """Images in turn of train and test; the first pairs show nine cells of one room, at two places."""
    rng = np.random.default_rng(seed)
    made = random_images(seed, count, GRID)
    walls = rng.standard_normal((max(rooms, 1), 3, 3, DIM))
    for number, image in enumerate(made):
        image.status, image.split = "ok", ("train", "test")[number % 2]
        image.present, image.foreground = [set() for _ in range(CELLS)], [False] * CELLS
        if number < 2 * rooms:
            row, col = rng.integers(0, 3, 2)
            seen = walls[number // 2] + 0.4 * rng.standard_normal((3, 3, DIM))
            seen /= np.linalg.norm(seen, axis=-1, keepdims=True)
            image.features[row : row + 3, col : col + 3] = seen
            image.foreground[(row + 1) * 5 + col + 1] = True  # an object stands in the room
    return made


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[FakeImage], Index]]:
    made = scattered(0, 120, rooms=ROOMS)
    with Index.open(make_index(tmp_path_factory.mktemp("leaks") / "rooms", made, grid=GRID)) as index:
        yield made, index


def test_planted_rooms_are_found_and_hardly_anything_else(planted: tuple[list[FakeImage], Index]) -> None:
    made, index = planted
    answer = leaks(index)
    wanted = {(made[2 * room].path, made[2 * room + 1].path) for room in range(ROOMS)}
    places = [pair for pair in answer.pairs if pair.kind == "place"]
    shared = {(pair.a, pair.b) for pair in places}
    assert len(shared & wanted) >= 0.9 * ROOMS
    assert len(shared - wanted) <= 1
    assert max(pair.whole for pair in places if pair.whole is not None) < 0.5
    objects = {
        f"{i.path}:{c // 5},{c % 5}" for i in made for c in range(CELLS) if i.foreground and i.foreground[c]
    }
    assert not objects & {cell for pair in places for cell in (*pair.cells_a, *pair.cells_b)}
    leak = answer.leaks[2]
    assert (leak.kind, leak.pairs, leak.images.hits) == ("place", len(places), 2 * len(places))
    # each of the rooms is on both sides in half of the splits drawn at random
    assert 0.35 < leak.by_chance / (leak.images.value or 0) < 0.65
    assert leak.p_value == 1 / 200


def test_a_room_on_both_sides_is_a_finding(planted: tuple[list[FakeImage], Index]) -> None:
    _, index = planted
    (finding,) = findings(index)
    assert finding.subject == "splits test, train"
    assert finding.rate.total == 120
    assert finding.q_value == 1 / 200
    assert finding.cells


def test_where_nothing_is_shared_20_data_sets_have_no_finding(tmp_path: Path) -> None:
    places = 0
    for seed in range(20):
        path = make_index(tmp_path / str(seed), scattered(seed + 1, 60), grid=GRID)
        with Index.open(path) as index:
            answer = leaks(index)
        assert min(leak.p_value for leak in answer.leaks) > LEVEL
        places += answer.leaks[2].pairs
    assert places <= 8  # pairs of 900 in each


def test_corresponding_cells_are_those_of_plain_loops(planted: tuple[list[FakeImage], Index]) -> None:
    _, index = planted
    images = np.arange(30)
    splits = np.array([number % 3 for number in images])
    objects = cells_on(index, "foreground")[images]
    nearest = nearest_among(index, images, 29, objects)
    vectors = index.vectors(np.arange(30 * CELLS)).astype(float)

    def best(cell: int) -> int | None:
        others = [
            other
            for other in range(30 * CELLS)
            if splits[other // CELLS] != splits[cell // CELLS] and not objects.ravel()[other]
        ]
        return (
            None if objects.ravel()[cell] else max(others, key=lambda other: vectors[cell] @ vectors[other])
        )

    found = [best(cell) for cell in range(30 * CELLS)]
    wanted = {(x, y) for x, y in enumerate(found) if y is not None and y > x and found[y] == x}
    assert {tuple(pair) for pair in corresponding(nearest, splits, CELLS).tolist()} == wanted


# ------------------------------------------------------------------------------------- files and pictures


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 photos, of three a copy in the other split, and of two more a copy saved again as JPEG."""
    folder = tmp_path_factory.mktemp("copies")
    photos, lines = folder / "photos", []
    for number in range(40):
        write_photo(photos / f"{number:02d}.png", number)
        lines.append({"path": f"{number:02d}.png", "split": ("train", "test")[number % 2]})
    for number in range(5):
        name = f"copy{number}.png" if number < 3 else f"copy{number}.jpg"
        if number < 3:
            (photos / name).write_bytes((photos / f"{number:02d}.png").read_bytes())
        else:
            Image.open(photos / f"{number:02d}.png").save(photos / name, quality=80)
        lines.append({"path": name, "split": ("test", "train")[number % 2]})
    (photos / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_audit("index", "photos", *SMALL, "--head", "none", "--name", "copies")
    return folder


def test_copies_of_files_and_of_pictures(
    copies: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Any], audit: Callable[..., str]
) -> None:
    monkeypatch.chdir(copies)
    answer = ask("leaks")
    shared = {
        kind: [(p["a"], p["b"]) for p in answer["pairs"] if p["kind"] == kind] for kind in ("file", "picture")
    }
    assert set(shared["file"]) == {(f"{number:02d}.png", f"copy{number}.png") for number in range(3)}
    # the most alike are listed first; to an untrained network some noise is nearly the same as other noise
    assert set(shared["picture"][:2]) == {(f"{number:02d}.png", f"copy{number}.jpg") for number in (3, 4)}
    assert len(shared["picture"]) <= 6
    assert answer["unannotated"] == 45
    assert answer["splits"] == ["test", "train"]
    printed = audit("leaks")
    assert "all their cells were compared" in printed
    with Index.open(copies / "indexes" / "copies") as index:
        sentences = [each.sentence for each in findings(index)]
    assert "6 of 45 images (6–26 %) share a file with another split, like " in sentences[0]


def test_without_splits_there_is_nothing_to_ask(tmp_path: Path) -> None:
    with Index.open(make_index(tmp_path / "plain", random_images(1, 9))) as index:
        with pytest.raises(DatasetError, match="names no split, so nothing can be shared"):
            leaks(index)
        assert list(findings(index)) == []
