"""The rooms know each other in one direction only, and starting up stays cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "auditor"
GROUND = {"errors", "records", "grids", "files"}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "grids": {"errors"},
    "records": {"grids"},
    "data": GROUND,
    "models": GROUND,
    "store": GROUND,
    "train": GROUND | {"data", "models"},
    "indexing": GROUND | {"data", "models", "store"},
    "measure": GROUND | {"store"},
    "search": GROUND | {"store", "measure"},
    "explain": GROUND | {"data", "models", "store", "indexing"},
    "report": GROUND,
    "draw": GROUND | {"report"},
    "cli": GROUND
    | {"data", "models", "store", "train", "indexing", "measure", "search", "explain", "report", "draw"},
}
PACKAGES = {
    "data": {"numpy", "PIL", "torch", "torchvision", "pycocotools", "duckdb"},
    "models": {"numpy", "torch", "timm", "open_clip", "safetensors", "huggingface_hub"},
    "store": {"numpy", "duckdb", "faiss", "filelock", "safetensors"},
    "train": {"numpy", "PIL", "torch", "torchvision", "safetensors"},
    "indexing": {"numpy", "PIL", "torch", "torchvision"},
    "measure": {"numpy", "duckdb", "scipy"},
    "search": {"numpy", "faiss", "umap", "scipy", "sklearn"},
    "explain": {"numpy", "PIL", "torch", "zennit", "cv2"},
    "report": {"PIL", "jinja2", "markupsafe", "rich", "duckdb", "numpy"},
    "draw": {"PIL", "matplotlib", "numpy"},
    "cli": {"typer", "rich", "PIL"},
    "errors": set(),
    "files": set(),
    "grids": {"numpy"},
    "records": {"numpy"},
}
HEAVY = {"torch", "timm", "open_clip", "umap"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names of every module that a file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module or "")
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py") if not path.name.startswith("__"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_in_one_direction(path: Path) -> None:
    room = room_of(path)
    known = {name.split(".")[1] for name in imports(path) if name.startswith("auditor.")}
    assert known - {room} <= MAY_IMPORT[room]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_use_only_their_packages(path: Path) -> None:
    others = {name.split(".")[0] for name in imports(path)} - {"auditor"} - set(sys.stdlib_module_names)
    assert others <= PACKAGES[room_of(path)]


def test_every_room_is_listed() -> None:
    assert {room_of(path) for path in FILES} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["index", "--help"],
        ["models"],
        ["list"],
        ["metrics"],
        ["context"],
        ["context", "--class", "star dot"],
        ["threshold"],
        ["pool"],
        ["grid", "000000.png"],
        ["similar", "--patch", "000000.png:1,2"],
        ["match", "000000.png", "000001.png"],
        ["report", "--patch", "000000.png:1,2"],
        ["check"],
    ],
    ids=" ".join,
)
def test_questions_load_no_heavy_library(command: list[str], demo: Path) -> None:
    script = (
        "import sys\n"
        "from auditor.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"loaded = {HEAVY!r} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=demo, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
