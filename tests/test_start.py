"""`audit index` before the model: which backbone, and what is said without loading torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
from photos import write_photo

import auditor
from auditor.errors import BackboneError
from auditor.indexing.request import Request, choose_backbone
from auditor.indexing.start import build_index
from auditor.models.catalog import CATALOG, resolve
from auditor.models.names import check_name, open_clip_names, timm_names
from auditor.records.watch import Silence

SCRIPT = """
import sys
from auditor.cli import main
code = 0
try:
    main()
except SystemExit as stop:
    code = stop.code
assert not {"torch", "timm", "open_clip"} & set(sys.modules)
sys.exit(code)
"""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with two photos that nobody synthesised."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        write_photo(tmp_path / "photos" / f"{number}.jpg", number)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "photo.safetensors").write_bytes(b"\x89PNG\r\n\x1a\n" * 9)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nofolder", "nofolder is not a folder"),
        ("empty", "empty holds no images"),
        ("photos", "--backbone resnet50   102 MB"),
        ("nofolder --backbone resnet50", "nofolder is not a folder"),
        ("photos --backbone resnet5", "no backbone is called 'resnet5'; did you mean resnet50"),
        ("photos --backbone timm/resnet5", "timm has no model resnet5; did you mean resnet50"),
        ("photos --backbone open_clip/RN5:openai", "open_clip has no model RN5; did you mean RN50"),
        ("photos --backbone none.safetensors", "no weights at none.safetensors"),
        ("photos --backbone resnet50 --weights https://a.b/c.pth", "no weights at https://a.b/c.pth"),
        ("photos --backbone dinov1_resnet50", "give it with --weights FILE"),
        ("photos --backbone resnet50 -a nofile.json", "annotations nofile.json do not exist"),
        ("photos --backbone resnet50 --weights random -a broken.json", "broken.json"),
        ("photos --backbone resnet50 --head none.safetensors", "no head at none.safetensors"),
        ("photos --backbone resnet50 --head photo.safetensors", "not a safetensors file"),
        ("photos --backbone resnet50 --classes names.txt", "give it with --head FILE"),
    ],
)
def test_what_needs_no_model_is_said_before_one_is_loaded(words: str, said: str, photos: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "index", *words.split()],
        cwd=photos,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert not Path("indexes").exists()


def test_real_images_are_asked_which_backbone(photos: Path) -> None:
    with pytest.raises(BackboneError, match="which backbone shall look at photos") as error:
        auditor.index("photos")
    for name in ("resnet50", "dinov2", "clip_vit"):
        assert f"--backbone {name}" in str(error.value)
        assert f"{round(CATALOG[name].parameters * 4 / 1e6)} MB" in str(error.value)


def test_scenes_are_looked_at_by_the_demos_network(
    photos: Path, audit: Callable[..., str], ask: Callable[..., Any]
) -> None:
    audit("synth", "scenes", "--images", "2")
    assert choose_backbone(Request(Path("scenes"))) == "symbols"
    assert choose_backbone(Request(Path("scenes/images"))) == "symbols"
    (summary,) = ask("index", "scenes")
    assert (summary["name"], summary["backbone"]) == ("scenes-symbols", "symbols")
    Path("photos/recipe.json").write_text('{"flour": 500}')
    with pytest.raises(BackboneError):
        choose_backbone(Request(Path("photos")))


def test_whoever_watches_is_told_of_every_stage(photos: Path) -> None:
    stages: list[str] = []

    class Stages(Silence):
        def start(self, stage: str, total: int) -> None:
            stages.append(stage)

    request = Request(Path("photos"), "timm/test_resnet", weights="random:0", size=96)
    build_index(request, Stages())
    assert stages == [
        "reading photos",
        "loading timm/test_resnet",
        "comparing the dataset with the index",
        "images",
        "building the database and the search index",
    ]


def test_names_are_those_that_the_libraries_know() -> None:
    assert timm_names() == set(timm.list_models())
    assert open_clip_names() == set(open_clip.list_models())
    for name in ("timm/resnet18.a1_in1k", "timm/convnext_base_in22k", "open_clip/RN50:openai", "dinov3"):
        check_name(resolve(name))
