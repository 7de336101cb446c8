"""`audit index --head FILE`: a probe that was saved scores an index as it scored when it was trained."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from conftest import run_audit
from safetensors.numpy import load_file, save_file

from auditor.errors import BackboneError, IndexMismatch
from auditor.explain.live import open_image
from auditor.indexing.train_probe import Probed, probe
from auditor.models.backbone import Backbone
from auditor.models.catalog import read_header
from auditor.models.head_files import load_probe
from auditor.models.weights import load_backbone
from auditor.questions.attack.ask import loss_gradient
from auditor.questions.cam.ask import cam, live_scores
from auditor.questions.metrics.ask import metrics
from auditor.questions.occlude.ask import occlude
from auditor.records import ProbeKind, Rate
from auditor.store import Index
from auditor.store.check import check
from auditor.terminal.progress import Bar

torch.set_num_threads(1)

EPOCHS = 40

LEADS = (
    "SELECT top5[1] AS top1, top5_p[1] - top5_p[2] AS lead FROM cells WHERE variant = 0 ORDER BY image, cell"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two sets of scenes and their indexes, `val` and `train`; the working directory."""
    folder = tmp_path_factory.mktemp("heads")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, images, seed in (("val", "24", "5"), ("train", "48", "6")):
            run_audit("synth", name, "--images", images, "--seed", seed)
            run_audit("index", name, "--name", name)
        yield folder


@pytest.fixture(scope="module")
def out_of_fold(folder: Path) -> Path:
    """An index of `val` under a linear probe that was trained on `val` itself."""
    file = train("linear").file
    run_audit("index", "val", "--head", Path("indexes/val", file), "--name", "out_of_fold")
    return Path("indexes/out_of_fold")


@pytest.fixture(scope="module")
def symbols() -> Backbone:
    return load_backbone("symbols", device="cpu")


def train(kind: ProbeKind, source: str | None = None) -> Probed:
    with Index.open(Path("indexes/val")) as on:
        if source is None:
            return probe(on, kind=kind, epochs=EPOCHS, watch=Bar(quiet=True))
        with Index.open(Path("indexes", source)) as other:
            return probe(on, other, kind=kind, epochs=EPOCHS, watch=Bar(quiet=True))


def advised(probed: Probed) -> list[str]:
    """The words after `audit` of the command that the last note ends with."""
    command = re.search(r": audit (index .+)$", probed.notes[-1])
    assert command is not None
    return shlex.split(command.group(1))


@pytest.mark.parametrize("source", [None, "train"], ids=["out_of_fold", "train"])
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_the_advised_command_measures_what_the_probe_measured(
    folder: Path, kind: ProbeKind, source: str | None
) -> None:
    """The originals alike, but for features of half precision there and single precision here."""
    probed = train(kind, source)
    run_audit(*advised(probed))
    with probed.index as before, Index.open(Path("indexes", f"val-symbols-{Path(probed.file).stem}")) as now:
        assert now.manifest.head.sha256 == probed.sha256
        assert now.manifest.classes == before.manifest.classes
        ours, theirs = now.query(LEADS), before.query(LEADS)
        differ = ours["top1"] != theirs["top1"]
        assert differ.mean() < 0.01
        assert np.all(ours["lead"][differ] < 0.01)  # near ties
        found, expected = metrics(now), metrics(before)
    for name in (field.name for field in fields(expected)):
        value = getattr(expected, name)
        if name in ("loc_without_bg", "bg_act_without_fg"):
            assert getattr(found, name).total > value.total == 0
        elif isinstance(value, Rate):
            assert getattr(found, name).total == value.total, name
            assert abs(getattr(found, name).hits - value.hits) <= differ.sum(), name
    assert found.loc.hits > 0
    assert found.bg_act_without_fg.hits > 0


def test_every_image_is_scored_by_the_head_of_its_fold(folder: Path, out_of_fold: Path) -> None:
    tensors = load_file(out_of_fold / "heads" / "probe.safetensors")
    with Index.open(out_of_fold) as index:
        rows = index.query("SELECT id, hash, fold, top5_original AS top5 FROM images ORDER BY id")
        for image, digest, fold, top5 in zip(*rows.values(), strict=True):
            assert fold == int(digest[:8], 16) % 5
            pooled = index.pooled(int(image))
            scores = tensors["weight"][fold] @ (pooled / np.linalg.norm(pooled)) + tensors["bias"][fold]
            np.testing.assert_allclose(scores[top5], np.sort(scores)[::-1][:5], atol=1e-3)
        assert any("never saw it" in note for note in index.manifest.dataset.notes)


def test_a_single_head_says_what_its_training_images_are_worth(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path("indexes/val", train("linear", "train").file)
    run_audit("index", "train", "--head", file, "--limit", "4", "--name", "seen")
    assert "images that it was trained on are too good" in capsys.readouterr().err


def test_the_model_is_opened_again_with_the_head(folder: Path, out_of_fold: Path) -> None:
    with Index.open(out_of_fold) as index:
        path = index.path_of(3)
        maps = cam(index, path, [2, 7]).maps
        cells, _ = live_scores(index, path, [2, 7], "pointwise")
        np.testing.assert_allclose(np.stack([each.cells for each in maps], -1), cells, atol=5e-3, rtol=2e-3)
        stored = index.query(
            "SELECT top5[1] AS top1 FROM cells WHERE image = 3 AND variant = 0 ORDER BY cell"
        )["top1"]
        shown = occlude(index, path)
        np.testing.assert_array_equal(shown.grids.labels[0].ravel(), stored)
    assert check(out_of_fold).is_sound


def test_gradients_go_through_an_mlp(folder: Path) -> None:
    """The slope of the loss along its gradient's signs, against the loss on both sides."""
    file = Path("indexes/val", train("mlp").file)
    run_audit("index", "val", "--head", file, "--limit", "6", "--name", "mlp")
    with Index.open(Path("indexes/mlp")) as index:
        opened = open_image(index, index.path_of(0))

    def scorer(pixels: torch.Tensor) -> torch.Tensor:
        return opened.head.image_scores(opened.grid_of(pixels), opened.fold)

    def loss(pixels: torch.Tensor) -> float:
        return -float(scorer(pixels).log_softmax(-1)[0, 4])

    gradient, step = loss_gradient(scorer, opened.pixels, 4), 2e-4
    move = step * gradient.sign()
    with torch.no_grad():
        slope = (loss(opened.pixels + move) - loss(opened.pixels - move)) / (2 * step)
    assert slope == pytest.approx(float(gradient.abs().sum()), rel=0.05)


def test_an_index_goes_on_with_its_own_head_only(folder: Path) -> None:
    given, other = (Path("indexes/val", train(kind).file) for kind in ("linear", "mlp"))
    again = ("index", "val", "--name", "short")
    run_audit(*again, "--head", given, "--limit", "5")
    for head in (other, "probe"):
        with pytest.raises(IndexMismatch, match="was made with head"):
            run_audit(*again, "--head", head)
    run_audit(*again, "--head", given, "--limit", "9")
    with Index.open(Path("indexes/short")) as index:
        assert index.query("SELECT count(DISTINCT image) AS n FROM cells")["n"][0] == 9
    run_audit("index", "val", "--head", "probe", "--limit", "6", "--name", "trained")
    with pytest.raises(IndexMismatch, match="was made with head file None"):
        run_audit("index", "val", "--head", given, "--limit", "6", "--name", "trained")


# ------------------------------------------------------------------------------------- what is refused


def rewritten(source: Path, target: Path, said: dict[str, Any], **tensors: Any) -> Path:
    """The head's file with something else in its header or among its tensors."""
    header = json.loads(read_header(source)["audit_head"]) | said
    save_file(load_file(source) | tensors, target, metadata={"audit_head": json.dumps(header)})
    return target


def test_files_that_hold_no_probe_of_this_backbone(folder: Path, tmp_path: Path, symbols: Backbone) -> None:
    linear, mlp = (Path("indexes/val", train(kind).file) for kind in ("linear", "mlp"))
    assert load_probe(linear, symbols).dim == load_probe(mlp, symbols).dim == symbols.dim == 512
    photo, plain, cut = (tmp_path / name for name in ("photo", "plain", "cut"))
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" * 9)
    save_file({"weight": np.zeros((2, 3), np.float32)}, plain)
    cut.write_bytes(linear.read_bytes()[:-4])
    narrow, broken = load_file(linear)["weight"][..., :96].copy(), load_file(linear)["weight"]
    broken[1, 2, 3] = np.nan
    bias = np.zeros((5, 19), np.float32)
    for path, said in {
        tmp_path / "nowhere": "no head at",
        photo: "not a safetensors file",
        plain: "holds no head that audit wrote",
        cut: "is damaged",
        rewritten(linear, tmp_path / "nan", {}, weight=broken): "is damaged: .*not finite",
        rewritten(linear, tmp_path / "bias", {}, bias=bias): r"is damaged: .*\(5, 19\)",
        rewritten(mlp, tmp_path / "as-linear", {"kind": "probe"}): "is damaged: 'weight'",
        rewritten(linear, tmp_path / "as-mlp", {"kind": "mlp"}): "is damaged",
        rewritten(linear, tmp_path / "said", {"classes": 3}): "is damaged",
        Path("indexes/val/heads/own.safetensors"): "holds no probe but the own head .*--head own",
        rewritten(
            linear, tmp_path / "narrow", {}, weight=narrow
        ): "features of 96 numbers.* symbols have 512",
        rewritten(linear, tmp_path / "others", {"weights_sha256": "0" * 64}): "other weights .* of symbols",
    }.items():
        with pytest.raises(BackboneError, match=said) as error:
            load_probe(path, symbols)
        assert str(path) in str(error.value)


def test_a_head_that_cannot_do_what_is_asked(folder: Path) -> None:
    mlp = Path("indexes/val", train("mlp").file)
    with pytest.raises(BackboneError, match="no exact readout; use --readout pointwise"):
        run_audit("index", "val", "--head", mlp, "--readout", "exact", "--name", "exact")
    with pytest.raises(typer.BadParameter, match="'prob' is neither auto, own, text, probe, none nor"):
        run_audit("index", "val", "--head", "prob")
    assert not Path("indexes/exact").exists()
