"""Two indexes of the same images against plain loops over the images that made them."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.errors import DatasetError
from auditor.measure.rates import least_change
from auditor.page.compare.ask import compare, pair
from auditor.page.compare.paper import TABLES, PaperTable, find_row
from auditor.page.compare.record import PaperRow
from auditor.page.compose import compose
from auditor.questions.metrics.ask import metrics
from auditor.records import ClassName
from auditor.report.page import render_page
from auditor.report.views import view_of
from auditor.report.wish import Wish
from auditor.store import Index
from auditor.store.manifest import HeadFacts
from auditor.terminal.progress import Bar
from indexes import CLASSES, FakeImage, make_index, manifest, random_images


def seen_again(images: list[FakeImage], seed: int) -> list[FakeImage]:
    """The same images through another network: other cells and answers, the same labels and annotations."""
    rng = np.random.default_rng(seed)
    again = copy.deepcopy(images)
    for image in again:
        changed = rng.random(image.shown.shape[:2]) < 0.5
        image.shown[changed] = np.roll(image.shown[changed], 1, axis=-1)
        if rng.random() < 0.5:
            image.guesses = np.roll(image.guesses, 1, axis=-1)
    return again


def is_behind(image: FakeImage, label: int) -> bool | None:
    """Whether the background shows the class with the foreground occluded; None where there is none."""
    if image.foreground is None:
        return None
    cells = [image.shown[2][cell][0] for cell, inside in enumerate(image.foreground) if not inside]
    return label in cells if cells else None


@pytest.fixture
def both(tmp_path: Path) -> tuple[list[FakeImage], list[FakeImage], Path, Path]:
    first = random_images(8, 60)
    second = seen_again(first, 1)
    return first, second, make_index(tmp_path / "one", first), make_index(tmp_path / "two", second)


def test_every_class_is_counted_over_the_images_of_both(
    both: tuple[list[FakeImage], list[FakeImage], Path, Path],
) -> None:
    ours, theirs, one, two = both
    with Index.open(one) as first, Index.open(two) as second:
        answer = compare(first, second)
    usable = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.status == "ok"]
    rows = {row.name: row for row in answer.classes}
    for label in range(CLASSES):
        own = [(a, b) for a, b in usable if label in a.labels]
        row = rows[f"Class {label}"]
        right = [(a.guesses[0][0] in a.labels, b.guesses[0][0] in b.labels) for a, b in own]
        assert row.images == len(own)
        assert (row.accuracy.first.hits, row.accuracy.second.hits) == tuple(
            map(sum, zip(*right, strict=True))
        )
        assert row.accuracy.gained == sum(b and not a for a, b in right)
        behind = [(is_behind(a, label), is_behind(b, label)) for a, b in own]
        counted = [each for each in behind if None not in each]
        assert row.bg_act_without_fg.first.total == len(counted)
        assert row.bg_act_without_fg.second.hits == sum(bool(b) for _, b in counted)
    differing = {a.path for a, b in usable if a.guesses[0][0] != b.guesses[0][0]}
    assert {row.path for row in answer.images} == differing
    assert answer.agreement.hits == len(usable) - len(differing)
    assert [row.least for row in answer.classes] == sorted(
        (row.least for row in answer.classes), reverse=True
    )


def test_an_interval_is_that_of_paired_samples() -> None:
    flags = [(True, True)] * 5 + [(False, True)] * 9 + [(True, False)] * 2 + [(False, False)] * 4
    rates = pair(flags)
    assert rates.interval is not None
    assert rates.interval[0] == least_change(5, 9, 2, 20)
    assert rates.interval[0] < rates.difference < rates.interval[1]
    turned = pair((b, a) for a, b in flags)
    assert turned.interval == tuple(-end for end in reversed(rates.interval))


def test_the_page_shows_both(both: tuple[list[FakeImage], list[FakeImage], Path, Path]) -> None:
    *_, one, two = both
    with Index.open(one) as first, Index.open(two) as second, Bar(quiet=True) as bar:
        page = compose(first, Wish(), is_live=False, bar=bar, others=[second])
    assert [section.question for section in page.sections].count("compare") == 2
    assert "Images whose answer differs" in render_page(page)
    assert page.command == f"audit report --index {one} --index {two}"


def test_indexes_of_other_images_are_not_compared(tmp_path: Path) -> None:
    others = random_images(9, 10)
    for image in others:
        image.path = f"elsewhere/{image.path}"
    one, two = make_index(tmp_path / "one", random_images(8, 10)), make_index(tmp_path / "two", others)
    with Index.open(one) as first, Index.open(two) as second:
        with pytest.raises(DatasetError, match="no image in common"):
            compare(first, second)
        with Bar(quiet=True) as bar:
            page = compose(first, Wish(), is_live=False, bar=bar, others=[second])
    assert [note for note in page.notes if note.startswith("Comparison left out: ")]


# ------------------------------------------------------------------------------------- the paper's rows

PAPER = Path(__file__).parents[2] / "shared" / "paper.txt"
MODELS = {
    "Table 1": ("EfficientNet", "ResNet-50", "ConvNeXt", "Swin", "MaxViT"),
    "Table 2": ("EfficientNet", "ResNet-50", "ConvNeXt", "Swin", "MaxViT"),
    "Table 3": ("CLIPResNet-50", "CLIPConvNeXt", "CLIPViT-B/16", "DINOv1ResNet-50", "DINOv1ViT-B/16",
                "DINOv2ViT-B/14", "DINOv3ViT-B/16", "DINOv3ConvNeXt", "MAEViT-B/16", "BEiT-3 ViT-B/16"),
    "Table 6": ("ViT-B/16 [CLS]",),
}  # fmt: skip
"""The paper's rows in the order of ours."""
HEADINGS = {
    "top1": "Top-1 Acc.", "top5": "Top-5 Acc.", "fg_det": "FG Det.", "loc": "Loc.", "bg_act": "BG Act.",
    "loc_without_bg": "Loc. (w/o BG)", "bg_act_without_fg": "BG Act. (w/o FG)", "real_acc": "ReaL Acc.",
    "real_rec": "ReaL Rec.",
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_numbers_are_those_of_the_paper(table: PaperTable) -> None:
    if not PAPER.is_file():
        pytest.skip("the paper's text is not here")
    text = PAPER.read_text()
    lines = text[text.index(f"\n{table.name}: ") :].splitlines()[2:20]
    if table.name != "Table 2":  # whose headings stand in two rows
        assert lines[0] == "Model " + " ".join(HEADINGS[column] for column in table.columns)
    for model, row in zip(MODELS[table.name], table.rows.values(), strict=True):
        assert any(line == f"{model} " + " ".join(map(str, row)) for line in lines)


def paper_index(path: Path, name: str, **changes: Any) -> Path:
    """An index of a network by its name, with a thousand classes unless told otherwise."""
    described = manifest()
    classes = tuple(ClassName(f"Class {k}") for k in range(changes.pop("classes", 1000)))
    backbone = replace(described.backbone, name=name, weights=changes.pop("weights", "hub"))
    changes.setdefault("head", described.head)
    return make_index(
        path,
        random_images(8, 30),
        described=replace(described, backbone=backbone, classes=classes, **changes),
    )


@pytest.mark.parametrize(
    ("name", "changes", "table"),
    [
        ("resnet50", {}, "Table 1"),
        ("resnet50", {"weights": "mine.safetensors"}, None),
        ("resnet50", {"weights": "random:0"}, None),
        ("resnet50", {"options": {"readout": "exact"}}, None),
        ("resnet50", {"classes": 80}, None),
        ("resnet50", {"head": HeadFacts("probe")}, None),
        ("vit_base_cls", {}, "Table 6"),
        ("dinov2", {"classes": 80, "head": HeadFacts("probe")}, "Table 3"),
        ("dinov1_resnet50", {"classes": 80, "head": HeadFacts("probe"), "weights": "dino.pth"}, "Table 3"),
        ("timm/resnet50", {}, None),
    ],
)
def test_only_the_papers_networks_have_its_rows(
    tmp_path: Path, name: str, changes: dict[str, Any], table: str | None
) -> None:
    with Index.open(paper_index(tmp_path / "index", name, **changes)) as index:
        found = find_row(index)
    assert (found and found[0].name) == table


def test_the_page_has_the_papers_row_beside_ours(tmp_path: Path) -> None:
    one, two = paper_index(tmp_path / "one", "resnet50"), paper_index(tmp_path / "two", "mine")
    with Index.open(one) as first, Index.open(two) as second, Bar(quiet=True) as bar:
        page = compose(first, Wish(), is_live=False, bar=bar, others=[second])
        expected = metrics(first)
    text = render_page(page)
    beside = text[text.index("Beside the paper") :]
    assert 'title="In the paper: Table 1"' in beside[:500]
    assert expected.fg_det.value is not None
    for number in ("80.3", "92.0", f"{100 * expected.fg_det.value:.1f}"):
        assert f">{number}<" in beside
    assert text.count(">the paper<") == 1


def test_two_tables_of_the_same_images_are_named_together(tmp_path: Path) -> None:
    ours = []
    for name in ("resnet50", "vit_base_cls"):
        with Index.open(paper_index(tmp_path / name, name)) as index:
            found = find_row(index)
            assert found is not None
            table, row = found
            values = dict(zip(table.columns, row, strict=True))
            ours.append(PaperRow(metrics(index), table.name, table.images, values))
    lead = view_of(tuple(ours)).lead
    assert lead.startswith("The paper measured the same networks on ImageNet's validation set with ILSVRC")
    assert lead.count("boxes (Table 1, Table 6): ") == 1
