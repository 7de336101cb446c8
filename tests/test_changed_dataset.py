"""A dataset that changes after it was indexed: what differs is done again, and nothing old answers for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_audit
from photos import SMALL, write_dataset, write_photo

from auditor.explain.variants import variants_of
from auditor.measure.images import grids_of
from auditor.page.facts import banners
from auditor.store import Index
from auditor.store.check import check


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The images of an index called i."""
    monkeypatch.chdir(tmp_path)
    dataset = write_dataset(tmp_path / "pets")
    update(dataset / "images")
    return dataset / "images"


def update(photos: Path) -> None:
    run_audit("index", photos, "-a", photos.parent / "boxes", *SMALL, "--name", "i", "--max-bad", "1")


def rows() -> dict[str, tuple[int, str, str]]:
    """Id, status and hash of every image that is not set aside, by path."""
    with Index.open(Path("indexes/i")) as index:
        found = index.query("SELECT path, id, status, hash FROM images WHERE NOT is_removed")
        columns = (column.tolist() for column in found.values())
        return {path: tuple(rest) for path, *rest in zip(*columns, strict=True)}


def features(image: int) -> np.ndarray:
    with Index.open(Path("indexes/i")) as index:
        return index.features(image)


def test_an_image_that_was_edited_in_place_is_indexed_again(
    photos: Path, ask: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows()
    write_photo(photos / "cat/04.png", 77)
    checked = ask("check")
    assert (checked["is_sound"], checked["changed"], checked["gone"]) == (True, ["cat/04.png"], [])
    capsys.readouterr()
    update(photos)
    assert "cat/04.png: changed in the dataset since, and will be indexed again" in capsys.readouterr().err
    after = rows()
    assert after["cat/04.png"][0] == len(before)
    assert after["cat/04.png"][2] != before["cat/04.png"][2]
    assert {path: row for path, row in after.items() if path != "cat/04.png"} == {
        path: row for path, row in before.items() if path != "cat/04.png"
    }
    assert not np.array_equal(features(after["cat/04.png"][0]), features(before["cat/04.png"][0]))
    assert ask("check")["changed"] == []
    assert check(Path("indexes/i")).is_sound


def test_a_file_that_was_only_touched_is_not(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows()
    os.utime(photos / "cat/00.png", ns=(1, 1))
    capsys.readouterr()
    update(photos)
    assert "nothing is new" in capsys.readouterr().err
    assert rows() == before


def test_a_path_that_returns_has_its_old_features_only_with_its_old_content(photos: Path) -> None:
    before, content = rows(), (photos / "dog/01.png").read_bytes()
    (photos / "dog/01.png").unlink()
    update(photos)
    assert "dog/01.png" not in rows()
    write_photo(photos / "dog/01.png", 55)
    update(photos)
    other = rows()["dog/01.png"]
    assert other[0] != before["dog/01.png"][0]
    (photos / "dog/01.png").write_bytes(content)
    update(photos)
    again = rows()["dog/01.png"]
    assert again[2] == before["dog/01.png"][2]
    assert np.array_equal(features(again[0]), features(before["dog/01.png"][0]))
    assert check(Path("indexes/i")).is_sound


def test_an_image_comes_back_without_being_indexed_twice(photos: Path) -> None:
    before, content = rows(), (photos / "dog/01.png").read_bytes()
    (photos / "dog/01.png").unlink()
    update(photos)
    (photos / "dog/01.png").write_bytes(content)
    update(photos)
    assert rows() == before


def test_a_broken_image_that_was_repaired_is_tried_again(photos: Path) -> None:
    content = (photos / "cat/02.png").read_bytes()
    (photos / "cat/02.png").write_bytes(content[:50])
    update(photos)
    assert rows()["cat/02.png"][1] == "broken"
    (photos / "cat/02.png").write_bytes(content)
    with Index.open(Path("indexes/i")) as index:
        assert any("1 image is broken" in banner for banner in banners(index))
    update(photos)
    assert rows()["cat/02.png"][1] == "ok"
    with Index.open(Path("indexes/i")) as index:
        assert not any("broken" in banner for banner in banners(index))


def test_a_picture_has_the_mask_of_the_image_that_it_shows(photos: Path) -> None:
    """Two images of one path are in the index: the one that was replaced had its object elsewhere."""
    before, box = masks("i"), photos.parent / "boxes" / "04.xml"
    write_photo(photos / "cat/04.png", 77)
    box.write_text(box.read_text().replace("<ymin>15", "<ymin>45"))
    update(photos)
    run_audit("index", photos, "-a", photos.parent / "boxes", *SMALL, "--name", "fresh")
    assert masks("i") == masks("fresh") != before


def masks(name: str) -> list[bytes]:
    """The pixels of an image in every variant."""
    with Index.open(Path("indexes", name)) as index:
        return [each.tobytes() for each in variants_of(index, grids_of(index, index.image("cat/04.png")))]


def test_fewer_images_than_were_planned_are_not_indexed_without_their_labels(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed after its plan, then called with a smaller --limit."""
    from auditor.errors import IndexMismatch
    from auditor.store.shards import drop_shard, shard_names

    for name in shard_names(Path("indexes/i")):
        drop_shard(Path("indexes/i"), name)
    with pytest.raises(IndexMismatch, match="leaves out now, such as"):
        run_audit("index", photos, "-a", photos.parent / "boxes", *SMALL, "--name", "i", "--limit", "2")
    update(photos)
    assert json.dumps(sorted(row[1] for row in rows().values())) == json.dumps(["ok"] * 6)
