"""What an index was asked before: kept beside it, the same answer, none of another state or code."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

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
from auditor.store import Index, IndexWriter, once, read_current
from auditor.store.check import check
from indexes import describe, make_index, make_world, write_world

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


def test_an_answer_that_other_code_gave_is_asked_again(path: Path) -> None:
    known = ask(path, causes)
    (name,) = kept_files(path)
    (file,) = path.glob(f"derived/*/{name}")
    content = json.loads(file.read_bytes())
    content["by"][0] = "other sources"
    content["answer"]["wrong"]["hits"] += 1
    with Index.open(path) as index:
        index.keep(name, lambda to: (to.write_text(json.dumps(content)), None)[1])
        assert repr(causes(index)) == repr(known)
    assert repr(ask(path, causes)) == repr(known)


def test_what_a_plug_in_answers_is_kept_while_the_index_is_open(path: Path) -> None:
    @once
    def plugged(index: Index) -> list[object]:
        return [index.images]

    with Index.open(path) as index:
        assert plugged(index) is plugged(index)
    assert not kept_files(path)


def test_a_sentence_names_the_index_as_it_is_called_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = replace(make_world(3, 12), present=[[set()] * 9 for _ in range(12)])
    images = [replace(image, foreground=None, present=None) for image in describe(world)]
    path = make_index(tmp_path / "indexes" / "bare", images)
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        assert ask(path, metrics) == ask(path, metrics.__wrapped__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("harm", ["flipped", "gone", "no JSON", "another shape"])
def test_a_damaged_answer_is_found_and_asked_again(path: Path, harm: str) -> None:
    known = ask(path, causes)
    (name,) = kept_files(path)
    (file,) = path.glob(f"derived/*/{name}")
    content = file.read_bytes()
    if harm == "flipped":
        file.write_bytes(content[:-1] + b" ")
    elif harm == "gone":
        file.unlink()
    else:
        text = "{" if harm == "no JSON" else json.dumps(json.loads(content) | {"answer": [1]})
        with Index.open(path) as index:
            index.keep(name, lambda to: (to.write_text(text), None)[1])
    assert check(path).is_sound == (harm not in ("flipped", "gone"))
    assert repr(ask(path, causes)) == repr(known)
    assert file.read_bytes() == content
    assert check(path).is_sound


def test_an_index_that_stays_open_answers_when_two_generations_passed(path: Path) -> None:
    known = ask(path, causes)
    with Index.open(path) as index:
        for removed in ([0], [0, 1], [0, 1, 2]):
            with IndexWriter.resume(path) as writer:
                writer.set_removed(removed)
                writer.finish()
        assert repr(causes(index)) == repr(known)
        shutil.rmtree(path)
        assert confusion(index).images == 40


def test_who_keeps_an_answer_leaves_the_index_readable_for_others(path: Path) -> None:
    (stated,) = path.glob("derived/*/generation.json")
    stated.chmod(0o664)
    before = os.umask(0o077)
    try:
        ask(path, causes)
    finally:
        os.umask(before)
    assert stated.stat().st_mode & 0o777 == 0o664
