"""Drawings read back pixel by pixel: tints, outlines, boxes and lines stand where the record says."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from auditor.draw.charts import as_written, new_figure, picture, points
from auditor.draw.colours import Bright, colour_of
from auditor.draw.grids import draw_grid, draw_variants, name_image
from auditor.draw.layers import short_percent
from auditor.draw.lettering import fit, letter, plain_font, shorten, shorten_path, wrap, write_fitted
from auditor.draw.packing import save
from auditor.questions.attack.draw import draw_attack
from auditor.questions.attack.record import Attack
from auditor.questions.match import draw as match_draw
from auditor.questions.match.draw import draw_match
from auditor.questions.match.record import Match, Pair
from auditor.questions.similar.draw import draw_similar
from auditor.questions.similar.record import Similar
from auditor.records import VARIANTS, Hit, ImageGrids
from auditor.report.page_parts import Figure
from auditor.report.views import Picture
from auditor.terminal.show import save_pictures

BLACK = Image.new("RGB", (224, 224))
NAMES = {0: "tabby, tabby cat", 1: "", 2: "三つ指 🙂 \x1b[31m", 3: "three-toed sloth " * 9, 4: "y" * 300}


def grids(side: int = 7, classes: int = 6) -> ImageGrids:
    rng = np.random.default_rng(side)
    labels = rng.integers(0, classes, (3, side, side))
    foreground = rng.random((side, side)) < 0.4
    return ImageGrids("a.jpg", 0, VARIANTS, labels, rng.random(labels.shape), foreground, NAMES)


def pixel(image: Image.Image, x: float, y: float) -> tuple[int, int, int]:
    return image.getpixel((int(x), int(y)))


def test_a_coarse_grid_fills_the_picture_with_cells_large_enough_for_names():
    drawn = draw_grid(BLACK, grids(), "original")
    assert drawn.size == (980, 980)


def tint(one: ImageGrids, variant: int, row: int, col: int) -> float:
    """How much of its class's colour a cell has: more of a likely class, and of the evaluation class."""
    certain = (122 if one.labels[variant, row, col] == 0 else 72) / 255
    return certain * (0.12 + 0.88 * one.probabilities[variant, row, col] ** 0.5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_cell_is_tinted_by_its_class_and_stronger_for_the_evaluation_class(variant):
    one = grids()
    drawn = draw_grid(BLACK, one, variant)
    for row, col in np.ndindex(7, 7):
        label = int(one.labels[VARIANTS.index(variant), row, col])
        strength = tint(one, VARIANTS.index(variant), row, col)
        found = pixel(drawn, col * 140 + 12, row * 140 + 12)
        expected = [channel * strength for channel in colour_of(label)]
        assert np.allclose(found, expected, atol=1.5)


def test_a_guess_does_not_look_like_a_certainty():
    """Of a probability near zero neither the colour nor the letters are drawn in full."""
    one = replace(grids(1, classes=1), labels=np.ones((3, 1, 1), int), foreground=None, names={1: "cat"})
    lightest = []
    for probability in (0.0004, 0.3, 1.0):
        drawn = np.asarray(
            draw_grid(BLACK, replace(one, probabilities=np.full((3, 1, 1), probability)), "original")
        )
        lightest.append((int(drawn.min(axis=2).max()), int(drawn[12, 12].max())))
    assert lightest == sorted(lightest)
    assert lightest[0][0] < 130 < 240 < lightest[2][0]
    assert lightest[0][1] < 0.25 * lightest[2][1]


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "<1"), (0.004, "<1"), (0.0099, "<1"), (0.01, "1"), (0.5, "50"), (1, "100")],
)
def test_no_probability_is_written_as_zero(probability, text):
    assert short_percent(probability) == text


def test_a_picture_is_held_below_so_many_bytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (700, 900, 3), dtype=np.uint8)
    save(Image.fromarray(noise), tmp_path / "a.png", 200_000)
    assert (tmp_path / "a.png").stat().st_size <= 200_000
    with Image.open(tmp_path / "a.png") as read:
        assert read.width / read.height == pytest.approx(9 / 7, rel=0.02)
    save(draw_grid(BLACK, grids(), "original"), tmp_path / "b.png", 1_000_000)
    with Image.open(tmp_path / "b.png") as read:
        assert (read.mode, read.size) == ("RGB", (980, 980))  # what fits is written as it is


def test_what_is_exact_is_written_as_it_is(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    pictures = Picture(("a",), noise, "a", most=20_000), Picture(("b",), noise, "b", most=None)
    reduced, exact = save_pictures(pictures, "val", tmp_path / "a.png")
    assert reduced.stat().st_size <= 20_000 < exact.stat().st_size
    with Image.open(exact) as read:
        np.testing.assert_array_equal(read, noise)


def test_a_classs_name_on_a_card_is_whole_where_smaller_letters_hold_it():
    drawn = [Image.new("RGB", (400, 40)) for _ in range(2)]
    for image, text in zip(drawn, ("W" * 12, "W" * 40), strict=True):
        write_fitted(ImageDraw.Draw(image), (0, 20), text, 18, 170, (255, 255, 255))
    columns = [np.flatnonzero(np.asarray(image).any(axis=(0, 2))).max() for image in drawn]
    assert max(columns) <= 171
    assert letter("W" * 12, 18)[1].getlength("W" * 12) > 170


def test_the_outline_runs_between_foreground_and_the_rest_and_nowhere_else():
    one = grids(4)
    drawn = draw_grid(BLACK, replace(one, names={}), "original")
    side = drawn.width // 4
    around = np.pad(one.foreground, 1)
    for row, col in np.ndindex(4, 4):
        is_foreground = around[row + 1, col + 1]
        above = pixel(drawn, (col + 0.15) * side, row * side)
        left = pixel(drawn, col * side, (row + 0.15) * side)
        assert (above == (255, 255, 255)) == (is_foreground != around[row, col + 1])
        assert (left == (255, 255, 255)) == (is_foreground != around[row + 1, col])


def test_a_drawing_is_the_same_every_time_and_needs_no_annotation(tmp_path):
    one = replace(grids(), foreground=None, label=None)
    first, second = (draw_variants([BLACK] * 3, one) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    save(first, tmp_path / "deep" / "a.png")
    with Image.open(tmp_path / "deep" / "a.png") as read:
        assert read.tobytes() == first.tobytes()


@pytest.mark.parametrize("side", [14, 16, 32])
def test_a_fine_grid_has_a_legend_beside_it(side):
    one = grids(side, classes=90)
    drawn = draw_grid(BLACK, one, "without_bg")
    assert drawn.width > drawn.height >= 980
    most = np.bincount(one.labels[1].ravel()).argmax()
    assert pixel(drawn, drawn.height + 24 + 5, 30 + 15) == colour_of(int(most))


def test_variants_stand_side_by_side_in_their_order():
    one = grids()
    whites = [Image.new("RGB", (224, 224), (level,) * 3) for level in (0, 90, 180)]
    drawn = draw_variants(whites, one)
    panel = (drawn.width - 2 * 24) // 3
    for index, level in enumerate((0, 90, 180)):
        label = int(one.labels[index, 0, 0])
        strength = tint(one, index, 0, 0)
        expected = [level * (1 - strength) + c * strength for c in colour_of(label)]
        assert np.allclose(pixel(drawn, index * (panel + 24) + 14, 52 + 14), expected, atol=1.5)


def test_a_drawing_can_name_its_image_above_it():
    drawn = Image.new("RGB", (300, 100))
    named = np.asarray(name_image(drawn, "a/b.jpg"), int)
    assert named.shape == (144, 300, 3)
    assert named[:44].min() < 160  # letters
    assert not named[44:].any()


def test_colours_are_stable_and_neighbours_differ():
    colours = np.array([colour_of(i) for i in range(1000)], dtype=int)
    assert (np.abs(np.diff(colours, axis=0)).max(axis=1) > 60).all()
    assert colour_of(74) == colour_of(74)


def test_a_figure_is_what_was_drawn():
    noise = np.random.default_rng(0).integers(0, 255, (28, 28, 3), dtype=np.uint8)
    drawn = draw_grid(Image.fromarray(noise), grids(), "original")
    made = Figure.of(drawn, "caption", "alt")
    with Image.open(io.BytesIO(made.image)) as read:
        assert (read.size, read.get_format_mimetype()) == (drawn.size, made.media)


# ------------------------------------------------------------------------------------- similar and match


def test_the_cells_of_query_and_hits_are_boxed():
    hits = tuple(Hit(f"{i}.jpg", i % 7, 6 - i % 7, 0.9, None, None, None) for i in range(7))
    images = {hit.path: BLACK for hit in hits[:-1]}
    drawn = draw_similar(BLACK, Similar("i", "q.jpg", 2, 5, hits), images, (7, 7))
    assert pixel(drawn, 28 + 520 * 5 // 7, 28 + 520 * 2 // 7 + 20) == Bright
    for index, hit in enumerate(hits[:-1]):
        left, top = 520 + 56 + index % 5 * 224, 28 + index // 5 * (208 + 68 + 12 + 16)
        assert pixel(drawn, left + 208 * hit.col // 7, top + 208 * hit.row // 7 + 8) == Bright
        others = [(r, c) for r in range(7) for c in range(7) if abs(r - hit.row) > 1 or abs(c - hit.col) > 1]
        for row, col in others:
            assert pixel(drawn, left + 208 * (col + 0.5) / 7, top + 208 * (row + 0.5) / 7) == (0, 0, 0)
    assert Bright not in {pixel(drawn, 520 + 56 + 224 + x, 28 + 304 + 30) for x in range(208)}


def match(*pairs: Pair) -> Match:
    return Match("i", "a.jpg", "b.jpg", 0.7, 0.1, True, pairs)


def gap(image: Image.Image) -> np.ndarray:
    """The column of pixels half-way between the two images."""
    return np.asarray(image)[68 : 68 + 620, image.width // 2].astype(int)


def test_a_line_crosses_half_way_between_its_cells():
    for row_a, row_b in [(0, 0), (0, 6), (5, 2)]:
        drawn = draw_match(BLACK, BLACK, match(Pair((row_a, 3), (row_b, 3), 0.9, 0.1)), (7, 7))
        inked = np.flatnonzero((gap(drawn) < 240).any(axis=1))
        assert abs(inked.mean() - 620 * (row_a + row_b + 1) / 14) < 2.5


def test_a_higher_cosine_is_a_wider_line():
    drawn = draw_match(
        BLACK, BLACK, match(Pair((0, 0), (0, 0), 0.9, 0.1), Pair((6, 0), (6, 0), 0.6, 0.1)), (7, 7)
    )
    inked = (gap(drawn) < 240).any(axis=1)
    assert inked[:310].sum() > inked[310:].sum() > 0


def contrast(cosine: float) -> int:
    """How dark the middle of a pair's line is drawn against the paper."""
    return int(255 - gap(draw_match(BLACK, BLACK, match(Pair((3, 3), (3, 3), cosine, 0.1)), (7, 7))).min())


def test_a_line_is_as_strong_as_its_cosine_whatever_the_others_are():
    assert contrast(0.29) == contrast(0.49) < 0.5 * contrast(0.8) < contrast(0.99)
    alone, beside = (
        gap(draw_match(BLACK, BLACK, match(Pair((0, 0), (0, 0), 0.29, 0.1), *more), (7, 7)))[:310]
        for more in ((), (Pair((6, 0), (6, 0), 0.99, 0.1),))
    )
    assert np.array_equal(alone, beside)


def test_pairs_that_share_a_cell_keep_their_own_ends():
    pairs = [Pair((3, 3), (row, 3), 0.9, 0.1) for row in range(7)]
    drawn = np.asarray(draw_match(BLACK, BLACK, match(*pairs), (7, 7)))
    cell = drawn[68 + 620 * 3 // 7 : 68 + 620 * 4 // 7, 28 + 620 * 3 // 7 : 28 + 620 * 4 // 7].reshape(-1, 3)
    discs = {colour_of(number, 0.42) for number in range(1, 8)}
    assert discs <= set(map(tuple, cell.tolist()))


def test_nothing_found_is_drawn_too():
    assert draw_match(BLACK, BLACK, match(), (7, 7)).width > 1300
    assert draw_similar(BLACK, Similar("i", "q.jpg", 0, 0, ()), {}, (7, 7)).height > 520


@pytest.mark.parametrize("grid", [(7, 7), (1, 1), (16, 12)])
def test_links_look_as_if_their_layer_were_as_large_as_the_picture(grid):
    rng = np.random.default_rng(grid[0])
    cells = np.stack([rng.integers(0, grid[axis], 9) for axis in (0, 1, 0, 1)], axis=1).tolist()
    cosines = rng.random(9).tolist()
    pairs = [Pair((a, b), (c, d), cosine, 0.1) for (a, b, c, d), cosine in zip(cells, cosines, strict=True)]
    links = match_draw._place_links(match(*pairs), grid, (28, 68), (798, 68))
    drawn = Image.fromarray(rng.integers(0, 256, (900, 1446, 3), dtype=np.uint8))
    layer = Image.new("RGBA", (2 * 1446, 2 * 900))
    match_draw._draw_links(ImageDraw.Draw(layer), links, (0, 0), 15)
    smooth = layer.resize(drawn.size, Image.Resampling.LANCZOS)
    expected = Image.alpha_composite(drawn.convert("RGBA"), smooth).convert("RGB")
    match_draw._lay_links(drawn, links, 15)
    assert np.array_equal(np.asarray(drawn), np.asarray(expected))


# ------------------------------------------------------------------------------------- letters


def test_letters_are_found_in_one_font_or_the_other():
    assert letter("tabby", 20) == ("tabby", plain_font(20))
    shown, font = letter("Ωмега élan", 20)
    assert shown == "Ωмега élan"
    assert font is not plain_font(20)
    assert letter("猫 cat", 20)[0] == "? cat"
    assert letter("\x1b[31m", 20)[0] == r"\x1b[31m"


@pytest.mark.parametrize("name", ["tabby", "three-toed sloth", "y" * 300, "a b " * 80, "", "猫" * 40])
@pytest.mark.parametrize("width", [40, 128])
def test_text_fits_the_width_and_the_lines_it_is_given(name, width):
    lines, font = fit(name, width, 3, range(24, 14, -1))
    assert len(lines) <= 3
    assert all(font.getlength(line) <= width for line in lines)


def test_words_are_kept_and_cuts_are_shown():
    font = plain_font(20)
    assert wrap("three-toed sloth", font, 110) == ["three-toed", "sloth"]
    assert wrap("three-toed sloth", font, 1000) == ["three-toed sloth"]
    assert shorten("golden retriever", font, 1000) == "golden retriever"
    assert shorten("golden retriever", font, 90).endswith("…")
    shortened = shorten_path("a/very/long/path/image.jpg", font, 150)
    assert shortened.startswith("a/v")
    assert shortened.endswith("image.jpg")
    assert font.getlength(shortened) <= 150


def ink(name: str) -> int:
    """The last inked column of a name in a chart."""
    figure = new_figure(300, 40)
    figure.text(0, 0.4, as_written(name, 18, 240), fontsize=points(18))
    drawn = np.asarray(picture(figure))
    assert drawn.shape == (40, 300, 3)
    return int(np.flatnonzero((drawn < 128).any(axis=(0, 2))).max())


@pytest.mark.filterwarnings("error")
def test_a_name_in_a_chart_is_no_formula_and_fits():
    assert ink("x") + 15 < ink("$x$")  # both signs are drawn
    assert ink("$x_$") > ink("$x$")  # no formula at all: matplotlib would refuse it
    assert 200 < ink("y" * 99) < 250
    assert ink("_猫") > ink("_")
    assert as_written("猫 \x1b") == "? \\x1b"


def test_the_film_of_an_attack_draws_a_guess_fainter_than_a_certain_cell():
    """The tiles are alike but for the probability: what is certain stands out of the photograph."""
    labels = np.ones((2, 1, 1), int)
    strengths = []
    for chance in (0.0004, 0.3, 1.0):
        film = Attack(
            "val", "a.jpg", 2, 0.1, 0.1, labels, np.full((2, 1, 1), chance), labels[:, 0, 0],
            np.zeros(2), 1, {1: "cat", 2: "dog"}, np.zeros((224, 224, 3), np.uint8), np.zeros((224, 224, 3)),
        )  # fmt: skip
        tile = np.asarray(draw_attack(film), int)[1000:1180, 40:210]
        letters = tile.min(axis=2).max()
        strengths.append((int(tile[0, 0].max()), int(letters)))
    assert strengths == sorted(strengths)
    assert strengths[0][0] < 0.25 * strengths[2][0]
    assert strengths[0][1] < 130 < 240 < strengths[2][1]
