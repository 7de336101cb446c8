"""`audit index --head FILE` with a linear layer that somebody else saved, against the model's own head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_audit
from safetensors.torch import load_file, save_file

from auditor.data.read import read_dataset
from auditor.errors import BackboneError, DatasetError
from auditor.explain.live import reopen
from auditor.indexing.given import read_given
from auditor.indexing.request import Request
from auditor.models.backbone import Backbone
from auditor.models.plain_heads import read_plain_head
from auditor.models.weights import load_backbone
from auditor.questions.metrics.ask import metrics
from auditor.store import Index
from auditor.store.check import check
from auditor.store.scores import stored_scores

torch.set_num_threads(1)

CELLS = (
    "SELECT image, variant, cell, foreground, present, top5, top5_p, entropy, target_rank, target_logit "
    "FROM cells ORDER BY image, variant, cell"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Scenes, their index under the network's own head, and that head as others would save it."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_audit("synth", "scenes", "--images", "8", "--seed", "5")
        run_audit("index", "scenes", "--name", "own")
        own = load_file("indexes/own/heads/own.safetensors")
        weight, bias = own["weight"], own["bias"]
        save_file({"weight": weight, "bias": bias}, "plain.safetensors")
        named = {"module.fc.weight": weight, "module.fc.bias": bias, "other.weight": torch.zeros(4, 3)}
        torch.save({"state_dict": named, "epoch": 3}, "named.pth")
        save_file({"head.weight": weight}, "unbiased.safetensors")
        save_file({"weight": weight[:7].contiguous(), "bias": bias[:7].contiguous()}, "seven.safetensors")
        with Index.open(Path("indexes/own")) as index:
            Path("names.txt").write_text("".join(f"{each.name}\n" for each in index.manifest.classes))
        yield folder


@pytest.fixture(scope="module")
def symbols() -> Backbone:
    return load_backbone("symbols", device="cpu")


@pytest.mark.parametrize("words", [("plain.safetensors",), ("named.pth", "--classes", "names.txt")], ids=len)
def test_the_models_own_head_from_a_file_says_the_same(words: tuple[str, ...], folder: Path) -> None:
    name = words[0].partition(".")[0]
    run_audit("index", "scenes", "--head", *words, "--name", name)
    assert check(Path("indexes", name)).is_sound
    with Index.open(Path("indexes/own")) as own, Index.open(Path("indexes", name)) as given:
        assert given.manifest.head.name == "linear"
        assert given.manifest.classes == own.manifest.classes
        ours, theirs = own.query(CELLS), given.query(CELLS)
        for column, values in ours.items():
            other = theirs[column]
            assert all(map(np.array_equal, np.ma.filled(values, 0), np.ma.filled(other, 0))), column
        images = "SELECT top5_original[1] AS top1, label, labels FROM images ORDER BY id"
        assert own.query(images)["top1"].tolist() == given.query(images)["top1"].tolist()
        first, second = metrics(own), metrics(given)
        assert replace(second, index=first.index) == first
        stored = stored_scores(given)
        assert stored is not None
        np.testing.assert_array_equal(stored.cells(0).argmax(1), np.stack(ours["top5"][:49])[:, 0])
        _, head = reopen(given, "cpu")
        assert head is not None
        assert head.name == "linear"
    run_audit("index", "scenes", "--head", *words, "--name", name)  # goes on with it
    written = Path("indexes", name, "heads", "linear.safetensors")
    run_audit("index", "scenes", "--head", written, "--limit", "2", "--name", f"{name}-again")


def test_names_come_from_where_as_many_are(folder: Path, symbols: Backbone) -> None:
    scenes = read_dataset(Path("scenes"))

    def given(file: str, **changes: Any) -> Any:
        request = Request(Path("scenes"), head=Path(file), **changes)
        return read_given(Path(file), symbols, scenes, request)

    head = given("seven.safetensors")
    assert [each.name for each in head.head.classes] == list("0123456")
    assert "have no names; name them with --classes FILE" in head.notes[0]
    assert "taken to be those of symbols" in given("plain.safetensors").notes[0]
    others = replace(scenes, classes=scenes.classes[:7])
    named = read_given(Path("seven.safetensors"), symbols, others, Request(Path("scenes")))
    assert named.head.classes == others.classes
    assert "taken to be the dataset's, in their order" in named.notes[0]
    with pytest.raises(DatasetError, match=r"names\.txt names 20 classes, and the head in .* has 7"):
        given("seven.safetensors", classes=Path("names.txt"))
    Path("twice.txt").write_text("crane\n" * 7)
    assert len(given("seven.safetensors", classes=Path("twice.txt")).head.classes) == 7


def test_a_head_behind_another_way_is_said_to_be_one(folder: Path) -> None:
    tokens = load_backbone("timm/test_vit", weights="random:0", size=96, device="cpu")
    save_file({"weight": torch.randn(3, tokens.dim)}, "three.safetensors")
    scenes = read_dataset(Path("scenes"))
    head = read_given(Path("three.safetensors"), tokens, scenes, Request(Path("scenes")))
    assert "pooling: token" in head.notes[1]


def test_files_without_one_linear_head(folder: Path, tmp_path: Path) -> None:
    weight, bias = read_plain_head(Path("unbiased.safetensors"), 512)
    assert weight.shape == (20, 512)
    assert not bias.any()
    for tensors, said in (
        ({"weight": torch.ones(4, 9)}, r"weight \(4, 9\); expected one weight \(K, 512\)"),
        ({"weight": torch.ones(4, 512), "bias": torch.ones(3)}, r"bias \(3,\)"),
        ({"a.weight": torch.ones(4, 512), "b.weight": torch.ones(5, 512)}, "several layers .* b.weight"),
        ({"weight": torch.full((4, 512), torch.nan)}, "not finite"),
    ):
        file = tmp_path / "head.safetensors"
        save_file(tensors, file)
        with pytest.raises(BackboneError, match=said) as error:
            read_plain_head(file, 512)
        assert str(file) in str(error.value)
    both = {"aux.weight": torch.ones(4, 512), "fc.weight": torch.zeros(5, 512)}
    save_file(both, tmp_path / "usual.safetensors")
    assert len(read_plain_head(tmp_path / "usual.safetensors", 512)[0]) == 5
