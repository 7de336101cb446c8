"""A reference set against brute force, and on the planted marker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auditor.errors import AuditError
from auditor.questions.concept.ask import References, concept, lowest_left_out, read_references, score_cells
from auditor.questions.match.ask import match
from auditor.records import Rate
from auditor.report.views import view_of
from auditor.store import Index
from indexes import DIM, FakeImage, make_index, random_images


@pytest.fixture(scope="module")
def images() -> list[FakeImage]:
    made = random_images(11, 30)
    for number in range(4):
        made[number].status = "ok"
    return made


@pytest.fixture(scope="module")
def index(images: list[FakeImage], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index.open(make_index(tmp_path_factory.mktemp("concept") / "index", images)) as index:
        yield index


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a)) / np.sqrt(np.dot(b, b)))


def write(folder: Path, content: object) -> Path:
    (folder / "ref.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / "ref.json"


def test_scores_counts_and_hits_are_brute_force(
    index: Index, images: list[FakeImage], tmp_path: Path
) -> None:
    stored = [image.features.astype(np.float16).astype(np.float64) for image in images]
    cells = [f"{images[0].path}:0,1", f"{images[1].path}:2,2", f"{images[1].path}:1,0"]
    content = {"name": "thing", "cells": cells, "negatives": [f"{images[2].path}:0,0"]}
    references = read_references(index, write(tmp_path, content))
    features, negative = [stored[0][0, 1], stored[1][2, 2], stored[1][1, 0]], stored[2][0, 0]
    usable = [n for n, image in enumerate(images) if image.status == "ok"]
    scores = score_cells(index, np.array(usable), references)

    def expected(cell: np.ndarray, others: list[np.ndarray]) -> float:
        return max(cosine(cell, one) for one in others) - cosine(cell, negative)

    for row, number in enumerate(usable):
        slow = [expected(cell, features) for cell in stored[number].reshape(9, DIM)]
        np.testing.assert_allclose(scores[row], slow, atol=1e-5)
    threshold = min(expected(one, features[:i] + features[i + 1 :]) for i, one in enumerate(features))
    assert lowest_left_out(references) == pytest.approx(threshold, abs=1e-5)

    found = concept(index, references, top=15)
    others = [(row, number) for row, number in enumerate(usable) if number not in (0, 1)]
    above = {number: scores[row] >= threshold for row, number in others}
    assert found.cells == Rate(sum(int(flags.sum()) for flags in above.values()), 9 * len(others))
    assert found.images == Rate(sum(bool(flags.any()) for flags in above.values()), len(others))
    best = sorted((-scores[row][cell], number, cell) for row, number in others for cell in range(9))[:15]
    assert [(hit.path, hit.row * 3 + hit.col) for hit in found.hits] == [
        (images[number].path, cell) for _, number, cell in best
    ]
    for row in found.classes:
        having = {
            number
            for _, number in others
            if row.name in [f"Class {k}" for k in images[number].labels]
            or images[number].true_name == row.name
        }
        assert row.images == Rate(sum(bool(above[number].any()) for number in having), len(having))


def test_cells_without_content_are_no_reference_and_never_found(
    images: list[FakeImage], tmp_path: Path
) -> None:
    made = [replace(image, features=image.features.copy(), norms=image.norms.copy()) for image in images]
    for number, where in ((0, (0, 0)), (2, (1, 1)), (3, (2, 0))):
        made[number].features[where] = 0
        made[number].norms[where] = 0
    first, second = images[0].path, images[1].path
    empty = f"{first}:0,0"
    refused = f"{first}.*has no content: its feature is all zeros"
    with Index.open(make_index(tmp_path / "index", made)) as index:
        for content in (
            {"cells": [empty, f"{second}:0,0"]},
            {"cells": [f"{second}:0,0", f"{second}:1,0"], "negatives": [empty]},
        ):
            with pytest.raises(AuditError, match=refused):
                concept(index, write(tmp_path, content))
        vectors = np.zeros((2, DIM), dtype=np.float32)
        vectors[0, 0] = 1
        with pytest.raises(AuditError, match="nil has no content"):
            concept(index, References("axes", ("x", "nil"), vectors, vectors[:0]))
        # a threshold below zero, which a feature of zeros would reach
        vectors[1, 0], vectors[1, 1] = -0.5, 0.75**0.5
        found = concept(index, References("axes", ("x", "y"), vectors, vectors[:0]), top=10_000)
        usable = sum(image.status == "ok" for image in images)
    assert (found.threshold, found.empty) == (pytest.approx(-0.5), 3)
    assert found.cells.total == len(found.hits) == 9 * usable - 3
    holes = {(first, 0, 0), (images[2].path, 1, 1), (images[3].path, 2, 0)}
    assert not holes & {(hit.path, hit.row, hit.col) for hit in found.hits}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 200_000, "cannot be read as JSON"),
        ("[]", "no JSON object"),
        ({"name": "nothing", "cells": []}, "names no reference"),
        ({"cells": ["IMAGE:9,9", "IMAGE:0,0"]}, "outside the 3 x 3 grid"),
        ({"cells": ["missing.jpg:0,0"]}, "is not in index"),
        ({"cells": ["IMAGE"]}, "names no cell"),
        ({"cells": ["IMAGE:0,0"]}, "a single reference"),
        ({"boxes": [{"path": "IMAGE", "box": [1, 2]}]}, "neither a cell nor a box"),
        ({"cells": "IMAGE:0,0"}, "is no list"),
    ],
)
def test_what_cannot_be_searched_gets_one_sentence(
    index: Index, images: list[FakeImage], tmp_path: Path, content: object, said: str
) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    with pytest.raises(AuditError, match=said) as caught:
        concept(index, read_references(index, write(tmp_path, text.replace("IMAGE", images[0].path))))
    assert "\n" not in str(caught.value)


def marker_cells(folder: Path) -> list[tuple[str, int, int, list[int]]]:
    found = []
    for path in sorted((folder / "scenes" / "records").glob("*.json")):
        place = json.loads(path.read_text())["marker_at"]
        if place is not None:
            found.append((f"images/{path.stem}.png", place[1] // 32, place[0] // 32, place))
    return found


def test_three_markers_find_the_class_that_they_were_planted_in(demo: Path, ask, tmp_path: Path) -> None:
    planted = marker_cells(demo)
    cells = [f"{path}:{row},{col}" for path, row, col, _ in planted[:3]]
    found = ask("concept", write(tmp_path, {"name": "marker", "cells": cells}), "--out", tmp_path / "a.png")
    first = found["classes"][0]
    assert (first["name"], first["q_value"] < 1e-6) == ("triangle cross", True)
    assert first["images"]["value"] > 0.5 > 5 * first["elsewhere"]["value"]
    known = {(path, row, col) for path, row, col, _ in planted}
    assert sum((hit["path"], hit["row"], hit["col"]) in known for hit in found["hits"]) >= 18
    assert not {hit["path"] for hit in found["hits"]} & {path for path, *_ in planted[:3]}
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 400


def test_a_box_is_the_mean_of_its_cells_weighted_by_overlap(demo: Path, tmp_path: Path) -> None:
    boxes = [
        {"path": "images/000003.png", "box": [32, 64, 80, 96]},
        {"path": "000004.png", "box": [0, 0, 32, 32]},
    ]
    with Index.open(next((demo / "indexes").iterdir())) as index:
        references = read_references(index, write(tmp_path, {"boxes": boxes}))
        features = index.features(index.image("images/000003.png")).astype(np.float64)
        alone = index.features(index.image("images/000004.png"))[0, 0]
        outside = write(tmp_path, {"boxes": [{"path": "000003.png", "box": [300, 300, 400, 400]}]})
        with pytest.raises(AuditError, match="lies beside the image, which has 224 x 224"):
            read_references(index, outside)
    mixed = 2 * features[2, 1] + features[2, 2]
    assert cosine(references.vectors[0], mixed) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(references.vectors[1], alone, atol=1e-6)


def test_a_folder_of_crops_is_encoded_by_the_backbone(demo: Path, ask, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="holds no images"):
        ask("concept", tmp_path)
    for path, row, col, _ in marker_cells(demo)[:3]:
        with Image.open(demo / "scenes" / path) as image:
            crop = image.crop((32 * col, 32 * row, 32 * col + 32, 32 * row + 32))
        crop.save(tmp_path / Path(path).name)
    found = ask("concept", tmp_path, "--out", tmp_path / "out" / "a.png")
    assert len(found["references"]) == 3
    assert "enlarged" in found["encoding"]
    assert found["images"]["total"] == 160


def test_mutual_pairs_are_brute_force(index: Index, images: list[FakeImage]) -> None:
    a, b = (images[n].features.astype(np.float16).astype(np.float64).reshape(9, DIM) for n in (0, 1))
    cosines = {(i, j): cosine(a[i], b[j]) for i in range(9) for j in range(9)}
    mutual = [
        (i, j)
        for i, j in sorted(cosines, key=lambda pair: -cosines[pair])
        if all(cosines[i, j] >= cosines[i, k] and cosines[i, j] >= cosines[k, j] for k in range(9))
    ]
    found = match(index, images[0].path, images[1].path, k=81, only_mutual=True)
    assert [(p.a[0] * 3 + p.a[1], p.b[0] * 3 + p.b[1]) for p in found.pairs] == mutual
    assert found.mutual == len(mutual)
    everything = match(index, images[0].path, images[1].path, k=81)
    shares = {(pair.a, pair.b): pair.share for pair in everything.pairs}
    assert [pair.share for pair in found.pairs] == [shares[pair.a, pair.b] for pair in found.pairs]
    assert (everything.mutual, everything.cosine) == (None, found.cosine)
    assert match(index, images[0].path, images[1].path, k=2, only_mutual=True).mutual == len(mutual)


def test_references_need_not_come_from_the_index(index: Index) -> None:
    vectors = np.eye(DIM, dtype=np.float32)[:2]
    found = concept(index, References("axes", ("x", "y"), vectors, vectors[:0]))
    assert found.threshold == 0
    assert found.images.total == int(index.query("SELECT count(*) AS n FROM images WHERE usable")["n"][0])


def test_references_that_are_not_alike_tell_nothing_apart(index: Index) -> None:
    vector, none = np.eye(DIM, dtype=np.float32)[0], np.empty((0, DIM), np.float32)
    unlike = concept(index, References("x", ("a", "b"), np.stack([vector, -vector]), none))
    alike = concept(index, References("x", ("a", "b"), np.stack([vector, vector]), none))
    assert unlike.threshold == pytest.approx(-1)
    assert (unlike.is_told_apart, alike.is_told_apart) == (False, True)
    shown = view_of(unlike)
    assert len(shown.tables) == 1
    assert any("unlike one another" in note for note in shown.notes)
    assert len(view_of(alike).tables) == 2
