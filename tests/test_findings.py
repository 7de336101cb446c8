"""Findings: the planted faults first, and nothing where nothing is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import run_audit

from auditor.questions.context.ask import FOUND, context
from auditor.questions.findings.ask import findings
from auditor.report.views import view_of
from auditor.store import Index
from indexes import make_index, random_images

PLANTED = ["star dot", "triangle cross"]


def subjects(answer: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(each["subject"] for each in answer["findings"]))


def test_the_planted_faults_are_the_findings_of_the_demo(
    demo: Path, ask: Callable[..., Any], audit: Callable[..., str]
) -> None:
    answer = ask("findings")
    assert subjects(answer)[:2] == PLANTED
    first, second = answer["findings"][:2]  # both of the texture: the context, then the class without objects
    assert (first["words"][0], second["words"][0]) == ("similar", "context")
    assert first["rate"]["value"] > 0.8
    assert second["rate"]["value"] > 0.9
    assert second["interval"][0] > 0.8
    said = audit("findings")
    assert said.count("Look closer: audit context --index scenes-symbols ") >= 2


def test_scenes_without_faults_give_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Any], audit: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_audit("synth", "scenes", "--images", "120", "--seed", "11")
    run_audit("index", "scenes")
    assert subjects(ask("findings")) == []
    assert "Nothing that the number of images supports" in audit("findings")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("is_faulty", [True, False])
def test_both_faults_over_five_seeds_with_the_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Any], seed: int, is_faulty: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    faults = ("--texture", PLANTED[0], "--marker", PLANTED[1]) if is_faulty else ()
    run_audit("synth", "scenes", "--images", "300", "--seed", str(seed), *faults)
    run_audit("index", "scenes")
    run_audit("map")
    found = subjects(ask("findings"))
    assert sorted(found[:2]) == PLANTED if is_faulty else not found


def test_every_finding_is_a_row_that_its_interval_supports(demo: Path) -> None:
    with Index.open(Path("indexes/scenes-symbols")) as index:
        answer, rows = findings(index), context(index, by="bg_act_wo_fg").rows
    supported = {row.name for row in rows if (row.least_excess or 0) >= FOUND}
    assert {each.subject for each in answer.findings if each.words[0] == "context"} == supported
    numbers = [int(line.split(". ", 1)[0]) for line in view_of(answer).notes[: len(answer.findings)]]
    ordered = list(dict.fromkeys(each.subject for each in answer.findings))
    assert numbers == [ordered.index(each.subject) + 1 for each in answer.findings]
    assert sorted(set(numbers)) == list(range(1, len(ordered) + 1))


def test_what_cannot_be_asked_is_a_note(tmp_path: Path) -> None:
    images = random_images(2, 8)
    for image in images:
        image.present = image.foreground = None
    with Index.open(make_index(tmp_path / "bare", images)) as index:
        answer = findings(index)
    assert answer.findings == ()
    assert any("Context dependence" in note for note in answer.notes)
