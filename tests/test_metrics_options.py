"""`audit metrics --real` and `--classes present`, against loops and an independent implementation."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from PIL import Image
from predictions import read_rows, write_predictions

from auditor.errors import BackboneError, DatasetError
from auditor.measure.present import _ranks, rank_present
from auditor.measure.real_labels import read_real
from auditor.questions.metrics.ask import metrics
from auditor.records import Rate
from auditor.store import Index, IndexWriter
from indexes import FakeImage, make_world, manifest, random_images, shard, write_world

SMALL = ("--backbone", "timm/test_resnet", "--weights", "random:0", "--size", "96")


# ------------------------------------------------------------------------------------- --real


def make_index(path: Path, images: list[FakeImage]) -> Path:
    with IndexWriter.create(path, manifest()) as writer:
        shard(writer, "00000", images, 0)
        writer.finish()
    return path


def rename(images: list[FakeImage]) -> dict[str, list[int]]:
    """Give the images names of ILSVRC, and every other of them ReaL labels that the index does not hold."""
    given = {}
    for number, image in enumerate(images):
        image.path = f"val/ILSVRC2012_val_{number + 1:08d}.JPEG"
        image.real = tuple({number % 6, (number * 7 + 1) % 6}) if number % 2 else None
        given[Path(image.path).name] = list(image.real or ())
    return given


@pytest.mark.parametrize("is_list", [True, False])
def test_a_file_of_real_labels_counts_like_stored_ones(tmp_path: Path, is_list: bool) -> None:
    images = random_images(3, 30)
    given = rename(images)
    expected = reference.metrics(reference.counted(images), "all")
    for image in images:
        image.real = (5,)  # what the index holds must not matter
    (tmp_path / "real.json").write_text(json.dumps(list(given.values()) if is_list else given))
    with Index.open(make_index(tmp_path / "i", images)) as index:
        found = metrics(index, real=tmp_path / "real.json")
        stored = metrics(index)
    for name in ("real_acc", "real_rec"):
        rate = getattr(found, name)
        assert (rate.hits, rate.total) == expected[name]
        assert rate != getattr(stored, name)
    assert found.real_rec_per_image == pytest.approx(expected["real_rec_per_image"])
    assert (found.loc, found.top1, found.bg_act) == (stored.loc, stored.top1, stored.bg_act)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[1], [2", "cannot be read as JSON"),
        ("[" * 200_000, "cannot be read as JSON"),
        ("[1, 2]", "no ReaL labels"),
        ("[[1], [-1]]", "no ReaL labels"),
        ("[[1], [true]]", "no ReaL labels"),
        ('{"ILSVRC2012_val_00000001.JPEG": ["cat"]}', "no ReaL labels"),
        ('{"elsewhere.jpg": [1]}', "for no image"),
        ('{"ILSVRC2012_val_00000002.JPEG": [999]}', "class 999"),
    ],
)
def test_a_bad_file_of_real_labels_is_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    images = [image for image in random_images(3, 30) if image.status == "ok"]
    rename(images)
    (tmp_path / "real.json").write_text(content)
    with (
        Index.open(make_index(tmp_path / "i", images)) as index,
        pytest.raises(DatasetError, match=message),
    ):
        metrics(index, real=tmp_path / "real.json")


def test_a_list_of_real_labels_has_only_the_images_that_it_is_long_for(tmp_path: Path) -> None:
    images = [image for image in random_images(3, 30) if image.status == "ok"][:4]
    for image, number in zip(images, (0, 1, 2, 3), strict=True):
        image.path = f"ILSVRC2012_val_{number:08d}.JPEG"
    images[0].path = "photo.JPEG"
    (tmp_path / "real.json").write_text("[[1], [4, 2]]")
    with Index.open(make_index(tmp_path / "i", images)) as index:
        assert read_real(index, tmp_path / "real.json") == {0: (), 1: (1,), 2: (4, 2), 3: ()}
        (tmp_path / "bare.json").write_text("[[], []]")
        assert read_real(index, tmp_path / "bare.json") == dict.fromkeys(range(4), ())
    images[0].path = "ILSVRC2012_val_00000000.JPEG"
    with Index.open(make_index(tmp_path / "j", images)) as index:
        assert read_real(index, tmp_path / "real.json")[0] == ()


def test_the_published_labels_give_the_independent_numbers(real: Path, tmp_path: Path) -> None:
    rows = read_rows(real, "mean")
    write_predictions(real, tmp_path / "index", rows)
    expected = json.loads((real / "expected/ilsvrc_mean_summary.json").read_text())
    labels = json.loads((real / "ilsvrc/real.json").read_text())
    numbered: list[list[int]] = [[] for _ in range(50_000)]
    for name, found in labels.items():
        numbered[int(name[15:23]) - 1] = found
    (tmp_path / "list.json").write_text(json.dumps(numbered))
    with Index.open(tmp_path / "index") as index:
        for file in (real / "ilsvrc/real.json", tmp_path / "list.json"):
            measured = metrics(index, real=file)
            assert 100 * (measured.real_acc.value or 0) == pytest.approx(expected["real_acc"], abs=1e-4)
            assert measured.real_acc.total == expected["n_real"]
            rec = 100 * (measured.real_rec.value or 0)
            assert rec == pytest.approx(expected["real_rec_micro"], abs=1e-4)
            per_image = 100 * (measured.real_rec_per_image or 0)
            assert per_image == pytest.approx(expected["real_rec_macro"], abs=1e-4)


# ------------------------------------------------------------------------------------- --classes present


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty-one photos of seven of ImageNet's classes, in folders named by synset."""
    monkeypatch.chdir(tmp_path)
    synsets = ("n01440764", "n01443537", "n01484850", "n01491361", "n01494475", "n01496331", "n01498041")
    for number in range(21):
        noise = np.random.default_rng(number).integers(0, 256, (9, 12, 3), np.uint8)
        path = tmp_path / "photos" / synsets[number % 7] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).resize((120, 90), Image.Resampling.BICUBIC).save(path)
    return tmp_path / "photos"


def score_by_hand(index: Index, head: Any, image: int, fold: int | None) -> tuple[Any, Any]:
    """Cell scores and image scores by loops from what is stored."""
    weight, bias = head["weight"], head["bias"]
    unit, pooled = index.features(image).reshape(-1, index.manifest.dim), index.pooled(image)
    vectors = unit * index.norms(image).reshape(-1, 1)
    if fold is not None:
        weight, bias = weight[fold], bias[fold]
        vectors, pooled = unit, pooled / np.linalg.norm(pooled)
    return [weight @ vector + bias for vector in vectors], weight @ pooled + bias


@pytest.mark.parametrize("kind", ["own", "probe"])
def test_present_classes_by_loops(photos: Path, ask: Callable[..., Any], kind: str) -> None:
    from safetensors.numpy import load_file

    ask("index", photos, *SMALL, "--head", kind, "--name", "i")
    (found,) = ask("metrics", "--classes", "present")
    head = load_file(f"indexes/i/heads/{kind}.safetensors")
    expected = dict.fromkeys(("top1", "top5", "det_top1", "det_top5"), 0)
    with Index.open(Path("indexes/i")) as index:
        rows = index.query("SELECT id, label, fold FROM images ORDER BY id")
        folds = np.ma.filled(rows["fold"], 255).tolist()
        present = sorted(set(rows["label"].tolist()))
        for image, label, fold in zip(rows["id"].tolist(), rows["label"].tolist(), folds, strict=True):
            cells, whole = score_by_hand(index, head, image, fold if kind == "probe" else None)
            order = sorted(present, key=lambda k: -whole[k])
            expected["top1"] += order[0] == label
            expected["top5"] += label in order[:5]
            orders = [sorted(present, key=lambda k: -cell[k]) for cell in cells]
            expected["det_top1"] += any(order[0] == label for order in orders)
            expected["det_top5"] += any(label in order[:5] for order in orders)
    assert found["present"]["classes"] == len(present) == 7
    for name, hits in expected.items():
        assert (found["present"][name]["hits"], found["present"][name]["total"]) == (hits, 21), name
        assert kind == "probe" or hits >= found[name]["hits"], name
    assert 0 < expected["top5"] < 21 or 0 < expected["det_top1"] < 21  # the case tells right from wrong


@pytest.mark.parametrize("target", ["all", "one"])
def test_ranks_are_among_the_classes_of_images_that_are_there(tmp_path: Path, target: Any) -> None:
    """Of four classes one is that of a removed image alone; scores are the head's own, none near another."""
    world, gone = make_world(5, 12), 4
    world.labels = [tuple(k for k in labels if k != 2) for labels in world.labels]
    world.labels[gone] = (2,)
    path = write_world(tmp_path / "i", world)
    with IndexWriter.resume(path) as writer:
        writer.set_removed([gone])
        writer.finish()
    with Index.open(path) as index:
        found = rank_present(index, target=target)
    images, pairs = [], []
    for number, labels in enumerate(world.labels):
        if number != gone and labels:
            scores = world.scores[number][:, [0, 1, 3]]
            own = [scores[:, [0, 1, 3].index(k), None] for k in (labels if target == "all" else labels[:1])]
            images.append(int((scores.mean(axis=0) > own[0].mean()).sum()))
            pairs += [int((scores > each).sum(axis=1).min()) for each in own]
    assert (found.classes, found.images, found.pairs) == (3, images, pairs)
    assert found.within([0, 1, 4, 5]) == (Rate(1, 4), Rate(3, 4))


def test_equal_scores_rank_by_class_id() -> None:
    scores = np.random.default_rng(1).integers(0, 3, (200, 7)).astype(np.float32)
    present = np.array([1, 4, 5, 9, 11, 12, 30])
    for place, label in enumerate(present.tolist()):
        orders = [sorted(range(7), key=lambda each: (-row[each], each)) for row in scores.tolist()]
        assert _ranks(scores, present, label).tolist() == [order.index(place) for order in orders]


def test_only_all_classes_unless_asked(
    photos: Path, ask: Callable[..., Any], audit: Callable[..., str]
) -> None:
    ask("index", photos, *SMALL, "--name", "i")
    assert ask("metrics")[0]["present"] is None
    assert "present" not in audit("metrics")
    shown = audit("metrics", "--classes", "present", "--table", "t.csv")
    assert "Det. top-5 (present)" in shown
    assert "among the 7 classes" in shown
    (row,) = csv.DictReader(Path("t.csv").read_text().splitlines())
    assert row["present_classes"] == "7"
    assert int(row["present_top5_hits"]) >= int(row["top5_hits"])


def test_a_head_that_is_not_affine_is_refused(photos: Path, audit: Callable[..., str]) -> None:
    small = ("--weights", "random:0", "--size", "160")
    audit("index", photos, "--backbone", "timm/test_convnext", *small, "--name", "i")
    with pytest.raises(BackboneError, match="not affine"):
        audit("metrics", "--classes", "present")


def test_no_present_class_is_an_error(tmp_path: Path) -> None:
    images = [image for image in random_images(0, 20) if not image.labels]
    with (
        Index.open(make_index(tmp_path / "i", images)) as index,
        pytest.raises(DatasetError, match="none is"),
    ):
        metrics(index, classes="present")
