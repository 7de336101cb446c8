"""Building an index: against the model run by hand, continued, killed, and refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from conftest import run_audit
from crash import dies_at
from photos import SMALL, write_dataset, write_photo
from PIL import Image
from safetensors.torch import load_file

import auditor.indexing.build as building
from auditor.data.load import Loaded, load
from auditor.data.read import read_dataset
from auditor.errors import IndexDamaged, IndexMismatch
from auditor.indexing.extract import Extractor
from auditor.indexing.matching import fixed_label, match_classes
from auditor.indexing.plan import LabelFacts
from auditor.indexing.request import Request
from auditor.indexing.score import CellScores, score_grid
from auditor.indexing.shard import ShardRows
from auditor.indexing.start import build_index
from auditor.models.head_files import load_head
from auditor.models.heads import OwnHead, dense_scores
from auditor.models.weights import load_backbone
from auditor.records import VARIANTS, ClassName, Preprocess, Readout, Sample
from auditor.store import Index, read_current, read_manifest
from auditor.store.check import check
from auditor.terminal.progress import Bar
from auditor.train.loop import build_classifier, save_classifier

READOUTS: tuple[Readout, ...] = get_args(Readout)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_dataset(tmp_path / "pets")


def contents(index: Path) -> dict[str, Any]:
    """All that an index says, without when it was written."""
    generation = read_current(index)
    assert generation is not None
    shards = {shard.name: shard.digest for shard in generation.shards}
    return {"shards": shards, "head": read_manifest(index).head, "removed": list(generation.removed)}


def score_cell(tensors: dict[str, torch.Tensor], fold: int, h: torch.Tensor) -> torch.Tensor:
    """The scores (K,) of a unit-length feature (C,): W h + b, or A.4's layers with BatchNorm written out."""
    if "weight" in tensors:
        return tensors["weight"][fold] @ h + tensors["bias"][fold]
    own = {name.split(".", 1)[1]: value for name, value in tensors.items() if name.startswith(f"{fold}.")}
    for linear, norm in (("0", "1"), ("3", "4")):
        h = own[f"{linear}.weight"] @ h + own[f"{linear}.bias"]
        h = (h - own[f"{norm}.running_mean"]) / (own[f"{norm}.running_var"] + 1e-5).sqrt()
        h = (h * own[f"{norm}.weight"] + own[f"{norm}.bias"]).clamp_min(0)
    return own["6.weight"] @ h + own["6.bias"]


@pytest.mark.parametrize("kind", ["trained", "linear", "mlp"])
def test_cells_are_what_the_model_says(kind: str, dataset: Path, audit: Callable[..., str]) -> None:
    """Every stored number again by plain loops over images, variants and cells, straight from the model.

    With a probe trained on the spot, and with probes of another index in files.
    """
    command = ("index", dataset / "images", "-a", dataset / "boxes", *SMALL)
    if kind == "trained":
        audit(*command, "--head", "probe", "--name", "i")
    else:
        audit(*command, "--head", "probe", "--name", "first")
        audit("probe", "--on", "first", "--head", kind, "--epochs", "4", "--seed", "2")
        audit(*command, "--head", f"indexes/first/heads/probe-{kind}-2.safetensors", "--name", "i")
    backbone = load_backbone("timm/test_resnet", weights="random:0", size=96)
    tensors = load_file("indexes/i/heads/probe.safetensors")
    mean, std = (torch.tensor(v)[:, None, None] for v in (backbone.preprocess.mean, backbone.preprocess.std))
    # Features are rounded to fp16 before the probe scores them: 2 ** -11 of a logit's largest possible size.
    slack = 1e-4
    if kind == "trained":
        slack += float(tensors["weight"].norm(dim=-1).max()) * 2**-11
    assert slack < 0.1
    with Index.open(Path("indexes/i")) as index:
        side, (height, width) = 96, index.grid
        rows = index.query("SELECT id, path, fold, labels FROM images ORDER BY id")
        for image, path, fold, labels in zip(*(column.tolist() for column in rows.values()), strict=True):
            number = int(Path(path).stem)
            # shorter side 90 -> 110 = round(96 * 256 / 224), longer 120 -> int(146.67)
            photo = Image.open(dataset / "images" / path).resize((146, 110), Image.Resampling.BILINEAR)
            photo = photo.crop((25, 7, 121, 103))
            x = (torch.from_numpy(np.array(photo)).permute(2, 0, 1).float() / 255 - mean) / std
            covered = torch.zeros(side, side, dtype=torch.bool)
            left, right = ((20 + 50 * end + number) * 146 / 120 - 25 for end in (0, 1))
            covered[int(15 * 110 / 90 - 7) : int(60 * 110 / 90 - 7), int(left) : int(right)] = True
            inputs = (x, torch.where(covered, x, 0.0), torch.where(covered, 0.0, x))
            for variant, pixels in enumerate(inputs):
                features = backbone.anatomy.tower.module.forward_features(pixels[None])[0].permute(1, 2, 0)
                cells = index.query(
                    "SELECT * FROM cells WHERE image = ? AND variant = ? ORDER BY cell", [image, variant]
                )
                for cell in range(height * width):
                    h = features[cell // width, cell % width].detach()
                    z = score_cell(tensors, fold, h / h.norm())
                    p = z.softmax(0).detach()
                    assert int(cells["top5"][cell][0]) == int(z.argmax())
                    assert cells["top5_p"][cell][0] == pytest.approx(float(p.max()), abs=slack)
                    assert cells["entropy"][cell] == pytest.approx(float(-(p * p.log()).sum()), abs=slack)
                    assert cells["target_logit"][cell][0] == pytest.approx(float(z[labels[0]]), abs=slack)
                    block = covered[
                        cell // width * side // height : (cell // width + 1) * side // height,
                        cell % width * side // width : (cell % width + 1) * side // width,
                    ]
                    assert bool(cells["foreground"][cell]) == bool(block.any())
                    if variant == 0:
                        stored = index.features(image)[cell // width, cell % width]
                        assert np.allclose(stored, (h / h.norm()).numpy(), atol=2**-11)


def test_new_images_are_added_and_vanished_ones_marked(dataset: Path, ask: Callable[..., Any]) -> None:
    command = ("index", dataset / "images", "-a", dataset / "boxes", *SMALL, "--name", "i")
    ask(*command)
    before = contents(Path("indexes/i"))
    ask(*command)
    assert contents(Path("indexes/i")) == before
    write_photo(dataset / "images" / "cat" / "00a.png", 100)  # sorts between images that are indexed
    (dataset / "images" / "dog" / "01.png").unlink()
    ask(*command)
    after = contents(Path("indexes/i"))
    assert before["shards"].items() <= after["shards"].items()
    with Index.open(Path("indexes/i")) as index:
        usable = index.query("SELECT path FROM images WHERE usable ORDER BY path")["path"].tolist()
        assert index.image("cat/00a.png") == 6
    assert usable == sorted(str(p.relative_to(dataset / "images")) for p in dataset.glob("images/*/*.png"))
    assert check(Path("indexes/i"), repair=False).is_sound
    write_photo(dataset / "images" / "dog" / "01.png", 1)
    ask(*command)
    assert contents(Path("indexes/i"))["removed"] == []


def test_a_broken_image_is_recorded_and_the_run_goes_on(dataset: Path, audit: Callable[..., str]) -> None:
    (dataset / "images" / "cat" / "00.png").write_bytes(b"not an image")
    said = audit(
        "index", dataset / "images", "-a", dataset / "boxes", *SMALL, "--name", "i", "--max-bad", "1"
    )
    assert "6 images listed = 5 indexed + 1 broken" in said
    assert re.search(r"^\w+: .*00\.png is no image", said, re.MULTILINE)
    with Index.open(Path("indexes/i")) as index:
        rows = index.query("SELECT path, status, error FROM images WHERE status <> 'ok'")
        assert rows["path"].tolist() == ["cat/00.png"]
        assert "00.png" in rows["error"][0]
        assert index.query("SELECT count(DISTINCT image) AS n FROM cells")["n"][0] == 5


def test_a_head_without_the_datasets_classes_is_said_to_be_one_at_the_end(
    dataset: Path, audit: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("cat", "dog"):  # ImageNet has no such classes, only breeds
        (dataset / "images" / kind).rename(dataset / "images" / f"my {kind}")
    run_audit("index", dataset / "images", *SMALL, "--name", "i")
    said = capsys.readouterr().err
    reason = "2 of 2 classes are not among the head's: my cat, my dog; no metric can be counted on these"
    before, after, *others = [line for line in said.splitlines() if line.startswith(reason)]
    assert before == after
    assert "--head probe" in after
    assert not others
    run_audit("index", dataset / "images", *SMALL, "--head", "probe", "--name", "p")
    assert "no metric" not in capsys.readouterr().err


def test_cells_without_content_are_counted_and_said(
    dataset: Path, audit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ReLU networks give such cells on dull photos; here two are made so, in one image of a batch."""
    original = Extractor.original

    def dulled(self: Extractor, loaded: Any, images: Any = None) -> Any:
        grid = original(self, loaded, images)
        for row, image in enumerate(loaded):
            if image.sample.path == "cat/02.png":
                grid.features[row, 0, :2] = 0
        return grid

    monkeypatch.setattr(Extractor, "original", dulled)
    said = audit("index", dataset / "images", *SMALL, "--head", "none", "--name", "i")
    assert "2 cells of 1 image have no content" in said
    with Index.open(Path("indexes/i")) as index:
        first = index.image("cat/02.png") * 9
        assert np.flatnonzero(index.is_empty(np.arange(6 * 9))).tolist() == [first, first + 1]


def test_an_index_is_not_continued_with_something_else(dataset: Path, audit: Callable[..., str]) -> None:
    audit("index", dataset / "images", *SMALL, "--name", "i")
    for change in (
        ["--weights", "random:1"],
        ["--size", "128"],
        ["--head", "probe"],
        ["--precision", "bfloat16"],
    ):
        with pytest.raises(IndexMismatch, match="choose another --name"):
            audit("index", dataset / "images", *SMALL, *change, "--name", "i")


def test_a_plain_folder_still_gives_cells_and_search(
    tmp_path: Path, audit: Callable[..., str], ask: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        write_photo(tmp_path / "photos" / f"{number}.jpg", number)
    (summary,) = ask("index", "photos", *SMALL, "--head", "none")
    assert (summary["head"], summary["images"]) == ("none", 3)
    hits = ask("similar", "--patch", "1.jpg:0,1", "--per-image", "2", "-k", "4")["hits"]
    assert len(hits) == 4
    assert "1.jpg" not in {hit["path"] for hit in hits}
    write_photo(tmp_path / "elsewhere" / "new.jpg", 1)
    outside = ask("similar", "--patch", "elsewhere/new.jpg:0,1", "-k", "1")["hits"]
    assert (outside[0]["path"], outside[0]["row"], outside[0]["col"]) == ("1.jpg", 0, 1)
    assert outside[0]["cosine"] == pytest.approx(1, abs=1e-3)
    stored, live = (ask("match", a, "2.jpg", "-k", "49") for a in ("1.jpg", "elsewhere/new.jpg"))
    assert (live["a"], live["b"]) == ("elsewhere/new.jpg", "2.jpg")
    assert live["cosine"] == pytest.approx(stored["cosine"], abs=1e-3)
    cosines = [[pair["cosine"] for pair in answer["pairs"]] for answer in (stored, live)]
    assert cosines[0] == pytest.approx(cosines[1], abs=1e-3)


def test_a_live_grid_is_the_stored_one(
    dataset: Path, ask: Callable[..., Any], audit: Callable[..., str]
) -> None:
    audit("index", dataset / "images", "-a", dataset / "boxes", *SMALL, "--name", "i")
    shutil.copy(dataset / "images" / "cat" / "02.png", "copy.png")
    stored, live = ask("grid", "cat/02.png"), ask("grid", "copy.png")
    assert live["labels"][0] == stored["labels"][0]
    assert np.allclose(live["probabilities"][0], stored["probabilities"][0], atol=1e-5)


def test_other_weights_are_refused_when_the_model_is_needed_again(
    dataset: Path, audit: Callable[..., str], ask: Callable[..., Any]
) -> None:
    classes, square = [ClassName("cat"), ClassName("dog")], Preprocess(96, 96)
    for seed in (0, 1):
        model = build_classifier("test_resnet", 2, {}, seed)
        save_classifier(
            Path("net.safetensors"), model, arch="test_resnet", model_args={}, classes=classes,
            preprocess=square, training={},
        )  # fmt: skip
        if seed == 0:
            audit("index", dataset / "images", "--backbone", "net.safetensors", "--name", "i")
            shutil.copy(dataset / "images" / "cat" / "02.png", "copy.png")
            assert ask("grid", "copy.png")["labels"] == ask("grid", "cat/02.png")["labels"]
    with pytest.raises(IndexMismatch, match="other weights"):
        audit("grid", "copy.png")


def test_only_who_asks_for_gradients_gets_them(dataset: Path) -> None:
    """The backbone lets them through; what an index is made of carries no graph."""
    backbone = load_backbone("timm/test_resnet", weights="random", size=96, device="cpu")
    listing = read_dataset(dataset)
    image = load(listing, listing.samples[0], backbone.preprocess)
    extractor = Extractor(backbone, "mean", "float32", 0)
    head, moving = OwnHead(backbone), backbone.grid_of(extractor.images([image]))
    for readout in READOUTS:
        assert dense_scores(head, moving, readout).requires_grad
        assert len(score_grid(head, moving, readout)) == 1
    grid = extractor.original([image])
    kept = [grid.features, grid.pooled, grid.logits]
    assert not any(tensor.requires_grad for tensor in kept if tensor is not None)
    assert torch.equal(grid.features, moving.features)


def test_the_exact_readout_is_stored_when_asked_for(dataset: Path, audit: Callable[..., str]) -> None:
    audit("index", dataset / "images", *SMALL, "--head", "probe", "--readout", "exact", "--name", "i")
    with Index.open(Path("indexes/i")) as index:
        means = index.query(
            "SELECT avg(target_logit[1]) AS z FROM cells WHERE variant = 0 GROUP BY image ORDER BY image"
        )["z"]
        backbone = load_backbone("timm/test_resnet", weights="random:0", size=96)
        head = load_head(Path("indexes/i/heads/probe.safetensors"), backbone)
        rows = index.query("SELECT id, fold, labels FROM images ORDER BY id")
        for image, fold, labels in zip(*(column.tolist() for column in rows.values()), strict=True):
            pooled = torch.tensor(index.pooled(image))
            z = head.weight[fold] @ (pooled / pooled.norm()) + head.bias[fold]
            assert means[image] == pytest.approx(float(z[labels[0]]), abs=2e-3)


def test_a_damaged_shard_is_made_again(dataset: Path, ask: Callable[..., Any]) -> None:
    command = ("index", dataset / "images", "-a", dataset / "boxes", *SMALL, "--name", "i")
    ask(*command)
    before = contents(Path("indexes/i"))
    features = Path("indexes/i/shards/000000000/features.npy")
    damaged = bytearray(features.read_bytes())
    damaged[-7] ^= 4
    features.write_bytes(damaged)
    with pytest.raises(SystemExit) as stopped:
        ask("check")
    assert stopped.value.code == 4
    ask(*command)
    assert contents(Path("indexes/i")) == before
    assert ask("check")["is_sound"]


# ------------------------------------------------------------------------------------- killed


def _build(path: Path, dataset: Path, head: str) -> None:
    torch.set_num_threads(1)
    request = Request(
        dataset / "images",
        "timm/test_resnet",
        dataset / "boxes",
        weights="random:0",
        size=96,
        head=head,
        batch=2,
    )  # type: ignore[arg-type]
    build_index(request, Bar(quiet=True), path=path)


@pytest.mark.parametrize("head", ["own", "probe"])
def test_a_killed_run_ends_like_an_uninterrupted_one(
    head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before every seventh change of the disk until it gets through, in shards of four images."""
    dataset = write_dataset(tmp_path / "pets", images=18)
    monkeypatch.setattr(building, "SHARD_BYTES", 4 * 2 * 9 * 256)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    torch.set_num_threads(1)
    assert not dies_at(10**9, lambda: _build(whole, dataset, head))
    kills = 0
    while dies_at(7 * (kills + 1), lambda: _build(killed, dataset, head)):
        kills += 1
        if (killed / "index.json").exists() and not (killed / "CURRENT").exists():
            with pytest.raises(IndexDamaged, match="go on with"):
                Index.open(killed)
    assert kills >= 4
    assert len(contents(whole)["shards"]) > 1
    assert contents(killed) == contents(whole)
    assert check(killed, repair=False).is_sound
    assert not list(killed.glob("staging/*"))


# ------------------------------------------------------------------------------------- classes


def test_classes_match_by_synset_then_name_then_number() -> None:
    head = [
        ClassName("tench", "n01440764"),
        ClassName("crane", "n1"),
        ClassName("crane", "n2"),
        ClassName("sea slug", "n3"),
    ]
    found = match_classes(
        [ClassName("n01440764"), ClassName("Sea_Slug"), ClassName("crane"), ClassName("dog")], head
    )
    assert found.heads == (0, 3, None, None)
    assert found.unmatched == ("crane", "dog")
    assert match_classes([ClassName("2"), ClassName("0")], head).heads == (2, 0)
    assert match_classes([ClassName("2"), ClassName("7")], head).heads == (None, None)


def test_the_fixed_label_is_one_of_the_labels_and_spreads() -> None:
    drawn = [fixed_label(f"{n}.jpg", (2, 5, 9)) for n in range(300)]
    assert drawn == [fixed_label(f"{n}.jpg", (9, 2, 5)) for n in range(300)]
    assert {drawn.count(label) > 70 for label in (2, 5, 9)} == {True}
    assert fixed_label("a.jpg", ()) is None


def test_a_shards_columns_are_its_images_scores_in_order() -> None:
    """Scores come by batch and variant, images without some and with any number of classes among them."""
    rng, cells, first = np.random.default_rng(0), 6, 40
    status = ["ok", "broken", "ok", "ok", "filtered", "ok"]
    classes = [(3,), (), (1, 4, 9), (), (2,), (0, 7)]
    rows = ShardRows(first, len(status), (2, 3), 4)
    for row, (is_ok, labels) in enumerate(zip(status, classes, strict=True)):
        loaded = Loaded(Sample(f"{row}.png"), is_ok)
        rows.describe(row, loaded, LabelFacts(None, labels, None, None, None))
    put: dict[tuple[int, int], CellScores] = {}
    order = [(0, 0), (2, 0), (2, 1), (2, 2), (3, 0), (5, 0), (5, 1), (5, 2)]
    for row, variant in sorted(order, key=lambda key: (key[0] > 2, key[1], key[0])):  # two batches
        shapes = (cells, 5), (cells, 5), (cells,), (cells, len(classes[row])), (cells, len(classes[row]))
        drawn = [rng.integers(0, 9, shape) for shape in (*shapes, (5,), (5,))]
        put[row, variant] = scores = CellScores(*drawn)
        rows.put_scores(row, VARIANTS[variant], scores)
    columns = rows.cell_columns(has_head=True)
    keys = [key for key in order for _ in range(cells)]
    assert columns["image"].tolist() == [first + row for row, _ in keys]
    assert columns["variant"].tolist() == [variant for _, variant in keys]
    assert columns["cell"].tolist() == list(range(cells)) * len(order)
    for name, field in (("top5", "top5"), ("top5_p", "probabilities"), ("entropy", "entropy")):
        assert columns[name].tolist() == [cell for key in order for cell in getattr(put[key], field).tolist()]
    for name in ("target_rank", "target_logit"):
        lists = [cell for key in order for cell in getattr(put[key], name).tolist()]
        assert columns[name].values.tolist() == [value for each in lists for value in each]
        assert columns[name].lengths.tolist() == [len(each) for each in lists]
    images = rows.image_columns()
    for number, variant in enumerate(VARIANTS):
        wanted = [
            put[row, number].image_top5.tolist() if (row, number) in put else [None] * 5 for row in range(6)
        ]
        assert images[f"top5_{variant}"].tolist() == wanted


def test_variants_keep_their_numbers() -> None:
    """cells.variant is a position in VARIANTS: changing their order would change what old indexes say."""
    assert VARIANTS == ("original", "without_bg", "without_fg")
