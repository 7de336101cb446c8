"""The catalog against the paper's Tables 4 to 6, on the real architectures with random weights."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from auditor.errors import BackboneError
from auditor.models.catalog import CATALOG, read_header, resolve, rows
from auditor.models.weights import assemble, find_source
from auditor.records import Preprocess

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import zoo

torch.set_num_threads(1)  # small work: on a busy machine threads cost more than they give

PAPER = {
    # Table 5
    "efficientnet_b0": ((7, 7), 1280, "GAP"),
    "resnet50": ((7, 7), 2048, "GAP"),
    "convnext_base": ((7, 7), 1024, "GAP"),
    "swin_base": ((7, 7), 1024, "GAP"),
    "maxvit_base": ((7, 7), 768, "GAP"),
    # Table 6: the models of A.4 (512 and 384 features before the classifier)
    "resnet18": ((7, 7), 512, "GAP"),
    "vit_small_patch32_gap": ((7, 7), 384, "GAP"),
    "vit_base_cls": ((14, 14), 768, "[CLS]"),
    # Table 4
    "clip_resnet50": ((7, 7), 2048, "AttnPool"),
    "clip_convnext": ((7, 7), 1024, "GAP"),
    "clip_vit": ((14, 14), 768, "[CLS]"),
    "dinov1_resnet50": ((7, 7), 2048, "GAP"),
    "dinov1_vit": ((14, 14), 768, "[CLS]"),
    "dinov2": ((16, 16), 768, "[CLS]"),
    "dinov3_convnext": ((7, 7), 1024, "GAP"),
    "dinov3": ((14, 14), 768, "[CLS]"),
    "mae": ((14, 14), 768, "[CLS]"),
    "beit3": ((14, 14), 768, "[CLS]"),
    # A.8: CLIP's ResNet-50
    "pubmedclip": ((7, 7), 2048, "AttnPool"),
    # ours
    "symbols": ((7, 7), 512, "GAP"),
}


def test_every_row_of_the_paper_is_there() -> None:
    found = {name: (spec.grid, spec.dim, spec.aggregation) for name, spec in CATALOG.items()}
    assert found == PAPER


@pytest.mark.parametrize("name", PAPER)
def test_real_architecture(name: str) -> None:
    spec = CATALOG[name]
    size = 112 if name == "symbols" else 224
    classes = {"num_classes": 20} if name == "symbols" else {}
    torch.manual_seed(0)  # the same weights whatever ran before
    model = find_source(spec).build(size, {**spec.model_args, **classes}, None)
    count = sum(parameter.numel() for parameter in model.parameters())
    longer = (37**2 - 16**2) * 768 if name == "dinov2" else 0  # positions of its own 518 pixels
    assert spec.parameters == count + longer
    images = zoo.draw_images(size, count=2)
    zoo.randomise(getattr(model, "visual", model), images)
    backbone = assemble(spec, model, Preprocess(crop=size), weights_sha256="random")
    anatomy = backbone.anatomy
    assert (backbone.grid, backbone.dim) == PAPER[name][:2]
    assert (anatomy.verdict, anatomy.readout) == (spec.verdict, spec.readout)
    exact, pointwise = zoo.errors(anatomy, images)
    if spec.readout is None:
        assert exact is None
        assert pointwise > 1e-2
    else:
        assert exact <= 1e-5
    gc.collect()


def test_catalog_needs_no_torch() -> None:
    code = (
        "import sys, auditor.models.catalog as c, auditor.models.imagenet as i; c.rows(); i.real_labels('x');"
        "print(sorted({'torch', 'timm', 'open_clip', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rows_are_whole() -> None:
    for row in rows():
        assert row.grid[0] > 0
        assert row.dim > 0
        assert row.readout
        assert row.note, f"{row.name} names neither table nor licence"


def test_names_of_the_libraries() -> None:
    assert resolve("timm/resnet18").model == "resnet18"
    assert resolve("open_clip/RN50:openai").library == "open_clip"
    assert resolve("dinov2").model == "vit_base_patch14_dinov2.lvd142m"


@pytest.mark.parametrize(
    ("name", "hint"), [("dinov22", "dinov2"), ("???", "audit models"), ("timm/", "timm")]
)
def test_unknown_name_says_what_there_is(name: str, hint: str) -> None:
    with pytest.raises(BackboneError, match=hint):
        resolve(name)


def write(path: Path, said: str | None) -> Path:
    save_file({"w": torch.zeros(1)}, path, metadata=None if said is None else {"audit": said})
    return path


def test_file_describes_itself(tmp_path: Path) -> None:
    preprocess = {
        "resize": 112,
        "crop": 112,
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "interpolation": "bilinear",
    }
    said = {
        "arch": "resnet10t",
        "model_args": {"output_stride": 16},
        "classes": ["a", "b"],
        "preprocess": preprocess,
    }
    spec = resolve(str(write(tmp_path / "m.safetensors", json.dumps(said))))
    assert (spec.library, spec.model, spec.model_args) == ("timm", "resnet10t", {"output_stride": 16})
    assert spec.classes == ("a", "b")
    assert spec.preprocess == Preprocess(112, 112, (0.5,) * 3, (0.25,) * 3, "bilinear")


def test_file_without_description_asks_for_the_model(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"--backbone timm/NAME --weights"):
        resolve(str(write(tmp_path / "m.safetensors", None)))


@pytest.mark.parametrize("said", ["{", "[]", "{}", '{"arch": "resnet18", "classes": [], "preprocess": {}}'])
def test_damaged_description(tmp_path: Path, said: str) -> None:
    with pytest.raises(BackboneError, match="damaged"):
        resolve(str(write(tmp_path / "m.safetensors", said)))


@pytest.mark.parametrize(
    "content", [b"", b"abc", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]", b"\x10\0\0\0\0\0\0\0{"]
)
def test_no_safetensors_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(BackboneError, match="damaged"):
        read_header(path)


def test_missing_file() -> None:
    with pytest.raises(BackboneError, match="no weights at"):
        resolve("nowhere/m.safetensors")
