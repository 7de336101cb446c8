"""Decoding: orientation, colour modes, deep grey, hostile files, and the input against plain Pillow."""

import hashlib
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from auditor.data.pixels import (
    MAX_PIXELS,
    content_hash,
    load_input,
    open_upright,
    read_content,
    read_mask,
    to_grey,
)
from auditor.errors import DatasetError, ImageError
from auditor.records import Preprocess

SMALL = Preprocess(resize=32, crop=28, interpolation="bilinear")


def scene(width=60, height=45, seed=0):
    """Smooth colours with an orientation: no two corners are alike."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).integers(0, 30, (height, width))
    bands = (x * 200 // width + noise, y * 200 // height, (x + y) * 200 // (width + height))
    return Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8))


def pixels(image):
    return np.asarray(image).astype(int)


# ----------------------------------------------------------------------------------- what a person sees


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    path = tmp_path / f"turned.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene().save(path, exif=exif)
    upright = open_upright(path)
    with Image.open(path) as raw:
        expected = ImageOps.exif_transpose(raw)
    assert upright.size == ((60, 45) if orientation < 5 else (45, 60))
    np.testing.assert_array_equal(pixels(upright), pixels(expected))
    assert load_input(path, SMALL)[1] == upright.size


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_make_an_image_unreadable(tmp_path):
    path = tmp_path / "exif.jpg"
    scene().save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert open_upright(path).size == (60, 45)


def test_transparency_is_seen_over_white(tmp_path):
    layer = np.zeros((2, 2, 4), dtype=np.uint8)
    layer[0, 0] = (255, 0, 0, 255)
    layer[0, 1] = (9, 99, 199, 0)  # a hidden colour
    layer[1, 0] = (0, 0, 0, 51)  # a fifth black
    expected = [[[255, 0, 0], [255, 255, 255]], [[204, 204, 204], [255, 255, 255]]]
    for name in ("a.png", "a.webp", "a.tif"):
        Image.fromarray(layer).save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
        np.testing.assert_array_equal(pixels(open_upright(tmp_path / name)), expected)


def test_palette_with_a_transparent_entry(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=1)
    assert pixels(open_upright(tmp_path / "plain.png")).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert pixels(open_upright(tmp_path / "clear.png")).tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("mode", ["L", "1", "CMYK", "YCbCr"])
def test_other_colour_modes(tmp_path, mode):
    scene().convert(mode).save(tmp_path / "a.tif")
    found = open_upright(tmp_path / "a.tif")
    assert found.mode == "RGB"
    np.testing.assert_array_equal(pixels(found), pixels(scene().convert(mode).convert("RGB")))


def test_16_bit_grey_keeps_its_shades(tmp_path):
    ramp = np.arange(0, 65536, 257, dtype=np.uint16)[None]
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    Image.fromarray(ramp).save(tmp_path / "deep.tif")
    for name in ("deep.png", "deep.tif"):
        found = pixels(open_upright(tmp_path / name))
        np.testing.assert_array_equal(found, np.arange(256)[None, :, None].repeat(3, axis=2))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[-10.0, 0.0, 10.0]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, np.inf, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[700.0, 700.0]], np.float32), [0, 0]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[0, 500_000, 1_000_000]], np.int32), [0, 128, 255]),
    ],
)
def test_deep_grey_by_hand(values, expected):
    assert to_grey(values).tolist() == [expected]


def test_float_tiff_is_not_black(tmp_path):
    Image.fromarray(np.array([[0.0, 0.25, 1.0]], np.float32)).save(tmp_path / "f.tif")
    assert pixels(open_upright(tmp_path / "f.tif"))[0, :, 0].tolist() == [0, 64, 255]


# --------------------------------------------------------------------------------------- the input


def plain_pillow(path, preprocess):
    """The input written again, with the arithmetic spelled out."""
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image).convert("RGB")
    width, height = image.size
    scale = preprocess.resize / min(width, height)
    size = tuple(
        preprocess.resize if side == min(width, height) else int(side * scale) for side in (width, height)
    )
    resample = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}[preprocess.interpolation]
    array = np.asarray(image.resize(size, resample))
    top, left = (round((side - preprocess.crop) / 2) for side in array.shape[:2])
    return array[top : top + preprocess.crop, left : left + preprocess.crop]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(60, 45), (45, 60), (32, 32), (33, 90), (500, 375), (20, 20)])
def test_input_equals_plain_pillow(tmp_path, size, interpolation):
    preprocess = Preprocess(resize=32, crop=28, interpolation=interpolation)
    for name in ("a.jpg", "a.png", "a.bmp"):
        scene(*size).save(tmp_path / name)
        found, original = load_input(tmp_path / name, preprocess)
        assert (found.shape, found.dtype, original) == ((28, 28, 3), np.uint8, size)
        np.testing.assert_array_equal(found, plain_pillow(tmp_path / name, preprocess))


def test_real_inputs_equal_plain_pillow(real):
    for path in sorted((real / "coco" / "images").iterdir())[:12]:
        np.testing.assert_array_equal(load_input(path, Preprocess())[0], plain_pillow(path, Preprocess()))


def test_hash_is_of_the_file(tmp_path):
    scene().save(tmp_path / "a.png")
    expected = hashlib.blake2b((tmp_path / "a.png").read_bytes(), digest_size=16).hexdigest()
    assert content_hash(tmp_path / "a.png") == read_content(tmp_path / "a.png").hash == expected
    assert len(expected) == 32


# ------------------------------------------------------------------------------------------- hostile files


def bomb(path, side=20_000):
    """A PNG of side x side black pixels in a few hundred kilobytes at most."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    signature = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(signature + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def hostile(folder):
    """Files that no decoder should survive, by name."""
    scene().save(folder / "whole.jpg")
    scene().save(folder / "whole.avif")
    jpeg, avif = (folder / "whole.jpg").read_bytes(), (folder / "whole.avif").read_bytes()
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "tail.jpg").write_bytes(jpeg[:-40])
    (folder / "cut.avif").write_bytes(avif[: len(avif) // 2])
    body = avif.index(b"mdat") + 4
    (folder / "noise.avif").write_bytes(avif[:body] + b"\x99" * 20 + avif[body + 20 :])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("<html>404</html>")
    (folder / "script.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    bomb(folder / "bomb.png")
    bomb(folder / "near.png", side=9_600)  # only slightly above the limit
    return sorted({path.name for path in folder.iterdir()} - {"whole.jpg", "whole.avif"})


def test_hostile_files_are_refused_by_name(tmp_path):
    for name in [*hostile(tmp_path), "gone.png"]:
        for read in (open_upright, lambda path: load_input(path, SMALL), read_mask):
            with pytest.raises(DatasetError, match=name) as error:
                read(tmp_path / name)
            assert " at 0x" not in str(error.value)  # messages are stored: the same in every run
    with pytest.raises(DatasetError):
        content_hash(tmp_path / "pipe.png")


def test_narrow_images_do_not_explode(tmp_path):
    Image.new("RGB", (1, 4000)).save(tmp_path / "narrow.png")
    assert load_input(tmp_path / "narrow.png", SMALL)[0].shape == (28, 28, 3)
    with pytest.raises(DatasetError, match="narrow"):
        load_input(tmp_path / "narrow.png", Preprocess(resize=256, crop=224))
    assert MAX_PIXELS < 256 * 256 * 4000


# ------------------------------------------------------------------------------------------- mask images


def test_mask_values(tmp_path):
    values = np.array([[0, 1, 20], [255, 7, 0]], dtype=np.uint8)
    palette = Image.fromarray(values).convert("P")
    palette.putdata(values.ravel().tolist())
    palette.putpalette(list(range(256)) * 3)
    palette.save(tmp_path / "palette.png")
    Image.fromarray(values).save(tmp_path / "grey.png")
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.stack([values] * 3, axis=-1)).save(tmp_path / "rgb.png")
    for name in ("palette.png", "grey.png", "deep.png", "rgb.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / name), values)
    Image.fromarray(values > 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "bits.png"), values > 0)


def test_coloured_and_lossy_masks(tmp_path):
    colours = np.zeros((1, 3, 4), dtype=np.uint8)
    colours[0, 0] = (0, 9, 0, 255)
    colours[0, 1] = (9, 9, 9, 0)  # transparent
    Image.fromarray(colours).save(tmp_path / "colour.png")
    assert (read_mask(tmp_path / "colour.png", is_semantic=False) > 0).tolist() == [[True, False, False]]
    with pytest.raises(DatasetError, match="coloured"):
        read_mask(tmp_path / "colour.png")
    Image.new("L", (4, 4)).save(tmp_path / "lossy.jpg")
    with pytest.raises(DatasetError, match="JPEG"):
        read_mask(tmp_path / "lossy.jpg")


def test_transparent_is_without_alpha_alone(tmp_path):
    faint = np.array([[[7, 7, 7, 1], [7, 7, 7, 0]]], np.uint8)
    Image.fromarray(faint).save(tmp_path / "faint.png")
    Image.fromarray(faint[..., 2:]).save(tmp_path / "faint-grey.png")
    palette = Image.new("PA", (2, 1))
    palette.putpalette(list(range(256)) * 3)
    palette.putpixel((0, 0), (7, 1))
    palette.putpixel((1, 0), (7, 0))
    palette.save(tmp_path / "faint.tif")
    for name in ("faint.png", "faint-grey.png", "faint.tif"):
        assert read_mask(tmp_path / name).tolist() == [[7, 0]]


def test_masks_of_fractions_and_of_formats_that_may_lose_values(tmp_path):
    def save(*values):
        Image.fromarray(np.array([values], np.float32)).save(tmp_path / "f.tif")
        return tmp_path / "f.tif"

    assert read_mask(save(0, 3, 0)).tolist() == [[0, 3, 0]]
    assert read_mask(save(-0.5, 0, 0.1), is_semantic=False).tolist() == [[1, 0, 1]]
    with pytest.raises(DatasetError, match="fractions"):
        read_mask(save(0, 0.5))
    for strange in (np.inf, np.nan):
        with pytest.raises(DatasetError, match="no numbers"):
            read_mask(save(strange, 1.0))
    grey = Image.new("RGB", (16, 16), (9, 9, 9))
    grey.save(tmp_path / "same.webp", lossless=True)
    assert (read_mask(tmp_path / "same.webp") == 9).all()
    grey.save(tmp_path / "lossy.webp")
    grey.save(tmp_path / "lossy.tif", compression="jpeg")
    for name in ("lossy.webp", "lossy.tif"):
        with pytest.raises(DatasetError, match="changes mask values"):
            read_mask(tmp_path / name)
    grey.convert("CMYK").save(tmp_path / "cmyk.tif")
    with pytest.raises(DatasetError, match="mode CMYK"):
        read_mask(tmp_path / "cmyk.tif")


def test_a_turned_tiff_mask_is_turned_once(tmp_path):
    values = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values).save(tmp_path / "turned.tif", exif=exif)
    assert read_mask(tmp_path / "turned.tif").tolist() == np.rot90(values, -1).tolist()


# ------------------------------------------------------------------------------------------- limits


def test_what_is_as_large_as_may_be_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    scene().save(path)
    size = path.stat().st_size
    for limit, most in (("MAX_BYTES", size), ("MAX_PIXELS", 60 * 45)):
        with monkeypatch.context() as patched:
            patched.setattr(f"auditor.data.pixels.{limit}", most)
            assert load_input(path, Preprocess(resize=32, crop=28))[1] == (60, 45)
            patched.setattr(f"auditor.data.pixels.{limit}", most - 1)
            with pytest.raises(ImageError, match=r"a\.png") as error:
                open_upright(path)
            assert error.value.code == "too_large"


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty"), (b"\n", "corrupt"), (b"P", "unsupported"), (b"\xff\xd8\xff", "corrupt")],
)
def test_why_a_file_is_no_image(tmp_path, content, code):
    """Of few bytes too, of which a format looks at more: a PCX begins with a line feed."""
    (tmp_path / "few.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"few\.png") as error:
        open_upright(tmp_path / "few.png")
    assert error.value.code == code


def test_what_is_no_regular_file_is_not_read(tmp_path):
    for path, said in ((Path("/dev/zero"), "no regular file"), (tmp_path / "a\0b.png", "cannot be read")):
        with pytest.raises(ImageError, match=said) as error:
            read_content(path)
        assert error.value.code == "unreadable"
