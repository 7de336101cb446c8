"""The rooms know each other in one direction only, and starting up stays cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from auditor.questions import QUESTIONS

PACKAGE = Path(__file__).parents[1] / "auditor"
GROUND = {"errors", "records", "grids", "files", "parquet", "remote"}
ENGINES = {"measure", "search", "explain", "indexing"}
SHOWING = {"report", "draw", "terminal"}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "parquet": {"errors"},
    "grids": {"errors"},
    "remote": {"errors"},
    "records": {"grids"},
    "data": GROUND,
    "models": GROUND,
    "store": GROUND,
    "train": GROUND | {"data", "models"},
    "indexing": GROUND | {"data", "models", "store", "search"},
    "measure": GROUND | {"store"},
    "search": GROUND | {"store", "measure"},
    "explain": GROUND | {"data", "models", "store", "indexing"},
    "report": GROUND,
    "draw": GROUND | {"report"},
    "terminal": GROUND | {"report", "draw", "store"},
    "questions": GROUND | ENGINES | SHOWING | {"data", "models", "store"},
    "page": GROUND | ENGINES | SHOWING | {"data", "store", "questions"},
    "cli": GROUND | ENGINES | SHOWING | {"data", "models", "store", "train", "questions", "page"},
}
PACKAGES = {
    "errors": set(),
    "files": set(),
    "parquet": set(),
    "grids": {"numpy"},
    "remote": {"fsspec"},
    "records": {"numpy"},
    "data": {"numpy", "PIL", "torch", "torchvision", "pycocotools", "duckdb", "yaml"},
    "models": {"numpy", "torch", "timm", "open_clip", "safetensors", "huggingface_hub", "openvino"},
    "store": {"numpy", "duckdb", "faiss", "filelock", "safetensors"},
    "train": {"numpy", "PIL", "torch", "torchvision", "safetensors"},
    "indexing": {"numpy", "PIL", "torch", "torchvision", "ray"},
    "measure": {"numpy", "duckdb", "scipy"},
    "search": {"numpy", "faiss", "umap", "scipy", "sklearn"},
    "explain": {"numpy", "PIL", "torch", "cv2"},
    "report": {"PIL", "jinja2", "markupsafe", "duckdb", "numpy"},
    "draw": {"PIL", "matplotlib", "numpy"},
    "terminal": {"typer", "rich"},
    "questions": {"numpy", "PIL", "torch", "typer", "matplotlib"},
    "page": {"numpy", "PIL", "starlette", "uvicorn"},
    "cli": {"typer"},
}
QUESTION_FILES = {"__init__.py", "record.py", "ask.py", "view.py", "draw.py", "command.py"}
LONGEST = 300  # lines of a module: at more, ask which second job crept in
HEAVY = {"torch", "timm", "open_clip", "umap"}
STORAGE = {"duckdb", "faiss", "scipy", "matplotlib", "PIL"}
SLOW = {"pydantic", "numpy.ma", "scipy", "matplotlib", "concurrent.futures", "tarfile", "pycocotools"}
MEASURING = {"scipy", "numpy.ma", "concurrent.futures"}  # hygiene, once for each index
DRAWING = SLOW | {"PIL", "auditor.report.page_parts"}
STARTED_OFTEN = {
    "list": DRAWING - MEASURING | {"faiss"},
    "metrics": DRAWING | {"faiss"},
    "context": DRAWING | {"faiss"},
    "grid 000000.png": SLOW | {"faiss"},
    "similar --patch 000000.png:1,2 --top 7 --out reports/similar.png": SLOW | {"faiss"},
    "find --box 000000.png:150,0,74,60": SLOW | {"faiss"},
    "match 000000.png 000001.png": SLOW | {"faiss"},
}
"""What these commands wait for is their answer: none of it needs these, however its options are given."""


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


TESTS = sorted(Path(__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_no_test_imports_a_test(path: Path) -> None:
    """What tests share lies in modules without tests, each known by one name: not `tests.conftest`."""
    assert not {name for name in imports(path) if name.startswith(("test_", "tests"))}


def test_every_room_is_listed() -> None:
    assert {room_of(path) for path in FILES} == set(MAY_IMPORT)


def test_the_arrows_make_no_circle() -> None:
    done: set[str] = set()
    while left := {room for room in MAY_IMPORT if room not in done and MAY_IMPORT[room] <= done}:
        done |= left
    assert done == set(MAY_IMPORT)


def test_modules_import_without_a_circle() -> None:
    """At the top of modules; what a function imports is loaded when it runs."""
    known = {dotted(path): path for path in PACKAGE.rglob("*.py")}
    edges = {name: at_start(path) & set(known) - {name} for name, path in known.items()}
    done: set[str] = set()
    while free := {name for name in edges if name not in done and edges[name] <= done}:
        done |= free
    assert set(edges) - done == set()


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def at_start(path: Path) -> set[str]:
    """Modules that importing this one imports; `from package import module` counts as the module."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inner if (PACKAGE.parent / name.replace(".", "/")).exists()}
            modules |= {n for n in inner if (PACKAGE.parent / f"{n.replace('.', '/')}.py").exists()}
            names |= modules or {node.module}
    return names


def test_modules_are_short() -> None:
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


# ------------------------------------------------------------------------------------- questions


def test_the_registry_has_every_folder_and_every_folder_the_same_files() -> None:
    folders = {path.name: path for path in (PACKAGE / "questions").iterdir() if path.is_dir()}
    folders.pop("__pycache__", None)
    assert set(folders) == {question.name for question in QUESTIONS}
    for path in folders.values():
        files = {each.name for each in path.glob("*.py")}
        assert QUESTION_FILES - {"draw.py"} <= files <= QUESTION_FILES, path.name


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "questions").rglob("*.py")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_questions_know_of_one_another_what_they_ask_and_answer(path: Path) -> None:
    own = f"auditor.questions.{path.parent.name}"
    others = {
        name for name in imports(path) if name.startswith("auditor.questions.") and not name.startswith(own)
    }
    allowed = {"record", "ask", "view"} if path.name == "view.py" else {"record", "ask"}
    assert {name.split(".")[3] for name in others if name.count(".") > 2} <= allowed


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "questions").glob("*/command.py")), ids=lambda path: path.parent.name
)
def test_commands_are_light(path: Path) -> None:
    """They parse, and call one function: whatever is heavier is imported when the command runs."""
    rooms = {name.split(".")[1] for name in at_start(path) if name.startswith("auditor.")}
    assert rooms <= {"terminal", "errors", "grids", "records"}


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["index", "--help"],
        ["models"],
        *map(str.split, STARTED_OFTEN),
        ["hygiene"],
        ["context", "--class", "star dot"],
        ["threshold"],
        ["pool"],
        ["report", "--patch", "000000.png:1,2"],
        ["concept", "marker.json"],
        ["cam", "000003.png", "--class", "3"],
        ["ledger"],
        ["shortcuts"],
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
        f"loaded = {HEAVY | STARTED_OFTEN.get(' '.join(command), set())!r} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=demo, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["context", "--help"]], ids=" ".join)
def test_help_loads_no_storage_either(words: list[str]) -> None:
    assert_not_loaded(
        f"sys.argv = ['audit', *{words!r}]\nfrom auditor.cli import main\nmain()", HEAVY | STORAGE
    )


def test_importing_auditor_loads_nothing_heavy() -> None:
    assert_not_loaded(
        "import auditor\nassert 'context' in dir(auditor)", HEAVY | STORAGE | {"numpy", "typer"}
    )


def assert_not_loaded(code: str, libraries: set[str]) -> None:
    """Run code in a fresh process, which may end by SystemExit, and look at what it has imported."""
    indented = code.replace("\n", "\n    ")
    script = (
        f"import sys\ntry:\n    {indented}\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"loaded = {libraries!r} & set(sys.modules)\nassert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
