"""`audit pool`: pooling rules against NumPy written from their definitions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from conftest import run_audit
from numpy.typing import NDArray

from auditor.errors import AuditError, BackboneError, IndexDamaged
from auditor.measure.scores import are_surer, evidence, require_scores
from auditor.questions.pool.ask import RULES, pool
from auditor.records import Rate
from auditor.store import Index
from indexes import World, exchange_head, make_world, softmax, write_world

CLOSE = 0.01  # scores nearer than this may swap by the rounding of stored features


def pooled_by_definition(
    rule: str, scores: NDArray[Any], present: list[set[int]], temperature: float, tau: float
) -> tuple[list[float], bool]:
    """One score per class, cell by cell, and whether the rule kept none."""
    cells = range(len(scores))
    kept = list(cells)
    if rule == "foreground":
        kept = [cell for cell in cells if present[cell]]
    if rule == "threshold":
        kept = [cell for cell in cells if max(softmax(scores[cell])) > tau]
    fell_back = not kept
    result = []
    for label in range(scores.shape[1]):
        values = [float(scores[cell, label]) for cell in (cells if fell_back else kept)]
        match rule:
            case "max":
                result.append(max(values))
            case "top5":
                result.append(sum(sorted(values)[-5:]) / 5)
            case "lse":
                total = sum(math.exp(value / temperature) for value in values) / len(values)
                result.append(temperature * math.log(total))
            case _:
                result.append(sum(values) / len(values))
    return result, fell_back


def test_cells_are_surer_where_the_softmax_of_scipy_says_so() -> None:
    """Also within a millionth of tau, which single precision does not tell."""
    scores = np.random.default_rng(0).normal(0, 3, (300, 4, 5)).astype(np.float32)
    surest = scipy.special.softmax(scores.astype(np.float64), axis=-1).max(axis=-1)
    for tau in (0.0, 0.5, 1.0, *(surest[::50, 0] * (1 + 1e-9)), *(surest[::50, 1] * (1 - 1e-9))):
        assert are_surer(scores, float(tau)).tolist() == (surest > tau).tolist()


def test_what_cells_add_to_classes_is_that_of_plain_loops(tmp_path: Path) -> None:
    world, masks = make_world(2, 4), np.random.default_rng(1).random((3, 9))
    with Index.open(write_world(tmp_path / "i", world)) as index:
        (parts,) = evidence(require_scores(index), np.array([2]), masks[None])
    for mask, part in zip(masks, parts, strict=True):
        added = [
            sum(mask[cell] * float(world.features[2, cell] @ weight) for cell in range(9))
            for weight in world.weight
        ]
        assert part == pytest.approx(np.array(added) - np.mean(added), abs=CLOSE)


def assert_row_equals(found: Any, rule: str, world: World, temperature: float, tau: float) -> None:
    own = world.scores.mean(axis=1).argmax(axis=-1)
    row = next(row for row in found.rows if row.rule == rule)
    predicted, fallbacks, unsure = [], 0, 0
    for scores, present in zip(world.scores, world.present, strict=True):
        pooled, fell_back = pooled_by_definition(rule, scores, present, temperature, tau)
        fallbacks += fell_back
        best = sorted(pooled)
        unsure += best[-1] - best[-2] < CLOSE
        predicted.append(int(np.argmax(pooled)))
    assert unsure == 0  # the worlds are chosen so, and then everything is equal
    labels = [min(label) for label in world.labels]
    triples = list(zip(own.tolist(), predicted, labels, strict=True))
    assert row.fallbacks == fallbacks
    assert row.accuracy == Rate(sum(now == label for _, now, label in triples), len(labels))
    assert row.changed == sum(before != now for before, now, _ in triples)
    assert row.gained == sum(before != now == label for before, now, label in triples)
    assert row.lost == sum(now != before == label for before, now, label in triples)
    changes = [change for change in found.changes if change.rule == rule]
    assert [(change.path, change.before, change.after) for change in changes] == [
        (path, world.names[before], world.names[now])
        for path, (before, now, _) in zip(world.paths, triples, strict=True)
        if before != now
    ]
    assert [change.effect for change in changes].count("gained") == row.gained
    assert [change.effect for change in changes].count("lost") == row.lost


def decided(seed: int, count: int, temperature: float, tau: float) -> World:
    """A world without the images on which some rule has a near tie, or a cell is near the threshold."""
    world = make_world(seed, 2 * count, noise=1.6)

    def is_clear(row: int) -> bool:
        for rule in RULES:
            pooled, _ = pooled_by_definition(rule, world.scores[row], world.present[row], temperature, tau)
            best = sorted(pooled)
            if best[-1] - best[-2] < CLOSE:
                return False
        return bool((np.abs(softmax(world.scores[row]).max(axis=1) - tau) > CLOSE).all())

    rows = [row for row in range(2 * count) if is_clear(row)][:count]
    return replace(
        world,
        features=world.features[rows],
        labels=[world.labels[row] for row in rows],
        present=[world.present[row] if row % 7 else [set() for _ in range(9)] for row in rows],
    )


@pytest.mark.parametrize(("seed", "temperature", "tau"), [(1, 1.0, 0.5), (2, 0.3, 0.97), (3, 10.0, 0.9)])
def test_rules_equal_their_definitions(tmp_path: Path, seed: int, temperature: float, tau: float) -> None:
    world = decided(seed, 60, temperature, tau)
    with Index.open(write_world(tmp_path / "index", world)) as index:
        found = pool(index, temperature=temperature, tau=tau)
    assert [row.rule for row in found.rows] == list(RULES)
    for rule in RULES:
        assert_row_equals(found, rule, world, temperature, tau)
    assert {row.rule for row in found.rows if row.changed} >= {"max", "top5", "foreground", "threshold"}
    assert found.agreement == Rate(60, 60)
    assert found.own == found.rows[0].accuracy


def test_an_image_without_cells_to_keep_is_averaged(tmp_path: Path) -> None:
    world = make_world(4, 20)
    with Index.open(write_world(tmp_path / "index", world)) as index:
        found = pool(index, rules=("threshold",), tau=1.0)
    (row,) = found.rows
    assert (row.fallbacks, row.changed) == (20, 0)


def test_wilson_interval_of_the_accuracy_by_hand(tmp_path: Path) -> None:
    world = make_world(5, 10)
    world.labels = [(k,) for k in world.scores.mean(axis=1).argmax(axis=-1).tolist()]
    with Index.open(write_world(tmp_path / "index", world)) as index:
        (row,) = pool(index, rules=("mean",)).rows
    assert row.accuracy == Rate(10, 10)
    assert row.interval == pytest.approx((10 / (10 + 1.959964**2), 1.0))


def test_a_probe_averages_to_its_image_score_in_the_exact_readout(tmp_path: Path) -> None:
    """Its pointwise readout divides each cell by its own length, the exact one by the pooled vector's."""
    from safetensors.numpy import load_file, save_file

    world = make_world(6, 60, noise=2.0)
    own = world.features.mean(axis=1)
    lengths = np.linalg.norm(own, axis=-1, keepdims=True)
    image = own / lengths @ world.weight.T + world.bias
    agreed = {}
    for readout in ("pointwise", "exact"):
        path = write_world(tmp_path / readout, world, options={"readout": readout})
        file = path / "heads" / "own.safetensors"
        tensors = load_file(file)
        save_file(
            {name: tensor[None] for name, tensor in tensors.items()},
            file,
            metadata={"audit_head": '{"kind": "probe", "classes": []}'},
        )
        exchange_head(path)
        with Index.open(path) as index:
            stored = index.query("SELECT top5_original[1] AS k FROM images ORDER BY id")["k"]
            found = pool(index, rules=("mean",))
        changed = {change.path: change.after for change in found.changes}
        ours = [changed.get(path, world.names[k]) for path, k in zip(world.paths, stored, strict=True)]
        agreed[readout] = sum(
            name == world.names[k] for name, k in zip(ours, image.argmax(axis=-1).tolist(), strict=True)
        )
    assert agreed["exact"] == 60 > agreed["pointwise"]


def test_the_mean_is_the_models_own_prediction_on_the_demo(demo: Path, ask: Callable[..., Any]) -> None:
    found = ask("pool", "--rules", "mean,max")
    assert found["agreement"]["hits"] == found["agreement"]["total"] > 100
    mean, largest = found["rows"]
    assert mean["changed"] == 0
    assert mean["accuracy"] == found["own"]
    assert largest["changed"] == sum(change["rule"] == "max" for change in found["changes"]) > 0


def test_a_head_that_is_not_affine_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = write_world(tmp_path / "index", make_world(7, 10))
    head = path / "heads" / "own.safetensors"
    save_file({}, head, metadata={"audit_head": '{"kind": "own", "classes": []}'})
    exchange_head(path)
    with Index.open(path) as index, pytest.raises(BackboneError, match="own head of index is not affine"):
        pool(index)
    head.write_bytes(b"nothing")
    with Index.open(path) as index, pytest.raises(IndexDamaged, match="is missing or damaged"):
        pool(index)


def test_wrong_rules_and_temperatures_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_world(Path("indexes/small"), make_world(7, 10))
    with pytest.raises(AuditError, match="'meen' is no pooling rule; there are: mean, max"):
        run_audit("pool", "--rules", "mean,meen")
    with pytest.raises(AuditError, match="above zero, not -1"):
        run_audit("pool", "--temperature", "-1")


def test_the_command_lists_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audit: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_world(Path("indexes/small"), make_world(8, 60, noise=1.6))
    shown = audit("pool", "--table", "rules.csv")
    assert "the model's own" in shown
    assert "Changed predictions" in shown
    assert len(Path("rules.csv").read_text().splitlines()) == 1 + len(RULES)
