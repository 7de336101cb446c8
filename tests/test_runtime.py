"""Grids by another runtime than eager torch, or in another precision: what they are, said and refused."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_audit
from photos import SMALL, write_dataset, write_photo
from same import assert_same
from torch import nn

from auditor.data.load import load
from auditor.data.read import read_dataset
from auditor.errors import BackboneError, IndexMismatch
from auditor.indexing.extract import Extractor
from auditor.models.backbone import Backbone
from auditor.models.compiled import import_openvino
from auditor.models.heads import OwnHead
from auditor.models.runtime import emulates_bfloat16
from auditor.models.towers import IntermediatesTower
from auditor.models.weights import load_backbone
from auditor.records import Precision, Rate, Runtime
from auditor.store import Index, read_manifest
from auditor.store.go_on import index_command
from auditor.store.same import differences
from auditor.store.sealed import write_sealed

IS_THERE = find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(
    not IS_THERE, reason="OpenVINO is not installed: pip install 'auditor[openvino]'"
)
BY_OPENVINO = ("--runtime", "openvino")


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_dataset(tmp_path / "pets")


def index(dataset: Path, *words: str, name: str = "i") -> None:
    run_audit("index", dataset / "images", "-a", dataset / "boxes", *SMALL, "--name", name, *words)


# ------------------------------------------------------------------------------------- what is refused


@pytest.mark.skipif(IS_THERE, reason="OpenVINO is installed here")
def test_a_missing_package_is_one_sentence_with_the_fix(dataset: Path) -> None:
    with pytest.raises(BackboneError, match=r"needs OpenVINO: pip install 'auditor\[openvino\]'$"):
        index(dataset, *BY_OPENVINO)
    assert not Path("indexes").exists()


@pytest.mark.skipif(IS_THERE, reason="OpenVINO is installed here")
def test_an_index_whose_runtime_is_missing_still_answers_what_needs_no_model(
    dataset: Path, audit: Callable[..., str]
) -> None:
    index(dataset)
    stamp(Path("indexes/i"), runtime="openvino")
    assert audit("metrics")
    with pytest.raises(BackboneError, match=r"pip install 'auditor\[openvino\]'"):
        audit("grid", write(dataset / "new.png", 9))


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_another_device_than_the_cpu_is_refused(device: str, dataset: Path) -> None:
    with pytest.raises(BackboneError, match=f"on the CPU, not on {device}; leave out one"):
        index(dataset, *BY_OPENVINO, "--device", device)


def test_parts_of_two_runtimes_are_refused(dataset: Path) -> None:
    """In either order, also where the other is older than the option."""
    for number in ("1/2", "2/2"):
        index(dataset, "--shard", number)
    parts = [Path(f"indexes/i.{number}-of-2") for number in (1, 2)]
    stamp(parts[1], runtime="openvino")
    for order in (parts, parts[::-1]):
        with pytest.raises(IndexMismatch, match=r"no parts of one index: runtime is \w+ in one"):
            run_audit("merge", *order)


def test_the_command_that_goes_on_names_the_runtime(dataset: Path) -> None:
    index(dataset)
    before = read_manifest(Path("indexes/i"))
    assert "runtime" not in before.options  # so that older indexes are what they were
    assert "--runtime" not in index_command(Path("indexes/i"), before)
    stamp(Path("indexes/i"), runtime="openvino")
    after = read_manifest(Path("indexes/i"))
    assert "--runtime openvino" in index_command(Path("indexes/i"), after)
    assert [tuple(each) for each in differences(before, after)] == [("runtime", "torch", "openvino")]
    assert after.identity != before.identity


def stamp(path: Path, **options: str) -> None:
    """Have an index say that it was made with other options."""
    manifest = read_manifest(path)
    write_sealed(path / "index.json", replace(manifest, options={**manifest.options, **options}))


def write(path: Path, seed: int) -> Path:
    write_photo(path, seed)
    return path


# ------------------------------------------------------------------------------------- what is said


def reference(dataset: Path, found: Callable[[torch.Tensor], torch.Tensor]) -> tuple[int, int, float]:
    """Cells of another class, cells, and the lowest cosine, by loops over images and cells in NumPy."""
    backbone = load_backbone("timm/test_resnet", weights="random:0", size=96, device="cpu")
    module = backbone.anatomy.tower.module
    weight, bias = (tensor.detach().numpy() for tensor in (module.fc.weight, module.fc.bias))
    listing = read_dataset(dataset / "images")
    changed = cells = 0
    lowest = 1.0
    for sample in listing.samples[:8]:
        loaded = load(listing, sample, backbone.preprocess)
        inputs = Extractor(backbone, "mean", "float32", 0).images([loaded])
        with torch.no_grad():
            ours, theirs = found(inputs)[0].float().numpy(), module.forward_features(inputs)[0].numpy()
        for row, col in np.ndindex(*backbone.grid):
            a, b = ours[:, row, col], theirs[:, row, col]
            changed += int((weight @ a + bias).argmax() != (weight @ b + bias).argmax())
            cells += 1
            lowest = min(lowest, float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    return changed, cells, lowest


def test_what_a_precision_costs_is_measured_and_said(
    dataset: Path, audit: Callable[..., str], ask: Callable[..., Any]
) -> None:
    index(dataset, "--precision", "bfloat16")
    module = load_backbone("timm/test_resnet", weights="random:0", size=96, device="cpu").anatomy.tower.module

    def half(inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return module.forward_features(inputs)

    changed, cells, lowest = reference(dataset, half)
    (row,) = ask("list")
    agreement = row["agreement"]
    assert (agreement["runtime"], agreement["precision"], agreement["images"]) == ("torch", "bfloat16", 6)
    assert agreement["cosine"] == pytest.approx(lowest, abs=1e-4)
    assert lowest < 0.99999
    assert agreement["changed"]["total"] == cells
    assert abs(agreement["changed"]["hits"] - changed) <= 1  # a batch rounds in another order than one image
    said = "i: cells by torch in bfloat16; beside eager torch in float32, on 6 images, "
    assert said in audit("list")


X86 = {"architecture": "x86_64", "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}
ARM = {"architecture": "arm64", "neon": True, "bf16": False}


@pytest.mark.parametrize(
    ("able", "is_emulated"),
    [
        (X86, True),
        ({**X86, "avx512_f": False}, True),
        ({**X86, "avx512_bf16": True}, False),
        (ARM, True),
        ({**ARM, "bf16": True}, False),
        ({"architecture": "x86_64"}, False),  # it could not be read
        (None, False),  # torch 2.10 does not tell
    ],
)
def test_who_emulates_bfloat16_is_known_by_what_torch_says_of_the_processor(
    able: dict[str, object] | None, is_emulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(able, monkeypatch)
    assert emulates_bfloat16() == is_emulated


def be(able: dict[str, object] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have torch say that of this processor."""
    if able is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)


@pytest.mark.parametrize("is_emulated", [True, False])
def test_that_bfloat16_will_be_slow_is_said_before_the_work(
    is_emulated: bool, dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, by `audit index` and `audit plan`, and only where it is asked for; the index does not keep it."""
    be({**X86, "avx512_bf16": not is_emulated}, monkeypatch)
    monkeypatch.setenv("COLUMNS", "1000")

    def times_said(command: str, *words: str) -> int:
        capsys.readouterr()
        run_audit(command, dataset / "images", *SMALL, "--head", "none", *words)
        return capsys.readouterr().err.count("so torch emulates it, up to ten times as slow as float32")

    half = ("--precision", "bfloat16")
    assert times_said("plan", *half) == times_said("index", "--name", "half", *half) == is_emulated
    assert times_said("index", "--name", "full") == 0
    assert "torch emulates it" not in Path("indexes/half/index.json").read_text()


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux says there what the processor has")
def test_a_processor_with_bfloat16_emulates_nothing() -> None:
    flags = Path("/proc/cpuinfo").read_text().split()
    if {"avx512_bf16", "amx_bf16", "bf16", "svebf16"} & set(flags):
        assert not emulates_bfloat16()


def test_eager_torch_in_float32_is_compared_with_nothing(dataset: Path, ask: Callable[..., Any]) -> None:
    index(dataset)
    (row,) = ask("list")
    assert row["agreement"] is None


# ------------------------------------------------------------------------------------- what OpenVINO computes


MODELS = {  # a CNN, tokens with a class token, a norm behind the pool, windows, convolutions behind the grid
    "timm/test_resnet": 96,
    "timm/test_vit": 96,
    "timm/test_convnext": 96,
    "timm/swin_tiny_patch4_window7_224": 112,
    "timm/efficientvit_b0": 96,
}


def draw(count: int, size: int = 96) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(count))


def extractor(
    backbone: Backbone, runtime: Runtime = "openvino", precision: Precision = "float32"
) -> Extractor:
    return Extractor(backbone, "mean", precision, 0, runtime)


@needs_openvino
@pytest.mark.parametrize("name", MODELS)
def test_the_grid_is_eager_torchs(name: str) -> None:
    """Features, class tokens and output for every number of images, and the model is what it was."""
    size = MODELS[name]
    backbone = load_backbone(name, weights="random:1", size=size, device="cpu")
    module = backbone.anatomy.tower.module
    before = {key: value.clone() for key, value in module.state_dict().items()}
    first = backbone.grid_of(draw(2, size))
    for count in (1, 7, 3):
        wanted = extractor(backbone, "torch").run(draw(count, size))
        found = extractor(backbone).run(draw(count, size))
        assert not found.features.requires_grad
        for ours, theirs in zip(found, wanted, strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None and theirs is not None:
                torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.std()))
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    again = backbone.grid_of(draw(2, size))
    assert again.features.requires_grad
    assert torch.equal(again.features, first.features)
    for part in module.modules():
        assert not part._forward_hooks
        assert not part._forward_pre_hooks


@needs_openvino
def test_features_without_a_head_have_no_output() -> None:
    backbone = load_backbone("timm/test_resnet", weights="random:1", size=96, device="cpu")
    tower = IntermediatesTower(backbone.anatomy.tower)
    backbone.anatomy = replace(backbone.anatomy, tower=tower, verdict="features-only")
    found, wanted = (extractor(backbone, runtime).run(draw(3)) for runtime in ("openvino", "torch"))
    assert found.logits is None
    torch.testing.assert_close(found.features, wanted.features, rtol=1e-3, atol=1e-4)


class Branching(nn.Module):
    """Doubles its first channel, but not in a batch of two: an export by tracing two images misses that."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if len(images) == 2 else images * torch.tensor([2.0, 1, 1]).view(1, 3, 1, 1)


class Decomposing(nn.Module):
    """Does what OpenVINO has no operation for."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + 0 * torch.linalg.svdvals(images).sum()


@needs_openvino
@pytest.mark.parametrize(
    ("stem", "why"), [(Branching(), "off by .* of their spread"), (Decomposing(), "svd")]
)
def test_a_model_that_cannot_be_exported_is_named(stem: nn.Module, why: str) -> None:
    backbone = load_backbone("timm/test_resnet", weights="random:1", size=96, device="cpu")
    module = backbone.anatomy.tower.module
    module.conv1 = nn.Sequential(stem, module.conv1)
    with pytest.raises(
        BackboneError, match=f"test_resnet cannot be exported to OpenVINO: .*{why}"
    ) as refusal:
        extractor(backbone).run(draw(3))
    assert "\n" not in str(refusal.value)


@needs_openvino
def test_a_wrong_export_is_seen_by_the_agreement() -> None:
    """After the export the model's own last weights are changed, so that both differ."""
    backbone = load_backbone("timm/test_resnet", weights="random:1", size=96, device="cpu")
    head, by_openvino, images = OwnHead(backbone), extractor(backbone), draw(8)
    sound = by_openvino.agreement(head, "pointwise", images)
    assert sound is not None
    assert sound.changed == Rate(0, 8 * 9)
    assert sound.cosine > 1 - 1e-6
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in backbone.anatomy.tower.module.layer4.parameters():
            weight *= torch.randn(weight.shape, generator=generator)
    spoilt = by_openvino.agreement(head, "pointwise", images)
    assert spoilt is not None
    wanted, found = backbone.grid_of(images).features.detach(), by_openvino.run(images).features
    pairs = list(zip(wanted.flatten(0, 2), found.flatten(0, 2), strict=True))
    classes = [[int(head.scores(cell[None])[0].argmax()) for cell in pair] for pair in pairs]
    assert spoilt.changed is not None
    assert spoilt.changed.hits == sum(ours != theirs for ours, theirs in classes) > 0
    assert spoilt.cosine == pytest.approx(min(float(a @ b / a.norm() / b.norm()) for a, b in pairs), abs=1e-5)
    assert spoilt.cosine < 0.9999


def has_bfloat16() -> bool:
    """Whether OpenVINO has it on this processor."""
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@needs_openvino
def test_a_precision_that_the_processor_lacks_is_refused_and_any_other_is_used() -> None:
    """By itself OpenVINO would take float32 for it without a word."""
    backbone = load_backbone("timm/test_resnet", weights="random:1", size=96, device="cpu")
    wanted = extractor(backbone).run(draw(3)).features
    if not has_bfloat16():
        with pytest.raises(BackboneError, match="OpenVINO has no bfloat16 on this processor; leave out"):
            extractor(backbone, precision="bfloat16").run(draw(3))
        return
    rounded = extractor(backbone, precision="bfloat16").run(draw(3)).features
    assert 1e-4 < float((rounded - wanted).norm() / wanted.norm()) < 0.1


@needs_openvino
def test_nothing_is_told_to_anybody() -> None:
    """OpenVINO's package of telemetry, which sends a message when OpenVINO is imported, is not loaded."""
    script = (
        "import sys\n"
        "from auditor.models.weights import load_backbone, draw_images\n"
        "from auditor.indexing.extract import Extractor\n"
        "backbone = load_backbone('timm/test_resnet', weights='random:1', size=64, device='cpu')\n"
        "Extractor(backbone, 'mean', 'float32', 0, 'openvino').run(draw_images(64))\n"
        "assert 'openvino' in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry.')]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# ------------------------------------------------------------------------------------- a whole index


@needs_openvino
def test_an_index_by_openvino_is_torchs_and_is_continued_by_openvino_alone(
    dataset: Path, audit: Callable[..., str], ask: Callable[..., Any]
) -> None:
    """In all variants, with a last batch that is smaller; one more image is added by each to its own."""
    index(dataset, "--batch", "4", name="torch")
    index(dataset, "--batch", "4", *BY_OPENVINO)
    assert_same_cells()
    (row,) = (row for row in ask("list") if row["name"] == "i")
    assert row["agreement"]["runtime"] == "openvino"
    assert row["agreement"]["changed"] == {"hits": 0, "total": 54, "value": 0.0}
    assert row["agreement"]["cosine"] > 1 - 1e-6
    told = "i: cells by OpenVINO in float32; beside eager torch in float32, on 6 images, 0.0 % of cells have "
    assert told in audit("list")
    assert "openvino" in read_manifest(Path("indexes/i")).versions
    assert "openvino" not in read_manifest(Path("indexes/torch")).versions
    for other in ((), (*BY_OPENVINO, "--precision", "bfloat16")):
        with pytest.raises(IndexMismatch, match=r"made with (runtime openvino|precision float32), not"):
            index(dataset, *other)
    with pytest.raises(IndexMismatch, match="made with runtime torch, not openvino"):
        index(dataset, *BY_OPENVINO, name="torch")
    write_photo(dataset / "images" / "cat" / "06.png", 60)
    index(dataset, *BY_OPENVINO)
    index(dataset, name="torch")
    assert_same_cells()


class Features(nn.Module):
    """A network's features as OpenVINO is given them here, without anything of ours."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.module.forward_features(images)


@needs_openvino
@pytest.mark.filterwarnings("ignore")  # the tracer's, of another export than ours
def test_an_index_by_openvino_in_bfloat16_says_what_that_costs(
    dataset: Path, audit: Callable[..., str], ask: Callable[..., Any]
) -> None:
    """And is continued by nothing else, nor merged with a part of something else."""
    if not has_bfloat16():
        pytest.skip("OpenVINO has no bfloat16 on this processor")
    both = (*BY_OPENVINO, "--precision", "bfloat16")
    index(dataset, *both)
    module = load_backbone("timm/test_resnet", weights="random:0", size=96, device="cpu").anatomy.tower.module
    openvino, copied = import_openvino(), Features(deepcopy(module))
    exported = openvino.convert_model(copied, example_input=draw(1), input=[-1, 3, 96, 96])
    model = openvino.compile_model(exported, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    changed, cells, lowest = reference(
        dataset, lambda images: torch.from_numpy(model(images.contiguous().numpy())[0])
    )
    (row,) = ask("list")
    agreement = row["agreement"]
    assert (agreement["runtime"], agreement["precision"], agreement["images"]) == ("openvino", "bfloat16", 6)
    assert agreement["cosine"] == pytest.approx(lowest, abs=1e-4)
    assert lowest < 0.99999
    assert agreement["changed"]["total"] == cells
    assert abs(agreement["changed"]["hits"] - changed) <= 1  # a batch rounds in another order than one image
    assert "i: cells by OpenVINO in bfloat16; beside eager torch in float32, on 6 images, " in audit("list")
    for other in ((), BY_OPENVINO, ("--precision", "bfloat16")):
        with pytest.raises(IndexMismatch, match=r"made with (runtime openvino|precision bfloat16), not"):
            index(dataset, *other)
    index(dataset, *both, "--shard", "1/2", name="p")
    index(dataset, *BY_OPENVINO, "--shard", "2/2", name="p")
    with pytest.raises(IndexMismatch, match=r"no parts of one index: precision is \w+ in one"):
        run_audit("merge", "indexes/p.1-of-2", "indexes/p.2-of-2")


def assert_same_cells() -> None:
    """Classes alike, and numbers but for rounding."""
    with Index.open(Path("indexes/i")) as ours, Index.open(Path("indexes/torch")) as theirs:
        columns = [
            each.query("SELECT image, variant, cell, top5, top5_p[1] AS p FROM cells ORDER BY ALL")
            for each in (ours, theirs)
        ]
        for name in ("image", "variant", "cell"):
            assert np.array_equal(columns[0][name], columns[1][name])
        assert [list(top) for top in columns[0]["top5"]] == [list(top) for top in columns[1]["top5"]]
        assert np.allclose(columns[0]["p"], columns[1]["p"], atol=1e-6)
        cells = np.arange(ours.images * 9)
        assert np.allclose(ours.vectors(cells), theirs.vectors(cells), atol=2**-10)


@needs_openvino
@pytest.mark.parametrize("head", ["probe", "none"])
def test_other_heads_and_what_opens_the_model_again(
    head: str, dataset: Path, ask: Callable[..., Any]
) -> None:
    index(dataset, *BY_OPENVINO, "--head", head)
    agreement = read_manifest(Path("indexes/i")).agreement
    assert agreement is not None
    assert (agreement.changed is None) == (head == "none")
    new = write(dataset / "new.png", 3)  # the content of an image that is indexed
    assert ask("similar", "--patch", f"{new}:1,1", "-k", "1")["hits"][0]["path"] == "dog/03.png"
    if head == "probe":
        assert ask("grid", new)["labels"][0] == ask("grid", "dog/03.png")["labels"][0]
        assert ask("attack", "dog/03.png", "--target", "0")  # with gradients, by torch


@needs_openvino
def test_parts_by_openvino_are_the_whole(dataset: Path) -> None:
    index(dataset, *BY_OPENVINO, name="whole")
    for number in ("1/2", "2/2"):
        index(dataset, *BY_OPENVINO, "--shard", number)
    run_audit("merge", "indexes/i.1-of-2", "indexes/i.2-of-2")
    assert_same(Path("indexes/whole"), Path("indexes/i"))


@needs_openvino
def test_it_is_planned_too(dataset: Path, ask: Callable[..., Any]) -> None:
    assert ask("plan", dataset / "images", *SMALL, *BY_OPENVINO)["images"] == 6


@needs_openvino
def test_real_weights_give_the_cells_of_an_independent_implementation(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MobileNetV2 on real photos: every cell of three variants, but in images with two close logits."""
    monkeypatch.chdir(tmp_path)
    run_audit(
        "index", real / "ilsvrc" / "images", "--annotations", real / "ilsvrc" / "boxes",
        "--backbone", "timm/mobilenetv2_100", "--model-arg", "pad_type=same",
        "--mean", "0.5", "--std", "0.5", "--interpolation", "bilinear",
        "--weights", real / "weights" / "mobilenetv2_100_tf2.safetensors", "--name", "i", *BY_OPENVINO,
    )  # fmt: skip
    compared = 0
    with (
        Index.open(Path("indexes/i")) as opened,
        (real / "expected" / "ilsvrc_mean_images.csv").open() as file,
    ):
        ids = dict(zip(*opened.query("SELECT path, id FROM images").values(), strict=True))
        for row in csv.DictReader(file):
            if float(row["min_cell_gap"]) < 1e-3:
                continue
            cells = opened.query(
                "SELECT variant, top1 FROM cells WHERE image = ? ORDER BY variant, cell",
                [int(ids[Path(row["file"]).name])],
            )
            for variant, column in enumerate(("cells", "cells_wo_bg", "cells_wo_fg")):
                wanted = [int(label) for label in row[column].split()]
                assert cells["top1"][cells["variant"] == variant].tolist() == wanted, (row["file"], column)
                compared += len(wanted)
    assert compared > 20_000
