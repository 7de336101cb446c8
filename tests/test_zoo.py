"""Every kind of image file against the pixels that it must show; mutated files; masks on turned images."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from image_zoo import LOSSY, SIDE, Case, blocks, cases, inside_blocks, oriented, saved, turned
from PIL import Image

from auditor.data.files import IMAGE_SUFFIXES, suffix
from auditor.data.load import load
from auditor.data.pixels import open_upright, read_mask
from auditor.errors import DatasetError, ImageError
from auditor.grids import Geometry
from auditor.records import Dataset, MaskFile, Preprocess, Region, Sample

ZOO = cases()
SEEDS = (
    *("rgb.png", "palette-faded.png", "deep.png", "moving.apng", "rgb.jpg", "cmyk.jpg", "turned-6.jpg"),
    *("stereo.jpg", "moving.gif", "lossy-alpha.webp", "moving.webp", "tiff_lzw.tif", "jpeg.tif", "fax.tif"),
    *("pages.tif", "shares.tif", "rgb.bmp", "deep.pgm", "text.ppm", "rle.tga", "rgb.pcx", "rgb.sgi"),
    *("icon.ico", "exact.jp2", "lossy.avif"),
)

pytestmark = pytest.mark.filterwarnings("ignore")  # what Pillow says of broken files beside its errors


def test_the_zoo_is_large_and_every_file_would_be_listed() -> None:
    names = [case.name for case in ZOO]
    assert len(names) == len(set(names)) >= 120
    assert {suffix(name) for name in names} <= IMAGE_SUFFIXES


@pytest.mark.parametrize("case", ZOO, ids=lambda case: case.name)
def test_what_a_person_sees(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.data)
    loaded = load(Dataset(tmp_path, "folder", (), ()), Sample(case.name), Preprocess(32, 28))
    assert loaded.code == case.code
    if case.pixels is None:
        with pytest.raises(ImageError, match=case.name):
            open_upright(path)
        return
    seen = np.asarray(open_upright(path)).astype(int)
    assert seen.shape == case.pixels.shape
    compared = inside_blocks(seen.shape) if case.off == LOSSY else np.ones(seen.shape[:2], bool)
    assert int(np.abs(seen - case.pixels)[compared].max()) <= case.off
    assert loaded.size == case.pixels.shape[1::-1]


# ------------------------------------------------------------------------------------- the displayed frame


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_and_masks_lie_on_the_displayed_image(tmp_path: Path, kind: str, orientation: int) -> None:
    """The red block wherever it is displayed: by box, polygon, run-length code, and by masks, turned too."""
    raw = blocks()
    options = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": oriented(orientation)}
    exact = {"lossless": True} if kind == "WEBP" else {}
    (tmp_path / "a").write_bytes(saved(Image.fromarray(raw), kind, **options, **exact))
    inside = np.zeros(raw.shape[:2], bool)
    inside[:SIDE, :SIDE] = True
    shown = turned(inside, orientation)
    rows, cols = np.nonzero(shown)
    x0, y0, x1, y1 = float(cols.min()), float(rows.min()), float(cols.max() + 1), float(rows.max() + 1)
    size = shown.shape[1], shown.shape[0]
    flat = np.concatenate(([0], shown.ravel(order="F"), [0])).astype(int)
    edges = np.flatnonzero(np.diff(flat))
    runs = [int(run) for run in np.diff(np.concatenate(([0], edges, [shown.size])))]
    (tmp_path / "upright.png").write_bytes(saved(Image.fromarray(shown), "PNG"))
    tagged = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": oriented(orientation)}
    lossless = "PNG" if kind == "JPEG" else kind
    flags = Image.fromarray(inside.astype(np.uint8) * 255)
    flags = flags.convert("RGB") if kind == "WEBP" else flags
    (tmp_path / "turned").write_bytes(saved(flags, lossless, **tagged, **exact))
    regions = [
        Region(0, box=(x0, y0, x1, y1), size=size),
        Region(0, box=(x0 / size[0], y0 / size[1], x1 / size[0], y1 / size[1]), is_relative=True),
        Region(0, polygons=((x0, y0, x1, y0, x1, y1, x0, y1),), size=size),
        Region(0, rle={"size": list(shown.shape), "counts": runs}, size=size),
        Region(0, file=MaskFile(tmp_path / "upright.png")),
        Region(0, file=MaskFile(tmp_path / "turned")),
    ]
    listing, preprocess = Dataset(tmp_path, "folder", (), ()), Preprocess(32, 32)
    left, top = Geometry(32, 32).offset(*size)
    for region in regions:
        loaded = load(listing, Sample("a", regions=(region,)), preprocess)
        assert loaded.foreground is not None, loaded.error
        expected = shown[top : top + 32, left : left + 32]
        np.testing.assert_array_equal(loaded.foreground.union, expected)
        red = np.abs(loaded.pixels.astype(int) - (200, 30, 40)).max(axis=-1) <= LOSSY
        compared = inside_blocks(shown.shape)[top : top + 32, left : left + 32]
        np.testing.assert_array_equal(red[compared], expected[compared])


# ------------------------------------------------------------------------------------- mutated files


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """A file after an accident: flipped bits, lost or repeated or foreign parts, sizes of 0 or all ones."""
    body = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place, length = int(rng.integers(0, max(len(body), 1))), int(rng.integers(1, 40))
        early = int(rng.integers(0, min(64, max(len(body), 1))))
        match rng.integers(0, 7):
            case 0:
                body = body[:place]
            case 1:
                del body[place : place + length]
            case 2:
                body[place:place] = body[place : place + length]
            case 3:
                body[place : place + length] = rng.bytes(length)
            case 4:
                body[early : early + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\0\0\xff\xff", b"\x7f" * 4])
            case _:
                for spot in rng.integers(0, max(len(body), 1), rng.integers(1, 9)):
                    if spot < len(body):
                        body[spot] ^= 1 << int(rng.integers(0, 8))
    return bytes(body)


def mutants(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    files = {case.name: case.data for case in ZOO}
    rng = np.random.default_rng(seed)
    for number in range(count):
        name = SEEDS[number % len(SEEDS)]
        yield name, mutate(files[name], rng)


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    """No crash, no hang, nothing but the errors that a dataset may have, and memory that stays bounded."""
    path = tmp_path / "mutant"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest, refusals = 0.0, set()
    for name, data in mutants(4000, seed=1):
        path.write_bytes(data)
        started = time.process_time()
        loaded = load(Dataset(tmp_path, "folder", (), ()), Sample("mutant"), Preprocess(32, 28))
        try:
            read_mask(path, is_semantic=False)
        except DatasetError as error:
            refusals.add(str(error))
        slowest = max(slowest, time.process_time() - started)
        if loaded.is_ok:
            assert loaded.pixels.shape == (28, 28, 3), name
        else:
            assert loaded.code in ("corrupt", "empty", "unsupported", "too_large"), name
            assert " at 0x" not in str(loaded.error)
    assert all("mutant" in refusal for refusal in refusals)
    assert slowest < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 * 2**20  # kilobytes
