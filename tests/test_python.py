"""Python's way in: docs/python.md runs, records show themselves, plug-ins are questions too."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import auditor
from auditor.errors import AuditError, IndexMissing
from auditor.questions import QUESTIONS

ROOT = Path(__file__).parents[1]
NAME = "audit_brightness"

PLUG_IN = {
    "__init__.py": '"""How bright are the images?"""\n',
    "record.py": """
from dataclasses import dataclass

from auditor.report.record import Record


@dataclass(frozen=True, slots=True)
class Brightness(Record):
    index: str
    images: int
""",
    "ask.py": """
from audit_brightness.record import Brightness
from auditor.report.wish import Answer


def brightness(index):
    return Brightness(index.name, index.summary().images)


def report(index, wish):
    yield Answer(brightness(index))
""",
    "view.py": """
from audit_brightness.record import Brightness
from auditor.report.tables import Entry, Table, columns_of
from auditor.report.views import View


def view_brightness(record):
    row = (Entry(record.index), Entry(str(record.images)))
    return View("How bright", (Table("Brightness", columns_of("Index", "Images"), (row,)),))


VIEWS = {Brightness: view_brightness}
""",
    "command.py": '''
from auditor.terminal.question import question


@question()
def brightness(index):
    """Say how bright the images are.

    Example: audit brightness
    """
    from audit_brightness.ask import brightness as ask

    return ask(index)
''',
}


def test_the_examples_of_the_documentation_run(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    assert len(blocks) > 4
    exec(compile("\n".join(blocks), "docs/python.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "Loc. 0." in printed
    assert "\n16\n" in printed
    assert "star dot" in printed or "triangle cross" in printed


def test_every_question_is_a_function_of_its_name() -> None:
    for question in QUESTIONS:
        assert callable(getattr(auditor, question.name))
        assert question.name in dir(auditor)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = auditor.nonsense
    with pytest.raises(IndexMissing):
        auditor.open("no/such/index")


def test_a_record_shows_itself_in_a_notebook(demo: Path) -> None:
    with auditor.open("indexes/scenes-symbols") as index:
        html = auditor.context(index)._repr_html_()
    assert html.count("<table>") == 1
    assert "star dot" in html
    assert "<script" not in html


def test_columns_are_what_files_hold(demo: Path) -> None:
    with auditor.open("indexes/scenes-symbols") as index:
        ranking = auditor.context(index)
    lists = auditor.columns(ranking)
    assert lists["name"] == [row.name for row in ranking.rows]
    assert lists["bg_act_hits"] == [row.bg_act.hits for row in ranking.rows]
    pandas = pytest.importorskip("pandas")
    frame = auditor.columns(ranking, to="pandas")
    assert isinstance(frame, pandas.DataFrame)
    np.testing.assert_allclose(frame["loc_value"], [row.loc.value for row in ranking.rows])


def test_a_missing_package_is_named(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    with (
        auditor.open("indexes/scenes-symbols") as index,
        pytest.raises(AuditError, match="pip install pyarrow"),
    ):
        auditor.columns(auditor.context(index), to="arrow")


# ------------------------------------------------------------------------------------- plug-ins


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch environment into which pip has installed a little package that holds a question."""
    folder = tmp_path_factory.mktemp("plug-in")
    wheel = folder / f"{NAME}-1.0-py3-none-any.whl"
    facts = f"{NAME}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in PLUG_IN.items():
            archive.writestr(f"{NAME}/{name}", text)
        archive.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
        archive.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{facts}/entry_points.txt", f"[auditor.questions]\nbrightness = {NAME}\n")
        archive.writestr(f"{facts}/RECORD", "")
    target = folder / "site"
    words = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", *words, "--target", str(target), str(wheel)], check=True)
    return target


def run(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path.insert(0, {str(site)!r}); "
    code = f"{path}sys.argv = ['audit', *{list(words)!r}]; from auditor.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


def test_an_installed_question_is_a_command_and_a_section(site: Path, demo: Path, tmp_path: Path) -> None:
    assert "brightness" in run(site, demo, "--help").stdout
    assert json.loads(run(site, demo, "brightness", "--json").stdout)["images"] == 160
    assert "Brightness" in run(site, demo, "brightness").stdout
    page = tmp_path / "page.html"
    done = run(site, demo, "report", "--out", str(page))
    assert done.returncode == 0, done.stderr
    assert "How bright" in page.read_text()


def test_an_installed_question_is_a_function(site: Path, demo: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\nimport auditor\n"
        "with auditor.open('indexes/scenes-symbols') as index: print(auditor.brightness(index).images)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=demo, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "160", done.stderr


@pytest.mark.parametrize(
    "broken", ["import nothing_of_this_name", "raise SystemExit('nothing_of_this_name')"]
)
def test_a_broken_question_stops_no_other(broken: str, site: Path, demo: Path) -> None:
    command = site / NAME / "command.py"
    whole = command.read_text()
    try:
        command.write_text(broken)
        done = run(site, demo, "metrics", "--json")
        listed = run(site, demo, "--help")
        asked = run(site, demo, "brightness")
    finally:
        command.write_text(whole)
    assert (done.returncode, done.stderr) == (0, "")  # which does not load it
    assert json.loads(done.stdout)
    assert (listed.returncode, asked.returncode) == (0, 2)
    assert "metrics" in listed.stdout
    for each in (listed, asked):
        assert "the question brightness of" in each.stderr
        assert "nothing_of_this_name" in each.stderr
