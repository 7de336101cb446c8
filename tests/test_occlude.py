"""One image inpainted and occluded, against loops and the index."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import SMALL, write_dataset
from PIL import Image

from auditor.errors import CellError, DatasetError
from auditor.explain.inpaint import change_outside, inpaint, read_inpainted
from auditor.questions.occlude.ask import report
from auditor.records import Preprocess
from auditor.report.views import pictures_of
from auditor.report.wish import Subject, Wish
from auditor.store import Index

# ------------------------------------------------------------------------------------- inpainting


def test_inpainting_fills_the_mask_and_leaves_the_rest() -> None:
    pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (48, 48, 3), np.uint8)
    mask = np.zeros((48, 48), np.bool_)
    mask[10:30, 15:40] = True
    painted = inpaint(pixels, mask)
    assert painted is not None
    assert np.array_equal(painted[~mask], pixels[~mask])
    assert change_outside(pixels, painted, mask) == 0
    plain = np.full((48, 48, 3), (90, 160, 30), np.uint8)
    plain[mask] = (255, 0, 0)
    healed = inpaint(plain, mask)
    assert healed is not None
    assert np.abs(healed.astype(int) - (90, 160, 30)).max() <= 5  # nothing of the object, all of the ground


def test_nothing_is_left_to_inpaint_a_full_foreground_from() -> None:
    pytest.importorskip("cv2")
    with pytest.raises(DatasetError, match="whole crop"):
        inpaint(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.bool_))


def test_an_inpainted_file_has_the_size_of_the_original_or_of_the_crop(tmp_path: Path) -> None:
    preprocess = Preprocess(resize=32, crop=28)
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "crop.png")
    assert np.array_equal(read_inpainted(tmp_path / "crop.png", (64, 80), preprocess), pixels)
    whole = np.full((80, 64, 3), 77, np.uint8)
    Image.fromarray(whole).save(tmp_path / "whole.png")
    assert np.array_equal(read_inpainted(tmp_path / "whole.png", (64, 80), preprocess), whole[:28, :28])
    with pytest.raises(DatasetError, match=r"is 64 x 80 pixels.*100 x 100, or the crop's 28 x 28"):
        read_inpainted(tmp_path / "whole.png", (100, 100), preprocess)


# ------------------------------------------------------------------------------------- one image


def check_shift(found: dict[str, Any], number: int) -> None:
    """Flips of the panel pair `number` again, by loops over its grids."""
    grids, shift = found["grids"], found["shifts"][number]
    before, after = grids["labels"][2 * number], grids["labels"][2 * number + 1]
    flips, background, to_class = [], 0, 0
    for row, (first, second) in enumerate(zip(before, after, strict=True)):
        for col, (was, became) in enumerate(zip(first, second, strict=True)):
            if was != became:
                is_background = not grids["foreground"][row][col]
                flips.append((row, col, was, became, is_background))
                background += is_background
                to_class += is_background and became == grids["label"]
    names = ("row", "col", "was", "became", "is_background")
    assert [tuple(flip[name] for name in names) for flip in shift["flips"]] == flips
    cells = sum(not here for row in grids["foreground"] for here in row)
    assert (shift["flipped"]["hits"], shift["flipped_background"]["hits"]) == (len(flips), background)
    assert (shift["flipped_to_class"]["hits"], shift["flipped_to_class"]["total"]) == (to_class, cells)


@pytest.mark.parametrize("image", ["000003.png", "000011.png"])
def test_panels_are_the_indexed_variants_and_flips_are_loops(
    image: str, demo: Path, ask: Callable[..., Any]
) -> None:
    pytest.importorskip("cv2")
    found, stored = ask("occlude", image, "-c", "star dot"), ask("grid", image)
    assert found["grids"]["variants"] == ["original", "without_fg", "inpainted", "inpainted_without_fg"]
    for mine, theirs in ((0, 0), (1, 2)):
        assert found["grids"]["labels"][mine] == stored["labels"][theirs]
        assert np.allclose(found["grids"]["probabilities"][mine], stored["probabilities"][theirs], atol=1e-4)
    # OpenCV paints only what the occlusion covers again
    assert found["grids"]["labels"][1] == found["grids"]["labels"][3]
    assert found["grids"]["labels"][0] != found["grids"]["labels"][2]
    assert found["grids"]["label"] == 3
    assert found["inpainting"].startswith("by OpenCV")
    assert found["outside_change"] == 0
    with Index.open(demo / "indexes" / "scenes-symbols") as index:
        row = index.query("SELECT top5_without_fg AS t FROM images WHERE id = ?", [index.image(image)])
    assert [guess["label"] for guess in found["guesses"][1]] == row["t"][0].tolist()
    check_shift(found, 0)
    check_shift(found, 1)


def test_a_file_of_ones_own_is_used_and_measured(demo: Path, ask: Callable[..., Any]) -> None:
    original = Image.open(demo / "scenes" / "images" / "000003.png").convert("RGB")
    brighter = np.clip(np.asarray(original).astype(int) + 4, 0, 255).astype(np.uint8)
    Image.fromarray(brighter).save("mine.png")
    found = ask("occlude", "000003.png", "--inpainted", "mine.png", "--fill", "black")
    assert (found["inpainting"], found["fill"]) == ("from mine.png", "black")
    assert 3 <= found["outside_change"] <= 4.01
    assert found["grids"]["label"] is not None
    check_shift(found, 1)


def test_a_vit_without_opencv_shows_its_two_panels_and_how_to_get_the_others(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    audit: Callable[..., str],
    ask: Callable[..., Any],
) -> None:
    """Figure 12."""
    monkeypatch.chdir(tmp_path)
    data = write_dataset(tmp_path / "pets", images=4)
    vit = ("--backbone", "timm/test_vit", "--weights", "random:0", "--size", "160", "--head", "probe")
    audit("index", data / "images", "-a", data / "boxes", *vit, "--name", "i")
    monkeypatch.setitem(sys.modules, "cv2", None)  # what an import meets where it is not installed
    found, stored = ask("occlude", "cat/02.png"), ask("grid", "cat/02.png")
    assert found["grids"]["variants"] == ["original", "without_fg"]
    assert found["grids"]["labels"] == [stored["labels"][0], stored["labels"][2]]
    assert np.allclose(found["grids"]["probabilities"][1], stored["probabilities"][2], atol=1e-4)
    assert found["outside_change"] is None
    check_shift(found, 0)
    said = audit("occlude", "cat/02.png", "--table", "flips.csv")
    assert "pip install 'auditor[inpaint]'" in said
    assert len(Path("flips.csv").read_text().splitlines()) == 1 + len(found["shifts"][0]["flips"])


def test_what_cannot_be_occluded_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audit: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_dataset(tmp_path / "pets", images=4)
    audit("index", data / "images", *SMALL, "--head", "probe", "--name", "i")
    with pytest.raises(DatasetError, match="no annotated foreground"):
        audit("occlude", "cat/02.png")
    with pytest.raises(CellError, match="not in i"):
        audit("occlude", "cat/77.png")
    with pytest.raises(DatasetError, match="nothing is annotated"):
        audit("fills", "--fill", "black")
    for words, message in (
        (("fills", "--fill", "mean,red"), "mean,red is not among mean, black, grey, blur, noise"),
        (("occlude", "cat/02.png", "--fill", "mean,black"), "is not one of"),  # one fill at a time
        (("occlude", "--inpainted", "x.png"), "(?i)missing .*image"),  # which image was inpainted?
        (("occlude", "cat/02.png", "--placebo"), "(?i)no such option"),  # a placebo compares classes
    ):
        with pytest.raises(Exception, match=message) as raised:
            audit(*words)
        assert getattr(raised.value, "exit_code", None) == 2


# ------------------------------------------------------------------------------------- on a page


def test_a_page_asks_about_its_subject_alone(demo: Path) -> None:
    with Index.open(demo / "indexes" / "scenes-symbols") as index:
        assert not list(report(index, Wish()))
        (answer,) = report(index, Wish(subject=Subject("images/000003.png", 3)))
        assert answer.words == ("images/000003.png", "--class", "3")
        pictures = list(pictures_of(index, answer.record))
    assert answer.record.grids.label == 3
    assert len(pictures) == len(answer.record.grids.variants) // 2 == len(answer.record.inputs) // 2
    assert {picture.words for picture in pictures} == {("occlude", "000003")}
