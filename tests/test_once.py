"""What an index was asked before: kept beside it, the same answer, none of another state or code."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor.errors import IndexDamaged
from auditor.questions.artifacts.ask import artifacts
from auditor.questions.causes.ask import causes
from auditor.questions.confusion.ask import confusion
from auditor.questions.context.ask import context
from auditor.questions.hygiene.ask import hygiene
from auditor.questions.labels.ask import labels
from auditor.questions.leaks.ask import leaks
from auditor.questions.ledger.ask import class_ledgers
from auditor.questions.metrics.ask import metrics
from auditor.questions.pool.ask import pool
from auditor.questions.shortcuts.ask import shortcuts
from auditor.questions.threshold.ask import threshold
from auditor.records.watch import Silence
from auditor.store import Index, IndexWriter, read_current
from auditor.store.check import check
from auditor.store.once import _code_of
from indexes import make_world, write_world

KEPT = (
    *(artifacts, causes, class_ledgers, confusion, hygiene, labels),
    *(leaks, metrics, pool, threshold),
)
SPLITS = ("train", "test")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = replace(make_world(3, 40), splits=SPLITS * 20)
    return write_world(tmp_path_factory.mktemp("asked") / "index", world)


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "index"))


def kept_files(path: Path) -> list[str]:
    current = read_current(path)
    assert current is not None
    return sorted(name for name in current.files if name.startswith("answer-"))


def ask(path: Path, question: Callable[..., Any], **options: Any) -> Any:
    """As a command of its own would."""
    with Index.open(path) as index:
        return question(index, **options)


@pytest.mark.parametrize("question", KEPT, ids=lambda question: question.__name__)
def test_what_is_kept_is_what_was_worked_out(path: Path, question: Any) -> None:
    worked_out = ask(path, question.__wrapped__)
    assert not kept_files(path)
    first = ask(path, question)
    (name,) = kept_files(path)
    (file,) = path.glob(f"derived/*/{name}")
    written = file.stat().st_mtime_ns
    again = ask(path, question)
    assert file.stat().st_mtime_ns == written
    assert repr(first) == repr(again) == repr(worked_out)  # the same types, NaN like NaN
    assert type(again) is type(worked_out)
    assert check(path).is_sound


@pytest.mark.parametrize("question", [context, shortcuts], ids=lambda question: question.__name__)
def test_what_needs_covered_objects_is_kept_as_it_was_worked_out(demo: Path, question: Any) -> None:
    path = demo / "indexes" / "scenes-symbols"
    worked_out = ask(path, question.__wrapped__)
    assert repr(ask(path, question)) == repr(ask(path, question)) == repr(worked_out)
    assert [name for name in kept_files(path) if question.__name__ in name]


def test_other_options_are_another_question_and_a_bar_is_not(path: Path) -> None:
    with Index.open(path) as index:
        first = leaks(index)
        assert leaks(index, seed=0) is first
        assert leaks(index, seed=0, watch=Silence()) is first
        assert leaks(index, seed=1) is not first
    assert len(kept_files(path)) == 2


def test_an_index_that_was_renamed_answers_by_its_new_name(path: Path) -> None:
    assert ask(path, causes).index == "index"
    moved = path.rename(path.with_name("renamed"))
    assert ask(moved, causes).index == "renamed"
    assert len(kept_files(moved)) == 1


def test_another_generation_begins_without_answers(path: Path) -> None:
    before = ask(path, causes)
    with IndexWriter.resume(path) as writer:
        writer.set_removed([0, 1, 2])
        writer.finish()
    assert not kept_files(path)
    assert ask(path, confusion).images == 37
    assert repr(ask(path, causes)) == repr(ask(path, causes.__wrapped__)) != repr(before)


def test_who_may_not_write_is_answered_too(path: Path) -> None:
    with IndexWriter.resume(path):
        assert repr(ask(path, causes)) == repr(ask(path, causes.__wrapped__))
    assert not kept_files(path)


def test_what_is_asked_of_a_second_index_or_a_file_is_not_kept(tmp_path: Path) -> None:
    world, given = make_world(5, 30), make_world(6, 20, prefix="c")
    given.weight, given.bias = world.weight, world.bias
    path, real = write_world(tmp_path / "one", world), tmp_path / "real.json"
    with Index.open(path) as index, Index.open(write_world(tmp_path / "two", given)) as other:
        assert threshold(index, calibration=other) != threshold(index)
        assert len(kept_files(path)) == 1
        for labels in ([0], [1]):
            real.write_text(json.dumps(dict.fromkeys(world.paths, labels)))
            assert metrics(index, real=real) == metrics.__wrapped__(index, real=real)  # type: ignore[attr-defined]
        assert len(kept_files(path)) == 1


PLUGGED = """
from dataclasses import dataclass

from auditor.store import Index, once


@dataclass(frozen=True)
class Plugged:
    said: str


@once
def plugged(index: Index) -> Plugged:
    return Plugged("{said}")
"""


def test_code_that_was_changed_is_asked_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(path.parent)
    for said in ("one", "two"):
        (path.parent / "plugged_question.py").write_text(PLUGGED.format(said=said))
        sys.modules.pop("plugged_question", None)
        importlib.invalidate_caches()
        _code_of.cache_clear()  # each process reads it once
        assert ask(path, importlib.import_module("plugged_question").plugged).said == said
        assert len(kept_files(path)) == 1


def test_a_damaged_answer_is_refused_and_repaired(path: Path) -> None:
    known = ask(path, causes)
    (file,) = path.glob("derived/*/answer-causes-*.json")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b" ")
    with pytest.raises(IndexDamaged, match="answer-causes"):
        ask(path, causes)
    check(path, repair=True)
    assert repr(ask(path, causes)) == repr(known)
