"""ImageNet's names and labels, against timm's own readers and the published ReaL file."""

import json
from pathlib import Path

import pytest
from timm.data import ImageNetInfo

from auditor.models.imagenet import class_names, real_labels, synset_ids, synsets


@pytest.mark.parametrize(
    ("count", "subset"), [(1000, "imagenet-1k"), (11821, "imagenet-12k"), (21841, "imagenet-22k")]
)
def test_names_are_timm_s(count: int, subset: str) -> None:
    info, names = ImageNetInfo(subset), class_names(count)
    assert names is not None
    assert len(names) == info.num_classes() == count
    for index in range(0, count, 7):
        assert names[index].synset == info.index_to_label_name(index)
        assert names[index].name == info.index_to_description(index).split(",")[0]


def test_known_classes() -> None:
    names = class_names()
    assert names is not None
    assert (names[74].name, names[74].synset) == ("garden spider", "n01773797")
    assert synset_ids()["n01440764"] == 0
    assert synset_ids()[synsets()[999]] == 999
    assert class_names(20) is None


def test_first_real_labels_as_published() -> None:
    """The first rows of real.json: image 1 has none, image 2 has two."""
    assert real_labels("ILSVRC2012_val_00000001.JPEG") == ()
    assert real_labels("val/n01/ILSVRC2012_val_00000002.JPEG") == (970, 795)
    assert real_labels("ILSVRC2012_val_00000004.jpg") == (809,)
    assert real_labels("ILSVRC2012_val_00050000.JPEG") is not None


@pytest.mark.parametrize("name", ["cat.jpg", "ILSVRC2012_val_00000000.JPEG", "ILSVRC2012_val_00050001.JPEG"])
def test_other_files_have_no_real_labels(name: str) -> None:
    assert real_labels(name) is None


def test_empty_lists_are_as_many_as_published() -> None:
    names = (f"ILSVRC2012_val_{number:08d}" for number in range(1, 50_001))
    assert sum(real_labels(name) == () for name in names) == 3163


def test_real_labels_equal_the_file_beside_the_images(real: Path) -> None:
    published = json.loads((real / "ilsvrc" / "real.json").read_text())
    pairs = published.items() if isinstance(published, dict) else []
    assert all(real_labels(name) == tuple(labels) for name, labels in pairs)
    assert pairs
