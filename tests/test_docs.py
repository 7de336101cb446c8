"""docs/metrics.md says what the records say, and searching for a metric's title leads to its definition."""

from __future__ import annotations

import ast
import runpy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auditor.questions import QUESTIONS
from auditor.report.metric import Metric, metrics_of

ROOT = Path(__file__).parents[1]
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "generate_metrics.py"))


def metrics() -> Iterator[Metric]:
    """Every metric of every question."""
    for question in QUESTIONS:
        for kind in SCRIPT["records_in"](question.load("record")):
            yield from metrics_of(kind).values()


def test_the_page_of_metrics_is_up_to_date() -> None:
    """Else run: python docs/generate_metrics.py"""
    assert SCRIPT["PAGE"].read_text(encoding="utf-8") == SCRIPT["write_page"]()


def test_every_metric_is_on_the_page() -> None:
    lines = SCRIPT["PAGE"].read_text(encoding="utf-8").splitlines()
    titles = {line.split(" | ")[0].removeprefix("| ") for line in lines}
    assert {metric.title for metric in metrics()} <= titles


def literals(path: Path) -> Iterator[str]:
    """Every string that a module spells out; of headings divided by bars, each."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from node.value.split("|")


SPELLED = Counter(word for path in sorted((ROOT / "auditor").rglob("*.py")) for word in literals(path))


RATES = sorted(
    metric.title
    for metric in set(metrics())
    if metric.unit in ("percent", "points")
    and not metric.title.endswith(" by chance")  # made of another title
)


@pytest.mark.parametrize("title", RATES)
def test_a_title_is_spelled_out_where_it_is_defined_and_nowhere_else(title: str) -> None:
    """Counts and p-values bear words of other tables too: images, lost, q."""
    assert SPELLED[title] == 1
