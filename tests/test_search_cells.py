"""Retrieval and correspondence against brute force on the stored vectors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from auditor.errors import CellError, DatasetError
from auditor.questions.match.ask import match
from auditor.questions.similar.ask import similar, similar_to_vector
from auditor.report.views import view_of
from auditor.report.write import as_json
from auditor.search.only import Only
from auditor.store import Index, codes
from auditor.store import index as store_index
from indexes import DIM, FakeImage, make_index, manifest, random_images

REMOVED = [4, 9]


@pytest.fixture(autouse=True, params=[0, codes.FEW], ids=["faiss", "numpy"])
def searched_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What few cells are compared by, and what many are."""
    monkeypatch.setattr(codes, "FEW", request.param)


@pytest.fixture(scope="module")
def images() -> list[FakeImage]:
    made = random_images(7, 40)
    for number in (1, 2, 5):
        made[number].status = "ok"
    made[3].status = "broken"
    for number, image in enumerate(made):
        image.split = ("train", "val")[number % 2]
    made[2].features[0] = made[1].features[0]  # ties: the same cells in two images
    return made


@pytest.fixture(scope="module")
def index(images: list[FakeImage], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("search") / "index"
    with Index.open(make_index(folder, images, removed=REMOVED)) as index:
        yield index


def stored(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """What an index gives back of features: rounded to fp16, then of unit length again."""
    rounded = features.astype(np.float16).astype(np.float32)
    return np.stack([row / np.sqrt(np.dot(row, row)) for row in rounded.reshape(-1, DIM)]).reshape(
        features.shape
    )


def brute_force(
    images: list[FakeImage], query: NDArray[np.float32], left_out: set[tuple[int, int]]
) -> list[tuple[float, int, int]]:
    """(cosine, image, cell) of every cell that may be found, best first, ties by cell id."""
    found = []
    for number, image in enumerate(images):
        if image.status != "ok" or number in REMOVED:
            continue
        rows = stored(image.features).reshape(-1, DIM)
        found += [
            (float(np.dot(row, query)), number, cell)
            for cell, row in enumerate(rows)
            if (number, cell) not in left_out
        ]
    return sorted(found, key=lambda hit: (-hit[0], hit[1], hit[2]))


def limited(ranking: list[tuple[float, int, int]], per_image: int) -> list[tuple[float, int, int]]:
    """The ranking without what is more than `per_image` cells of an image."""
    kept: list[tuple[float, int, int]] = []
    for hit in ranking:
        if not per_image or sum(other[1] == hit[1] for other in kept) < per_image:
            kept.append(hit)
    return kept


@pytest.mark.parametrize("per_image", [0, 1, 2])
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize(("image", "row", "col", "k"), [(1, 0, 1, 20), (2, 2, 2, 1), (5, 1, 0, 50)])
def test_similar_is_brute_force(
    index: Index,
    images: list[FakeImage],
    image: int,
    row: int,
    col: int,
    k: int,
    same: bool,
    per_image: int,
) -> None:
    query = stored(images[image].features)[row, col]
    left_out = {(image, row * 3 + col)} if same else {(image, cell) for cell in range(9)}
    expected = limited(brute_force(images, query, left_out), per_image)[:k]
    answer = similar(index, images[image].path, row, col, k=k, same=same, per_image=per_image)
    assert [(hit.path, hit.row * 3 + hit.col) for hit in answer.hits] == [
        (images[number].path, cell) for _, number, cell in expected
    ]
    cosines = [hit.cosine for hit in answer.hits]
    np.testing.assert_allclose(cosines, [min(cosine, 1.0) for cosine, _, _ in expected], atol=1e-6)


def test_a_search_in_blocks_is_brute_force_too(
    index: Index, images: list[FakeImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block of two images, which shards end in the middle of; some hold nothing that may be found."""
    monkeypatch.setattr(codes, "BLOCK", 2 * 9 * 2 * DIM)
    monkeypatch.setattr(codes, "STEP", 4 * DIM)
    query = stored(images[2].features)[0, 1]
    expected = brute_force(images, query, {(2, cell) for cell in range(9)})[:30]
    answer = similar(index, images[2].path, 0, 1, k=30, per_image=0)
    assert [(hit.path, hit.row * 3 + hit.col) for hit in answer.hits] == [
        (images[number].path, cell) for _, number, cell in expected
    ]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_more_shards_than_are_mapped_at_a_time_are_searched(
    images: list[FakeImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each array that is mapped keeps a file open, of which a process may have few."""
    monkeypatch.setattr(store_index, "MAPPED", 2)
    query = stored(images[2].features)[0, 1]
    expected = brute_force(images, query, {(2, cell) for cell in range(9)})[:30]
    with Index.open(make_index(tmp_path / "index", images, size=2, removed=REMOVED)) as index:
        index.pooled(0)
        before = open_files()
        for _ in range(2):
            answer = similar(index, images[2].path, 0, 1, k=30, per_image=0)
            assert [(hit.path, hit.row * 3 + hit.col) for hit in answer.hits] == [
                (images[number].path, cell) for _, number, cell in expected
            ]
            assert open_files() <= before + 1


def is_of(image: FakeImage, label: int) -> bool:
    return label in (image.label, *image.labels)


ASKED: list[tuple[Only, Callable[[FakeImage, int], bool]]] = [
    (Only(class_="2"), lambda image, cell: is_of(image, 2)),
    (Only(not_class="class 2"), lambda image, cell: not is_of(image, 2)),
    (Only(split="val"), lambda image, cell: image.split == "val"),
    (Only(place="foreground"), lambda image, cell: bool(image.foreground and image.foreground[cell])),
    (
        Only(place="background"),
        lambda image, cell: image.foreground is not None and not image.foreground[cell],
    ),
    (
        Only("n00000003", "0", "train", "background"),
        lambda image, cell: (
            is_of(image, 3)
            and not is_of(image, 0)
            and image.split == "train"
            and image.foreground is not None
            and not image.foreground[cell]
        ),
    ),
]


@pytest.mark.parametrize(("only", "is_asked_for"), ASKED, ids=[str(only) for only, _ in ASKED])
def test_only_what_is_asked_for_is_found(
    index: Index, images: list[FakeImage], only: Only, is_asked_for: Callable[[FakeImage, int], bool]
) -> None:
    query = stored(images[5].features)[1, 0]
    left_out = {(5, cell) for cell in range(9)}
    for number, image in enumerate(images):
        left_out |= {(number, cell) for cell in range(9) if not is_asked_for(image, cell)}
    for per_image in (0, 1):
        expected = limited(brute_force(images, query, left_out), per_image)
        answer = similar(index, images[5].path, 1, 0, k=400, per_image=per_image, only=only)
        assert [(hit.path, hit.row * 3 + hit.col) for hit in answer.hits] == [
            (images[number].path, cell) for _, number, cell in expected
        ]
        assert 0 < len(expected) < 200
        assert str(only) in view_of(answer).tables[0].notes[0]


def test_what_cannot_be_asked_for_is_said(index: Index, images: list[FakeImage]) -> None:
    for only, words in (
        (Only(class_="zebra"), "no class 'zebra'"),
        (Only(split="test"), "no split 'test'; it has: train, val"),
        (Only(class_="1", not_class="1"), "no cell that is of class 1, not of class 1"),
    ):
        with pytest.raises(DatasetError, match=words):
            similar(index, images[5].path, 1, 0, only=only)


def test_a_scene_of_one_thing_does_not_fill_the_answer(tmp_path: Path) -> None:
    """An image whose cells are all nearest is one hit of its own, however many more have to be ranked."""
    made = random_images(5, 60, (8, 8))
    for number, image in enumerate(made):
        image.status = "ok"
        if number < 50:  # 3,200 cells in the first places
            image.features[:] = made[0].features[0, 0] + 0.01 * image.features
            image.features /= np.linalg.norm(image.features, axis=-1, keepdims=True)
    folder = make_index(tmp_path / "index", made, grid=(8, 8), described=manifest((8, 8)))
    with Index.open(folder) as index:
        hits = similar(index, made[0].path, 0, 0, k=55).hits
        twice = similar(index, made[0].path, 0, 0, k=100, per_image=2).hits
    assert len({hit.path for hit in hits}) == len(hits) == 55
    assert made[0].path not in {hit.path for hit in hits}
    assert {hit.path for hit in hits[:49]} == {image.path for image in made[1:50]}
    assert max(Counter(hit.path for hit in twice).values()) == 2


def test_hits_carry_label_foreground_and_prediction(index: Index, images: list[FakeImage]) -> None:
    by_path = {image.path: image for image in images}
    for hit in similar(index, images[1].path, 0, 0, k=100, same=True, per_image=0).hits:
        image, cell = by_path[hit.path], hit.row * 3 + hit.col
        expected = image.true_name if image.label is None else f"Class {image.label}"
        assert hit.label == expected
        assert hit.predicted == f"Class {image.shown[0][cell][0]}"
        assert hit.foreground == (None if image.foreground is None else image.foreground[cell])


def test_more_hits_than_cells_returns_every_cell_that_may_be_found(
    index: Index, images: list[FakeImage]
) -> None:
    usable = [n for n, image in enumerate(images) if image.status == "ok" and n not in REMOVED]
    path = images[1].path
    hits = similar(index, path, 0, 0, k=10_000, same=True, per_image=0).hits
    assert len(hits) == len({(hit.path, hit.row, hit.col) for hit in hits}) == len(usable) * 9 - 1
    assert len(similar(index, path, 0, 0, k=10_000).hits) == len(usable) - 1


def test_similar_to_a_vector_that_is_not_of_unit_length(index: Index, images: list[FakeImage]) -> None:
    vector = np.random.default_rng(3).standard_normal(DIM).astype(np.float32) * 40
    answer = similar_to_vector(index, vector, k=12, path="new.jpg", row=1, col=2)
    expected = limited(brute_force(images, vector / np.linalg.norm(vector), set()), 1)[:12]
    assert [(hit.path, hit.row * 3 + hit.col) for hit in answer.hits] == [
        (images[number].path, cell) for _, number, cell in expected
    ]
    assert (answer.path, answer.row, answer.col) == ("new.jpg", 1, 2)


@pytest.mark.parametrize("vector", [np.zeros(DIM), np.full(DIM, np.nan), np.ones(DIM + 1)])
def test_vectors_that_cannot_be_searched_are_refused(index: Index, vector: NDArray[np.float64]) -> None:
    with pytest.raises(CellError, match="16 finite numbers"):
        similar_to_vector(index, vector)


def test_cells_and_images_that_are_not_there_are_refused(index: Index, images: list[FakeImage]) -> None:
    with pytest.raises(CellError, match="outside the 3 x 3 grid"):
        similar(index, images[1].path, 3, 0)
    with pytest.raises(CellError, match="it is broken"):
        similar(index, images[3].path, 0, 0)
    with pytest.raises(CellError, match="close matches"):
        similar(index, images[REMOVED[0]].path, 0, 0)


@pytest.fixture(scope="module")
def holed(images: list[FakeImage], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """The same index, where three cells of usable images are zero vectors, and a broken image."""
    made = [replace(image, features=image.features.copy(), norms=image.norms.copy()) for image in images]
    for number, where in ((1, (0, 0)), (2, (1, 1)), (5, (2, 0)), (3, ...)):
        made[number].features[where] = 0
        made[number].norms[where] = 0
    with Index.open(make_index(tmp_path_factory.mktemp("holed") / "index", made)) as opened:
        yield opened


def test_cells_without_content_are_refused_and_never_found(holed: Index, images: list[FakeImage]) -> None:
    path = images[1].path
    with pytest.raises(CellError, match=f"{path}:0,0 has no content: its feature is all zeros"):
        similar(holed, path, 0, 0)
    answer = similar(holed, path, 0, 1, k=10_000, same=True, per_image=0)
    usable = sum(image.status == "ok" for image in images)
    assert answer.empty == 3
    assert len(answer.hits) == 9 * usable - 3 - 1
    found = {(hit.path, hit.row, hit.col) for hit in answer.hits}
    assert not found & {(path, 0, 0), (images[2].path, 1, 1), (images[5].path, 2, 0)}
    assert any("3 cells have no content" in note for note in view_of(answer).tables[0].notes)


def test_match_lists_the_pairs_of_largest_cosine(index: Index, images: list[FakeImage]) -> None:
    a, b = (stored(image.features).astype(np.float64).reshape(-1, DIM) for image in images[1:3])
    answer = match(index, images[1].path, images[2].path, k=10)
    cosines = {(i, j): float(a[i] @ b[j]) for i in range(9) for j in range(9)}
    expected = sorted(cosines, key=lambda pair: (-cosines[pair], pair))[:10]
    assert [(pair.a[0] * 3 + pair.a[1], pair.b[0] * 3 + pair.b[1]) for pair in answer.pairs] == expected
    assert answer.pairs[0].cosine == pytest.approx(1.0, abs=1e-3)
    assert answer.explained == pytest.approx(sum(pair.share for pair in answer.pairs))
    assert answer.is_exact


def test_shares_of_all_pairs_add_up_to_the_cosine_of_the_pooled_vectors(
    index: Index, images: list[FakeImage]
) -> None:
    pooled = [
        (stored(image.features).astype(np.float64) * image.norms[..., None]).mean(axis=(0, 1))
        for image in images[1:3]
    ]
    cosine = pooled[0] @ pooled[1] / np.linalg.norm(pooled[0]) / np.linalg.norm(pooled[1])
    everything = match(index, images[1].path, images[2].path, k=81)
    assert everything.explained == pytest.approx(cosine, abs=1e-6)
    assert everything.cosine == pytest.approx(cosine, abs=1e-6)


def test_cells_without_content_make_no_pair(holed: Index, images: list[FakeImage]) -> None:
    a, b = images[1].path, images[2].path
    for only_mutual in (False, True):
        answer = match(holed, a, b, k=100, only_mutual=only_mutual)
        assert answer.empty == 2
        assert not any(pair.a == (0, 0) or pair.b == (1, 1) for pair in answer.pairs)
    assert len(match(holed, a, b, k=100).pairs) == 8 * 8
    everything = match(holed, a, b, k=100)
    assert everything.explained == pytest.approx(everything.cosine, abs=1e-9)


def test_console_and_json_say_the_same_share(index: Index, images: list[FakeImage]) -> None:
    """One meaning, the part of the images' cosine, with enough digits to tell one pair from the next."""
    answer = match(index, images[1].path, images[2].path, k=81)
    (table,) = view_of(answer).tables
    written = json.loads(as_json(answer))["pairs"]
    for row, pair in zip(table.rows, written, strict=True):
        assert float(row[4].text) == pytest.approx(pair["share"], rel=0.006)
    assert sum(pair["share"] for pair in written) == pytest.approx(answer.cosine)
