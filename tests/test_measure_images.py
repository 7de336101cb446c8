"""The class that a user means, and one image's grids: what is read into a name, and what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from auditor.errors import DatasetError
from auditor.measure.images import find_class, find_classes, grids_of
from auditor.records import ClassName
from auditor.store import Index
from indexes import make_index, manifest, random_images


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Classes with a comma in the name, of one name, and without a synset; no cell shows class 0."""
    images = random_images(4, 8)
    for image in images:
        image.status = "ok"
        image.shown[image.shown == 0] = 5
    images[0].label, images[0].labels = 0, (0,)
    names = [("ant", "n00000000"), ("crane, bird", "n00000001"), ("crane, lift", None)]
    names += [("Mouse", "n00000003"), ("mouse", "n00000004"), ("gnu", "n00000005")]
    known = replace(manifest(), classes=tuple(ClassName(*each) for each in names))
    return Index.open(make_index(tmp_path / "index", images, described=known))


def test_a_synset_and_a_name_are_found_in_any_case(index: Index) -> None:
    assert find_class(index, "N00000003") == 3
    assert [find_class(index, text) for text in ("Mouse", "mouse", "GNU")] == [3, 4, 5]


def test_commas_separate_classes_unless_they_are_of_a_name(index: Index) -> None:
    assert find_classes(index, ["crane, bird"]) == [1]
    assert find_classes(index, ["5, ant,gnu", "n00000001"]) == [5, 0, 1]


def test_who_shares_a_name_is_named_by_what_each_of_them_has(tmp_path: Path) -> None:
    for synsets, word in ((("n1", "n2"), "its id or synset"), (("n1", None), "its id")):
        known = replace(manifest(), classes=tuple(ClassName("crane", each) for each in synsets))
        path = make_index(tmp_path / word, random_images(4, 2), head="none", described=known)
        with Index.open(path) as index, pytest.raises(DatasetError, match=f"name one by {word}$"):
            find_class(index, "crane")


def test_a_label_that_no_cell_shows_has_its_name_too(index: Index) -> None:
    grids = grids_of(index, 0)
    assert grids.label == 0
    assert 0 not in grids.labels
    assert grids.names[0] == "ant"
