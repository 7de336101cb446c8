"""The README is true: its commands run, every command and every file stands in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from auditor.cli.app import app
from tests.conftest import README, readme_commands

ROOT = README.parent
TOUR = readme_commands("A tour")


def commands() -> dict[str, object]:
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", TOUR[2:], ids=" ".join)
def test_the_tour_runs_as_it_stands(command: list[str], demo: Path, audit: Callable[..., str]) -> None:
    """The first two commands are the fixture that these run in."""
    printed = audit(*command)
    assert printed.strip()
    for kind, path in re.findall(r"^(picture|report|table): (.+)$", printed, re.MULTILINE):
        assert (demo / path).stat().st_size > 1000, kind


def test_the_tour_starts_from_nothing(demo: Path) -> None:
    assert TOUR[0][:2] == ["synth", "scenes"]
    assert TOUR[1][:2] == ["index", "scenes"]
    assert (demo / "indexes" / "scenes-symbols" / "index.json").exists()


@pytest.mark.parametrize("command", readme_commands("On your own data"), ids=" ".join)
def test_commands_on_other_data_are_understood(command: list[str]) -> None:
    found = commands()[command[0]]
    assert found.make_context(command[0], list(command[1:]))  # type: ignore[attr-defined]


def test_every_command_is_in_the_readme() -> None:
    told = {command[0] for command in TOUR + readme_commands("On your own data")}
    assert set(commands()) <= told


def test_every_command_has_help_with_an_example() -> None:
    for name, command in commands().items():
        assert f"Example: audit {name}" in (command.help or "") or name == "models", name  # type: ignore[attr-defined]


def tree() -> str:
    """Every module with the first line of its docstring."""
    lines = []
    for folder in [ROOT / "auditor", *sorted(p.parent for p in (ROOT / "auditor").glob("*/__init__.py"))]:
        lines.append(f"{folder.relative_to(ROOT)}/")
        for path in sorted(folder.glob("*.py")):
            if path.name != "__init__.py":
                said = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
                lines.append(f"  {path.name:<22}{said}")
    return "\n".join(lines)


def test_the_file_tree_is_this_one() -> None:
    assert tree() in README.read_text()


if __name__ == "__main__":
    print(tree())
