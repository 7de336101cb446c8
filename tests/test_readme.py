"""The README is true: its commands run, every command and every file stands in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from conftest import README, readme_commands

from auditor.cli.app import app
from auditor.questions import find_question

ROOT = README.parent
TOUR = readme_commands("A tour")
OTHERS = readme_commands("Using audit", ROOT / "docs" / "using.md")


def commands() -> dict[str, object]:
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", TOUR[2:], ids=" ".join)
def test_the_tour_runs_as_it_stands(command: list[str], tour: Path, audit: Callable[..., str]) -> None:
    """The first two commands are the fixture that these run in."""
    printed = audit(*command)
    assert printed.strip()
    if find_question(command[0]) is not None or command[0] in ("check", "report"):
        assert printed.startswith("scenes-symbols: scenes, symbols, 160 images")
    for kind, path in re.findall(r"^(picture|report|table): (.+)$", printed, re.MULTILINE):
        assert (tour / path).stat().st_size > 1000, kind


def test_the_tour_starts_from_nothing(demo: Path) -> None:
    assert TOUR[0][:2] == ["synth", "scenes"]
    assert TOUR[1][:2] == ["index", "scenes"]
    assert (demo / "indexes" / "scenes-symbols" / "index.json").exists()


@pytest.mark.parametrize("command", OTHERS, ids=" ".join)
def test_commands_on_other_data_are_understood(command: list[str]) -> None:
    found = commands()[command[0]]
    assert found.make_context(command[0], list(command[1:]))  # type: ignore[attr-defined]


def test_every_command_is_in_the_readme() -> None:
    told = {command[0] for command in TOUR + OTHERS}
    assert set(commands()) <= told


def test_every_command_has_help_with_an_example() -> None:
    for name, command in commands().items():
        assert f"Example: audit {name}" in (command.help or "") or name == "models", name  # type: ignore[attr-defined]


def test_the_three_commands_are_commands() -> None:
    lines = re.findall(r"^\$ audit (\S+)", README.read_text(), re.MULTILINE)
    assert len(lines) == 3
    assert set(lines) <= set(commands())


def test_links_lead_somewhere() -> None:
    for page in (README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_room_is_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {path for path in (ROOT / "auditor").iterdir() if path.suffix == ".py" or path.is_dir()}
    names = {f"auditor/{path.name}{'/' if path.is_dir() else ''}" for path in rooms} - {
        "auditor/__pycache__/"
    }
    listed = re.findall(r"^\| `(auditor/[^`]+)` \|", page, re.MULTILINE)
    assert set(listed) == names - {"auditor/__main__.py"}


def test_what_security_promises_has_its_tests() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", (ROOT / "SECURITY.md").read_text()))
    assert named
    assert {name for name in named if not (ROOT / "tests" / name).exists()} == set()
