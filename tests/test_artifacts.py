"""Marks that follow a value: a planted one first, exact tests against SciPy's, none in shuffled columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_audit
from photos import SMALL
from PIL import Image
from scipy.sparse import csr_array
from scipy.stats import fisher_exact

from auditor.errors import DatasetError
from auditor.measure.significance import over_represented
from auditor.questions.artifacts.ask import artifacts, findings
from auditor.search.associations import columns_of_images, compare_groups, odds_ratio
from auditor.search.content import usable_images
from auditor.store import Index
from indexes import make_index, random_images

CLASSES, EACH = 6, 100
MARKED = 8  # of 100


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of noise, six classes; a checker of 12 pixels in a corner of 8 % of the third; two splits."""
    folder = tmp_path_factory.mktemp("marked")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:12, :12] // 3
    marker = Image.fromarray(((x + y) % 2 * 255).astype(np.uint8)).convert("RGB")
    lines = []
    (folder / "photos").mkdir()
    for number in range(CLASSES * EACH):
        blocks = rng.integers(90, 170, (6, 6, 3), np.uint8)
        photo = Image.fromarray(blocks).resize((96, 96), Image.Resampling.BICUBIC)
        kind, place = number % CLASSES, number // CLASSES
        if kind == 2 and place < MARKED:
            photo.paste(marker, (8, 8))
        photo.save(folder / "photos" / f"{number:03d}.png", compress_level=1)
        line = {"path": f"{number:03d}.png", "label": f"kind {kind}", "split": ("train", "test")[place % 2]}
        lines.append(json.dumps(line | {"camera": "abc"[int(rng.integers(3))]}))
    (folder / "photos" / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_audit("index", "photos", *SMALL, "--head", "none", "--name", "marked")
    return folder


def test_a_small_marker_on_8_percent_of_a_class_is_first(
    marked: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Any]
) -> None:
    monkeypatch.chdir(marked)
    answer = ask("artifacts")
    assert answer["columns"] == ["label", "split", "camera"]
    first = answer["marks"][0]
    tie = first["ties"][0]
    assert (tie["column"], tie["value"]) == ("label", "kind 2")
    assert (tie["images"]["hits"], tie["elsewhere"]["hits"]) == (MARKED, 0)
    wanted = {f"{2 + CLASSES * place:03d}.png" for place in range(MARKED)}
    assert {cell.rpartition(":")[0] for cell in first["exemplars"]} == wanted
    assert answer["by_chance"] == [0] * 20
    assert {str(each["ties"][0]["value"]) for each in answer["marks"]} == {"kind 2"}


def test_every_number_is_that_of_plain_loops_and_of_scipy(marked: Path) -> None:
    with Index.open(marked / "indexes" / "marked") as index:
        images = usable_images(index)
        columns = columns_of_images(index, images)
        rng = np.random.default_rng(1)
        members = rng.random((7, len(images))) < rng.random((7, 1))
        tests = compare_groups(csr_array(members.astype(np.int64)), columns)
    place = 0
    for values in columns:
        for has in values.table.toarray().T > 0:
            for group, own in enumerate(members):
                a, b = int((own & has).sum()), int((own & ~has).sum())
                c, d = int((~own & has).sum()), int((~own & ~has).sum())
                exact = fisher_exact([[a, b], [c, d]], alternative="greater").pvalue
                assert tests.p_values[group, place] == pytest.approx(exact, rel=1e-9)
                assert (tests.hits[group, place], tests.drawn[group, place]) == (a, a + b)
                odds = (a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5))
                assert odds_ratio(a, a + c, a + b, a + b + c + d) == pytest.approx(odds)
            place += 1


def test_tests_without_a_chance_change_nothing_below_the_level() -> None:
    rng = np.random.default_rng(0)
    totals, drawn = rng.integers(1, 60, 50), rng.integers(1, 90, (40, 1))
    hits = rng.hypergeometric(totals, 200 - totals, np.broadcast_to(drawn, (40, 50)))
    hits[::7] = np.minimum(totals, drawn)[::7]  # some that follow something
    p_values, q_values = over_represented(hits, totals, drawn, 200)
    p_screened, q_screened = over_represented(hits, totals, drawn, 200, 0.01)
    certain, near = np.count_nonzero(q_values < 0.01), np.count_nonzero(p_values <= 0.01)
    assert 0 < certain <= np.count_nonzero(p_screened < 1) < near
    np.testing.assert_array_equal(p_screened[q_values < 0.01], p_values[q_values < 0.01])
    np.testing.assert_array_equal(q_screened[q_values < 0.01], q_values[q_values < 0.01])
    assert not ((q_screened < 0.01) & (q_values >= 0.01)).any()


def test_exchanged_columns_give_no_mark(marked: Path) -> None:
    """20 runs; and no mark follows the split, which says nothing of the photos."""
    with Index.open(marked / "indexes" / "marked") as index:
        answer = artifacts(index, seed=1)
        assert answer.by_chance == (0,) * 20
        assert list(findings(index)) == []


def test_a_mark_that_follows_the_split_is_a_finding(marked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same photos, those with the marker in a split of their own with 92 others."""
    monkeypatch.chdir(marked)
    lines = [json.loads(line) for line in (marked / "photos" / "manifest.jsonl").read_text().splitlines()]
    for line in lines:
        line["split"] = "marked" if line.pop("label") == "kind 2" else "plain"
    (marked / "split.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run_audit(
        "index", "photos", *SMALL, "--annotations", "split.jsonl", "--head", "none", "--name", "by-split"
    )
    with Index.open(marked / "indexes" / "by-split") as index:
        (finding,) = findings(index)
    assert finding.subject == "split=marked"
    assert (finding.rate.hits, finding.rate.total) == (MARKED, EACH)
    assert finding.cells
    assert all(cell.endswith(":0,0") for cell in finding.cells)


def test_where_there_is_no_column_it_is_said(tmp_path: Path) -> None:
    images = random_images(1, 4)
    path = make_index(tmp_path / "few", images)
    with Index.open(path) as index, pytest.raises(DatasetError, match="nothing that a mark could follow"):
        artifacts(index)
