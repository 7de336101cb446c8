"""`audit probe`: heads trained on an index's stored vectors, against loops, scikit-learn and themselves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from conftest import run_audit
from numpy.typing import NDArray
from photos import SMALL, write_dataset
from safetensors.numpy import load_file
from same import assert_same
from sklearn.linear_model import LogisticRegression

from auditor.errors import DatasetError, IndexMismatch
from auditor.indexing.train_probe import Probed, probe
from auditor.models.probe import train_probe
from auditor.questions.metrics.ask import metrics
from auditor.questions.probe.ask import probe as ask_probe
from auditor.records import ClassName, Preprocess, ProbeKind, Rate
from auditor.records.watch import Silence
from auditor.store import Index
from auditor.store.check import check
from auditor.store.kin import require_same_features
from indexes import World, fake_images, make_world, write_world

UNKNOWN = {"loc_without_bg", "bg_act_without_fg"}  # features of occluded images are not stored
ABSENT = "bg_act_without_fg_chance"  # nor is there a null of what cannot be asked


def train(on: Path, source: Path | None = None, **options: Any) -> Probed:
    with Index.open(on) as index:
        if source is None:
            return probe(index, watch=Silence(), **options)
        with Index.open(source) as other:
            return probe(index, other, watch=Silence(), **options)


def unit(vectors: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float64)


def fold(digest: str) -> int:
    return int(digest[:8], 16) % 5


def stored(path: Path, count: int) -> NDArray[np.float32]:
    """Cells as the index keeps them: half precision moves an argmax now and then."""
    with Index.open(path) as index:
        return np.stack([index.features(image).reshape(9, -1) for image in range(count)])


def score_linear(path: Path, file: str, world: World, heads: list[int]) -> tuple[Any, Any]:
    """Scores of cells and of images, each by the matrix of its head."""
    tensors = load_file(path / file)
    cells, images = [], []
    for row, features in enumerate(stored(path, len(world.labels))):
        weight, bias = tensors["weight"][heads[row]], tensors["bias"][heads[row]]
        cells.append(unit(features) @ weight.T + bias)
        images.append(unit(world.features[row].mean(axis=0)) @ weight.T + bias)
    return np.array(cells), np.array(images)


def assert_metrics(measured: Any, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        found = getattr(measured, name)
        if name in UNKNOWN:
            assert found == Rate(0, 0)
        elif name == ABSENT:
            assert found is None
        elif isinstance(found, Rate):
            assert (found.hits, found.total) == value, name
        else:
            assert found == (value if value is None else pytest.approx(value)), name


def test_metrics_with_the_probe_equal_plain_loops(tmp_path: Path) -> None:
    world = make_world(1, 60)
    path = write_world(tmp_path / "index", world)
    probed = train(path, epochs=40)
    heads = [fold(digest) for digest in world.hashes]
    scores = score_linear(path, probed.file, world, heads)
    expected = reference.metrics(fake_images(world, *scores), "all")
    assert expected["loc"][0] > 0.5 * expected["loc"][1]  # there is something to compare
    assert_metrics(metrics(probed.index), expected)
    assert (probed.folds, probed.trained_images, probed.epochs) == (5, 60, 40)


def test_training_on_one_index_and_measuring_on_another(tmp_path: Path) -> None:
    """Classes have another order there, one is missing, and two images lie in both indexes."""
    world = make_world(1, 30)
    more = make_world(2, 60, prefix="t")
    known = [tuple(k for k in own if k < 3) for own in more.labels]
    order = (2, 0, 1)  # the training index's id of ant, bee and cow
    there = replace(
        more,
        labels=[tuple(sorted(order[k] for k in own)) for own in known],
        present=[[{order[k] for k in cell if k < 3} for cell in image] for image in more.present],
        names=("bee", "cow", "ant"),
        weight=more.weight[[1, 2, 0]],
        bias=more.bias[[1, 2, 0]],
    )
    path, source = write_world(tmp_path / "on", world), write_world(tmp_path / "train", there)
    probed = train(path, source, epochs=40, seed=3)
    assert probed.file == "heads/probe-linear-3-train.safetensors"
    assert (probed.folds, probed.trained_images) == (1, sum(bool(own) for own in known))
    assert "dog" in probed.notes[0]
    translated = replace(
        world,
        labels=[tuple(sorted(order[k] for k in own if k < 3)) for own in world.labels],
        present=[[{order[k] for k in cell if k < 3} for cell in image] for image in world.present],
        names=there.names,
    )
    images = fake_images(translated, *score_linear(path, probed.file, world, [0] * 30))
    images = [
        replace(image, foreground=[bool(cell) for cell in here])
        for image, here in zip(images, world.present, strict=True)
    ]
    measured, expected = metrics(probed.index), reference.metrics(images, "all")
    for name in ("top1", "top5"):  # the one label is drawn by the path where the dataset's own is unknown
        assert getattr(measured, name).total == expected.pop(name)[1]
    assert_metrics(measured, expected)


def test_images_that_both_indexes_hold_are_not_trained_on(tmp_path: Path) -> None:
    world = make_world(1, 30)
    path = write_world(tmp_path / "on", replace(world, labels=world.labels[:10], present=world.present[:10],
                                               features=world.features[:10]))  # fmt: skip
    assert train(path, write_world(tmp_path / "train", world), epochs=2).trained_images == 20


def test_images_of_classes_that_only_their_fold_shows_are_counted(tmp_path: Path) -> None:
    world = make_world(4, 40, labels=1)
    folds, lonely = [fold(digest) for digest in world.hashes], 2
    spread = replace(world, labels=[(number % 3,) for number in range(40)])
    alone = replace(world, labels=[(3,) if own == lonely else (own % 2,) for own in folds])
    notes = []
    for name, version in (("spread", spread), ("alone", alone)):
        with Index.open(write_world(tmp_path / name, version)) as index:
            notes.append(" ".join(ask_probe(index, epochs=2, watch=Silence()).notes))
    assert "outside their fold" not in notes[0]
    assert f"{folds.count(lonely)} of 40 images are of classes that no image outside their fold" in notes[1]


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_folds_head_never_saw_its_images(tmp_path: Path, kind: ProbeKind) -> None:
    world = make_world(4, 40, labels=1)
    hidden = 2
    other = replace(
        world,
        labels=[
            ((own[0] + 1) % 4,) if fold(digest) == hidden else own
            for own, digest in zip(world.labels, world.hashes, strict=True)
        ],
    )
    tensors = []
    for name, version in (("a", world), ("b", other)):
        probed = train(write_world(tmp_path / name, version), kind=kind, epochs=3)
        tensors.append(load_file(tmp_path / name / probed.file))
    before, after = tensors
    if kind == "linear":
        same = [np.array_equal(before["weight"][f], after["weight"][f]) for f in range(5)]
    else:
        same = [np.array_equal(before[f"{f}.6.weight"], after[f"{f}.6.weight"]) for f in range(5)]
    assert same == [f == hidden for f in range(5)]


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_the_same_seed_writes_the_same_bytes(tmp_path: Path, kind: ProbeKind) -> None:
    path = write_world(tmp_path / "index", make_world(5, 30))
    written = []
    for seed in (7, 7, 8):
        probed = train(path, kind=kind, seed=seed, epochs=3)
        assert probed.file == f"heads/probe-{kind}-{seed}.safetensors"
        written.append((path / probed.file).read_bytes())
    assert written[0] == written[1] != written[2]


def test_the_index_stays_sound_and_its_own_answers_unchanged(tmp_path: Path) -> None:
    path = write_world(tmp_path / "index", make_world(6, 30))
    with Index.open(path) as index:
        before = metrics(index)
    manifest = (path / "index.json").read_bytes()
    probed = train(path, epochs=3)
    assert probed.index.manifest.head.file == probed.file
    assert check(path).is_sound
    assert (path / "index.json").read_bytes() == manifest
    with Index.open(path) as index:
        assert metrics(index) == before


def test_out_of_fold_predictions_agree_with_logistic_regression(tmp_path: Path) -> None:
    world = make_world(7, 300, labels=1, noise=1.0)
    probed = train(write_world(tmp_path / "index", world))
    ours = probed.index.query("SELECT top5_original[1] AS k FROM images ORDER BY id")["k"]
    vectors, labels = unit(world.features.mean(axis=1)), np.array([own[0] for own in world.labels])
    folds = np.array([fold(digest) for digest in world.hashes])
    theirs = np.zeros(len(labels), int)
    for held in range(5):
        fitted = LogisticRegression(C=100, max_iter=2000).fit(vectors[folds != held], labels[folds != held])
        theirs[folds == held] = fitted.predict(vectors[folds == held])
    assert (ours == theirs).mean() > 0.95
    assert (ours == labels).mean() > (theirs == labels).mean() - 0.03


def test_the_mlp_by_its_formula(tmp_path: Path) -> None:
    """Linear, BatchNorm, ReLU, twice, then Linear (A.4), written out with NumPy."""
    world = make_world(8, 40, labels=1)
    path = write_world(tmp_path / "index", world)
    probed = train(path, kind="mlp", epochs=5)
    tensors = load_file(path / probed.file)
    found = probed.index.query("SELECT image, cell, top5 FROM cells ORDER BY image, cell")
    for row, features in enumerate(stored(path, 40)):
        name = f"{fold(world.hashes[row])}."
        hidden = unit(features)
        for linear, norm in (("0", "1"), ("3", "4")):
            hidden = hidden @ tensors[f"{name}{linear}.weight"].T + tensors[f"{name}{linear}.bias"]
            hidden = (hidden - tensors[f"{name}{norm}.running_mean"]) / np.sqrt(
                tensors[f"{name}{norm}.running_var"] + 1e-5
            )
            hidden = hidden * tensors[f"{name}{norm}.weight"] + tensors[f"{name}{norm}.bias"]
            hidden = np.maximum(hidden, 0)
        scores = hidden @ tensors[f"{name}6.weight"].T + tensors[f"{name}6.bias"]
        expected = np.argsort(-scores, axis=-1)
        ours = np.stack(list(found["top5"][found["image"] == row]))
        assert np.array_equal(ours, expected)
    certificate = probed.index.manifest.certificate
    assert certificate is not None
    assert (certificate.head, certificate.verdict, certificate.exact_error) == ("mlp", "pointwise-only", None)


def test_certificate_of_the_linear_probe(tmp_path: Path) -> None:
    certificate = train(
        write_world(tmp_path / "index", make_world(8, 20)), epochs=3
    ).index.manifest.certificate
    assert certificate is not None
    assert certificate.verdict == "exact-affine"
    assert certificate.exact_error is not None
    assert certificate.pointwise_error is not None
    assert certificate.exact_error < 1e-3 < certificate.pointwise_error  # stored in half precision


def test_indexes_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    world = make_world(9, 20)
    path = write_world(tmp_path / "on", world)
    other = make_world(10, 20, prefix="t")
    for name, changes, said in (
        ("size", {"preprocess": Preprocess(512, 448)}, "preprocessing"),
        ("weights", {"backbone": replace(_manifest(path).backbone, weights_sha256="v" * 64)}, "weights"),
    ):
        with pytest.raises(IndexMismatch, match=f"differ in {said}"):
            train(path, write_world(tmp_path / name, other, **changes))
    with pytest.raises(IndexMismatch, match="what --on names too"):
        train(path, path)
    strange = replace(other, names=("one", "two", "three", "four"))
    with pytest.raises(IndexMismatch, match="no class of on"):
        train(path, write_world(tmp_path / "strange", strange))


def test_features_of_another_precision_are_refused_and_of_another_runtime_where_they_differ(
    tmp_path: Path,
) -> None:
    """float32 is the same by either; bfloat16 rounds elsewhere in each."""
    world, ways = make_world(9, 20), {}
    for options in (
        {},  # as an index that is older than both options
        {"precision": "float32", "runtime": "torch"},
        {"precision": "float32", "runtime": "openvino"},
        {"precision": "bfloat16", "runtime": "torch"},
        {"precision": "bfloat16", "runtime": "openvino"},
    ):
        number = str(len(ways))
        ways[write_world(tmp_path / number, world, options={"target": "all", **options})] = options
    for (one, of_one), (two, of_two) in product(ways.items(), repeat=2):
        is_same = of_one == of_two or "bfloat16" not in (*of_one.values(), *of_two.values())
        refused = nullcontext() if is_same else pytest.raises(IndexMismatch, match="differ in precision")
        with Index.open(one) as index, Index.open(two) as other, refused:
            require_same_features(index, other)
    first, *_, last = ways
    with pytest.raises(IndexMismatch, match=r"\(float32 and bfloat16 by openvino\), .* same .* options"):
        train(first, last)


def test_an_index_without_labels_is_refused(tmp_path: Path) -> None:
    world = replace(make_world(11, 10), labels=[()] * 10, present=[[set()] * 9] * 10)
    with pytest.raises(DatasetError, match="0 labelled images to learn from"):
        train(write_world(tmp_path / "index", world))


def _manifest(path: Path) -> Any:
    with Index.open(path) as index:
        return index.manifest


def test_the_command_shows_both_heads_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audit: Callable[..., str], ask: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_world(Path("indexes/small"), make_world(12, 30), variants=("original", "without_bg", "without_fg"))
    shown = audit("probe", "--on", "small", "--epochs", 3)
    assert "small, own head" in shown
    assert "Features of occluded images are not stored" in shown
    found = ask("probe", "--on", "small", "--epochs", 3, "--head", "mlp", "--table", "probe.csv")
    assert found["file"].endswith("heads/probe-mlp-0.safetensors")
    assert found["metrics"]["bg_act_without_fg"] == {"hits": 0, "total": 0, "value": None}
    assert found["own"]["loc"]["total"] == found["metrics"]["loc"]["total"] > 0
    assert "metrics_loc_hits" in Path("probe.csv").read_text().splitlines()[0]


def test_real_photos_probe_out_of_fold(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Any]
) -> None:
    """On COCO: the same as `audit index --head probe` says, and as logistic regression where people are."""
    monkeypatch.chdir(tmp_path)
    run_audit(
        "index", real / "coco" / "images", "--annotations", real / "coco" / "instances_rle.json",
        "--backbone", "timm/mobilenetv2_100", "--model-arg", "pad_type=same",
        "--mean", "0.5", "--std", "0.5", "--interpolation", "bilinear",
        "--weights", real / "weights" / "mobilenetv2_100_tf2.safetensors",
        "--head", "probe", "--limit", "24", "--name", "coco",
    )  # fmt: skip
    found = ask("probe", "--on", "coco")
    for name in ("top1", "top5", "fg_det", "loc", "bg_act", "det_top1", "det_top5"):
        assert found["metrics"][name] == found["own"][name], name
    assert found["metrics"]["loc"]["hits"] > 0
    assert_people_agree(Path("indexes/coco"))


def assert_people_agree(path: Path) -> None:
    """Which cells hold a person: both learn from the same cells, and say it of images that neither saw."""
    with Index.open(path) as index:
        person = [known.name for known in index.manifest.classes].index("person")
        rows = index.query(
            "SELECT image, cell, hash, list_contains(present, $person) AS is_person FROM cells "
            "JOIN images ON images.id = image WHERE variant = 0 AND cells.foreground ORDER BY image, cell",
            {"person": person},
        )
        vectors = index.vectors(rows["image"].astype(np.int64) * 49 + rows["cell"])
    labels, folds = rows["is_person"].astype(int), np.array([fold(digest) for digest in rows["hash"]])
    two = (ClassName("other"), ClassName("person"))
    head = train_probe(vectors, [(int(k),) for k in labels], two, folds, epochs=40)
    ours, theirs = np.zeros_like(labels), np.zeros_like(labels)
    for held in np.unique(folds):
        inside, outside = folds == held, folds != held
        fitted = LogisticRegression(C=10, max_iter=2000).fit(vectors[outside], labels[outside])
        theirs[inside] = fitted.predict(vectors[inside])
        ours[inside] = (vectors[inside] @ head.weight[held].numpy().T + head.bias[held].numpy()).argmax(1)
    assert (ours == theirs).mean() > 0.9
    assert (ours == labels).mean() > (theirs == labels).mean() - 0.03


@pytest.mark.parametrize("kept", ["the probe", "nothing"])
def test_a_lost_shard_of_an_index_with_a_probe_is_made_again_bit_for_bit(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is scored from was in half precision when the probe was trained, and is again."""
    monkeypatch.chdir(tmp_path)
    root = write_dataset(tmp_path / "pets", images=7)
    words = ("index", root / "images", "-a", root / "boxes", *SMALL, "--head", "probe", "--name")
    run_audit(*words, "whole")
    shutil.copytree("indexes/whole", "indexes/again")
    again = Path("indexes/again")
    shutil.rmtree(again / "shards" if kept == "the probe" else again)
    run_audit(*words, "again")
    assert_same(Path("indexes/whole"), again)
