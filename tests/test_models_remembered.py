"""What was measured of a model is found again as it was, and only where nothing that decides it changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from same import assert_same

from auditor.models import remembered, weights
from auditor.models.backbone import Backbone
from auditor.models.heads import OwnHead, certify
from auditor.models.remembered import cache_folder, identify, remember_certificate
from auditor.models.weights import load_backbone

CNN, VIT, NORM = "timm/test_resnet", "timm/test_vit", "timm/test_convnext"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUDIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def dissected(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A list that grows with each model that is measured."""
    seen: list[object] = []
    measure = weights.dissect

    def watched(*words: Any) -> Any:
        seen.append(words)
        return measure(*words)

    monkeypatch.setattr(weights, "dissect", watched)
    return seen


def open_(name: str = CNN, **words: Any) -> Backbone:
    return load_backbone(name, **{"weights": "random:0", "size": 96, "device": "cpu"} | words)


def images(size: int = 96) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    "name",
    [CNN, VIT, NORM, "timm/test_efficientnet", "timm/test_nfnet", "timm/vit_tiny_patch16_224"],
)
def test_a_model_from_the_cache_answers_bit_for_bit(name: str, dissected: list[object]) -> None:
    size = 224 if "224" in name else 160
    first, second = (open_(name, size=size) for _ in range(2))
    assert len(dissected) == 1
    assert first.identity == second.identity != ""
    for field in ("layout", "aggregation", "head", "verdict", "readout", "note"):
        assert getattr(first.anatomy, field) == getattr(second.anatomy, field)
    with torch.no_grad():
        grids = [backbone.grid_of(images(size)) for backbone in (first, second)]
        one, other = (
            [backbone.pointwise(grid.features), *([backbone.exact(grid)] if backbone.anatomy.readout else [])]
            for backbone, grid in zip((first, second), grids, strict=True)
        )
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "timm/test_byobnet"},
        {"weights": "random:1"},
        {"size": 128},
        {"model_args": {"num_classes": "7"}},
    ],
    ids=str,
)
def test_what_decides_a_measurement_is_part_of_its_name(
    change: dict[str, Any], dissected: list[object]
) -> None:
    open_()
    open_(**change)
    assert len(dissected) == 2


@pytest.mark.parametrize("part", ["_sources", "_describe", "version"])
def test_code_device_and_versions_are_part_of_its_name(
    part: str, dissected: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_()
    monkeypatch.setattr(remembered, part, lambda *_: "another")
    open_()
    assert len(dissected) == 2


def test_statistics_of_the_input_do_not_change_a_model(dissected: list[object]) -> None:
    open_()
    open_(mean=0.5, std=0.5)
    assert len(dissected) == 1


@pytest.mark.parametrize("place", [0, 70, -1])
def test_a_damaged_file_is_not_believed(place: int, folder: Path, dissected: list[object]) -> None:
    open_()
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    open_()
    open_()
    assert len(dissected) == 2
    path.write_bytes(b"")
    open_()
    assert len(dissected) == 3


@pytest.mark.parametrize("kind", ["file", "dangling"])
def test_a_cache_that_cannot_be_written_is_done_without(
    kind: str, folder: Path, dissected: list[object]
) -> None:
    if kind == "file":
        folder.write_text("in the way")
    else:
        folder.symlink_to(folder.parent / "nowhere" / "else")
        (folder.parent / "nowhere").write_text("in the way")
    assert open_().anatomy.verdict == open_().anatomy.verdict == "exact"
    assert len(dissected) == 2


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number of nobody."""
    for name in ("AUDIT_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    with pytest.raises(RuntimeError):
        cache_folder()
    assert open_().grid == (3, 3)


def test_only_so_many_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "KEPT", 2)
    for seed in range(4):
        open_(weights=f"random:{seed}")
        for path in folder.iterdir():
            os.utime(path, ns=(path.stat().st_mtime_ns - 10**9,) * 2)
    assert len(list(folder.iterdir())) == 2


def test_nothing_else_in_its_folder_is_deleted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUDIT_CACHE may be a folder that others use too, and their files the oldest."""
    monkeypatch.setattr(remembered, "KEPT", 1)
    folder.mkdir()
    theirs = [folder / name for name in ("notes.txt", "0" * 31, "A" * 32, "0" * 33)]
    for path in theirs:
        path.write_text("theirs")
        os.utime(path, (1, 1))
    (folder / "gone").symlink_to(folder / "nowhere")
    for size in (64, 96):
        open_(size=size)
    assert all(path.read_text() == "theirs" for path in theirs)
    assert len(list(folder.iterdir())) == len(theirs) + 2


def test_a_model_that_is_not_known_by_its_weights_is_measured() -> None:
    """Whoever changes a model after it was built must not meet what was measured of another."""
    backbone = open_()
    again = weights.assemble(
        backbone.spec, backbone.anatomy.tower.module, backbone.preprocess, weights_sha256=""
    )
    assert again.identity == ""


def test_a_certificate_is_of_its_images_and_its_head(folder: Path) -> None:
    backbone, batch = open_(), images()
    head = OwnHead(backbone)
    measured = certify(backbone, head, batch)
    assert remember_certificate(backbone, head, "a", batch) == measured
    count = len(list(folder.iterdir()))
    assert remember_certificate(backbone, head, "a", batch) == measured
    assert len(list(folder.iterdir())) == count
    remember_certificate(backbone, head, "a", batch + 1)
    remember_certificate(backbone, head, "b", batch)
    remember_certificate(backbone, None, None, batch)
    assert len(list(folder.iterdir())) == count + 3
    remember_certificate(backbone, head, None, batch)
    assert len(list(folder.iterdir())) == count + 3


def test_the_users_folder_of_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AUDIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "audit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "audit"


def test_an_index_is_the_same_with_and_without_a_cache(
    audit: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    audit("synth", "scenes", "--images", "12")
    for name in ("measured", "remembered"):
        audit("index", "scenes", "--name", name)
    assert_same(*(tmp_path / "indexes" / name for name in ("measured", "remembered")))


def test_identities_differ_by_device(folder: Path) -> None:
    backbone = open_()
    assert identify(backbone.spec, 96, "w", torch.device("cpu")) != identify(
        backbone.spec, 96, "w", torch.device("meta")
    )
