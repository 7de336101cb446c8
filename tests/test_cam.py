"""Class maps against HiResCAM written from its definition, and stored features against the live model.

As a picture, the hottest cell is the brightest.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_audit
from PIL import Image
from rich.console import Console

from auditor.data.occlusion import normalise
from auditor.data.pixels import load_input
from auditor.errors import CellError, DatasetError, IndexDamaged
from auditor.models.weights import load_backbone
from auditor.questions.cam.ask import cam, live_scores
from auditor.questions.cam.draw import draw_class_maps
from auditor.questions.cam.record import ClassMap, ClassMaps
from auditor.questions.relevance.ask import relevance
from auditor.report.views import view_of
from auditor.report.write import write_table
from auditor.store import Index
from auditor.terminal.console import print_view

torch.set_num_threads(1)

IMAGE = "images/000003.png"
CROP = Image.new("RGB", (112, 112), (128, 128, 128))


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small index whose cells are scored by probes, one per fold."""
    folder = tmp_path_factory.mktemp("probed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_audit("synth", "scenes", "--images", "40", "--seed", "3")
        run_audit("index", "scenes", "--head", "probe", "--name", "probed")
    with Index.open(folder / "indexes" / "probed") as index:
        yield index


def hirescam(index: Index, label: int) -> np.ndarray:
    """The sum over channels of activation times gradient of the class's logit (Draelos and Carin, 2020)."""
    backbone = load_backbone("symbols")
    model: Any = backbone.anatomy.tower.module
    pixels, _ = load_input(Path(index.manifest.dataset.root, IMAGE), index.manifest.preprocess)
    images = normalise(torch.tensor(pixels)[None], index.manifest.preprocess)
    activation = model.forward_features(images).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model.forward_head(activation)[0, label], activation)
    return (activation * gradient).sum(1)[0].detach().numpy()


@pytest.mark.parametrize("label", [3, 8, 12])
def test_a_map_is_hirescam_up_to_bias_and_relu(scenes: Index, label: int) -> None:
    found = cam(scenes, IMAGE, [label]).maps[0].cells
    bias = load_backbone("symbols").anatomy.affine[1][label].item()  # type: ignore[index]
    expected = hirescam(scenes, label) * found.size  # the gradient of a mean is a share of 1 / (H W)
    np.testing.assert_allclose(found - bias, expected, atol=2e-3 * np.abs(expected).max())  # fp16 features
    rectified = np.maximum(expected, 0), np.maximum(found - bias, 0)
    assert np.corrcoef(rectified[0].ravel(), rectified[1].ravel())[0, 1] > 1 - 1e-6


def test_an_exact_map_has_the_images_score_as_its_mean(scenes: Index) -> None:
    found = cam(scenes, IMAGE, range(20))
    assert found.is_exact
    for each in found.maps:
        assert each.mean == pytest.approx(each.score, abs=1e-3)


def test_stored_features_and_the_live_model_agree(scenes: Index) -> None:
    cells, whole = live_scores(scenes, IMAGE, [3, 12], "pointwise")
    found = cam(scenes, IMAGE, [3, 12]).maps
    np.testing.assert_allclose(np.stack([each.cells for each in found], -1), cells, atol=0.05, rtol=2e-3)
    np.testing.assert_allclose([each.score for each in found], whole, atol=0.01, rtol=2e-3)


@pytest.mark.parametrize("readout", ["pointwise", "exact"])
def test_a_probe_scores_an_image_by_the_head_that_never_saw_it(
    probed: Index, readout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**probed.manifest.options, "readout": readout}
    monkeypatch.setattr(probed, "manifest", replace(probed.manifest, options=options))
    for image in range(8):
        path = probed.path_of(image)
        maps = cam(probed, path, [0, 5]).maps
        stored = np.stack([each.cells for each in maps], -1), np.array([each.score for each in maps])
        for found, expected in zip(stored, live_scores(probed, path, [0, 5], readout), strict=True):
            np.testing.assert_allclose(found, expected, atol=5e-3, rtol=2e-3)
        if readout == "exact":
            np.testing.assert_allclose(stored[0].mean((0, 1)), stored[1], atol=5e-3)


def test_relevance_explains_the_same_score_of_a_probe(probed: Index) -> None:
    path = probed.path_of(2)
    found = relevance(probed, path, 3, 3, 5)
    assert found.score == pytest.approx(cam(probed, path, [5]).maps[0].cells[3, 3], abs=5e-3)


def test_a_pointwise_probe_does_not_claim_to_add_up(probed: Index) -> None:
    assert not cam(probed, probed.path_of(0), [1]).is_exact


def test_an_image_file_that_is_not_indexed(scenes: Index, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.png"
    shutil.copy(Path(scenes.manifest.dataset.root, IMAGE), copy)
    found, known = cam(scenes, str(copy), [12]), cam(scenes, IMAGE, [12])
    np.testing.assert_allclose(found.maps[0].cells, known.maps[0].cells, atol=0.05, rtol=2e-3)
    with pytest.raises(CellError, match="close matches"):
        cam(scenes, "nowhere.png", [12])
    with pytest.raises(CellError, match="name one with --class"):
        cam(scenes, str(copy))


def test_an_image_has_the_maps_of_its_own_class_and_of_the_predicted_one(scenes: Index) -> None:
    rows = scenes.query("SELECT path, labels, top5_original[1] AS predicted FROM images")
    for path, labels, predicted in zip(*rows.values(), strict=True):
        shown = [each.label for each in cam(scenes, str(path)).maps]
        assert shown == list(dict.fromkeys([*labels[:3], predicted]))


def test_classes_by_id_name_and_list(demo: Path, ask: Callable[..., Any]) -> None:
    maps = ask("cam", IMAGE, "--class", "3,star cross", "--class", "bar dot", "--class", "3")["maps"]
    assert [each["name"] for each in maps] == ["star dot", "star cross", "bar dot"]
    assert np.shape(maps[0]["cells"]) == (7, 7)
    with pytest.raises(DatasetError, match=r"close matches: .*star dot"):
        ask("cam", IMAGE, "--class", "3,star dott")


def test_an_affine_head_needs_no_torch(demo: Path) -> None:
    script = (
        "import sys\nfrom auditor.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "assert not {'torch', 'timm', 'open_clip'} & set(sys.modules)\n"
    )
    words = [sys.executable, "-c", script, "cam", IMAGE, "--class", "12", "--json", "--out", "cam.png"]
    done = subprocess.run(words, cwd=demo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["is_exact"]
    assert (demo / "cam.png").is_file()


def test_a_damaged_head_is_named(demo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(demo / "indexes" / "scenes-symbols", copy)
    (copy / "heads" / "own.safetensors").write_bytes(b"nothing")
    with Index.open(copy) as index, pytest.raises(IndexDamaged, match=r"own\.safetensors"):
        cam(index, IMAGE, [3])


def maps(count: int = 2) -> ClassMaps:
    cells = [np.zeros((7, 7)) for _ in range(count)]
    for index, each in enumerate(cells):
        each[2, index] = 9.0
    found = tuple(ClassMap(i, f"[red]class {i}", 1.0, each) for i, each in enumerate(cells))
    return ClassMaps("an index", "a/\x1b[31mb.png", "pointwise", True, found)


def test_the_hottest_cell_is_the_brightest() -> None:
    drawn = np.asarray(draw_class_maps(CROP, maps()).convert("L"), dtype=float)
    panel = 480 + 10 + 22 + 96 + 28
    for index in range(2):
        left, top = 28 + index * panel, 74
        side = drawn[top : top + 480, left : left + 480]
        row, col = np.unravel_index(side.argmax(), side.shape)
        assert (row * 7 // 480, col * 7 // 480) == (2, index)


def test_many_maps_and_a_flat_one() -> None:
    wide, tall = draw_class_maps(CROP, maps(1)), draw_class_maps(CROP, maps(6))
    assert tall.height > 2 * 480 > wide.height
    flat = ClassMaps("i", "p", "exact", False, (ClassMap(0, "c", 0.0, np.full((14, 14), 2.0)),))
    assert draw_class_maps(CROP, flat).height == wide.height


def test_a_console_and_a_file_hold_every_map(tmp_path: Path) -> None:
    output = io.StringIO()
    print_view(view_of(maps()), Console(width=120, file=output))
    for word in ("[red]class 0", "\\x1b[31mb.png", "2,0"):
        assert word in output.getvalue()
    write_table(maps(), tmp_path / "t.csv")
    assert len(list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))) == 98
