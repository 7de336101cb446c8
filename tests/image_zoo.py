"""Image files of every kind that people have, each with the pixels that a person sees, written independently.

Nothing here decodes: what a file must show is computed from the arrays that it was made of.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Array = NDArray[Any]

SIDE = 16  # of a block of one colour: what JPEG and its kin keep nearly exactly
COLOURS = ((200, 30, 40), (20, 160, 60), (30, 60, 190), (240, 240, 230), (90, 20, 120), (15, 15, 20))
LOSSY = 8  # levels of 255 that a lossy format may be off


@dataclass(frozen=True)
class Case:
    """A file: what it must look like, (H, W, 3) within `off` levels, or why it cannot be read."""

    name: str
    data: bytes
    pixels: Array | None = None
    off: int = 0
    code: str | None = None


def blocks() -> Array:
    """Two rows of three blocks, no two alike: (32, 48, 3)."""
    cells = np.array(COLOURS, np.uint8).reshape(2, 3, 3)
    return cells.repeat(SIDE, axis=0).repeat(SIDE, axis=1)


def small() -> Array:
    """A ramp with a different colour in every pixel: (5, 7, 3)."""
    y, x = np.mgrid[0:5, 0:7]
    return np.stack((x * 36 + y, y * 60 + x, (x + y) * 20), axis=-1).astype(np.uint8)


def grey(values: Array) -> Array:
    """A grey image (H, W) as three equal channels."""
    return np.asarray(values)[..., None].repeat(3, axis=-1).astype(np.uint8)


def luma() -> Array:
    """Grey values (5, 7), different in every pixel."""
    return np.arange(35, dtype=np.uint8).reshape(5, 7) * 7


def turned(raw: Array, orientation: int) -> Array:
    """What EXIF says is seen of the stored pixels (H, W, ...): section 4.6.4 A of EXIF 2.3, case by case."""
    return {
        1: raw,
        2: raw[:, ::-1],  # row 0 is the top, column 0 the right
        3: raw[::-1, ::-1],
        4: raw[::-1],
        5: raw.swapaxes(0, 1),  # row 0 is the left, column 0 the top
        6: np.rot90(raw, -1),  # row 0 is the right, column 0 the top
        7: raw[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(raw, 1),
    }[orientation]


def over_white(layer: Array) -> Array:
    """RGBA (H, W, 4) over white."""
    alpha = layer[..., 3:].astype(float) / 255
    return np.rint(layer[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def inside_blocks(shape: tuple[int, ...]) -> Array:
    """Pixels (H, W) that are not at the edge of a block, where lossy formats mix the colours."""
    y, x = np.mgrid[: shape[0], : shape[1]] % SIDE
    return (np.minimum(y, x) >= 4) & (np.maximum(y, x) < SIDE - 4)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A file of Pillow's."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def oriented(orientation: int) -> Image.Exif:
    """EXIF with nothing but an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG by hand; `rows` hold a filter byte each, `more` chunks stand before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    body = b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def rows_of(values: Array) -> bytes:
    """Rows of big-endian samples, unfiltered."""
    return b"".join(b"\0" + row.astype(values.dtype.newbyteorder(">")).tobytes() for row in values)


def cases() -> list[Case]:
    """The whole zoo."""
    groups = (pngs(), jpegs(), gifs(), webps(), tiffs(), plain_formats(), odd_shapes(), broken())
    return [case for group in groups for case in group]


# ------------------------------------------------------------------------------------- PNG


def layer() -> Array:
    """Colours with every degree of transparency: (5, 7, 4)."""
    alpha = (np.arange(35).reshape(5, 7, 1) * 255 // 34).astype(np.uint8)
    return np.concatenate((small(), alpha), axis=-1)


def palette() -> tuple[Image.Image, Array]:
    """A palette image and its colours: 35 entries."""
    colours = small().reshape(35, 3)
    image = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7), "L").convert("P")
    image.putdata(list(range(35)))
    image.putpalette(colours.ravel().tolist())
    return image, colours.reshape(5, 7, 3)


def pngs() -> Iterator[Case]:
    rgb, rgba, light = small(), layer(), luma()
    yield Case("rgb.png", saved(Image.fromarray(rgb), "PNG"), rgb)
    yield Case("rgba.png", saved(Image.fromarray(rgba), "PNG"), over_white(rgba), 1)
    yield Case("grey.png", saved(Image.fromarray(light), "PNG"), grey(light))
    bits = light > 100
    yield Case("bits.png", saved(Image.fromarray(bits), "PNG"), grey(bits * 255))
    pair = np.stack((light, rgba[..., 3]), axis=-1)
    seen = over_white(np.concatenate((grey(light), rgba[..., 3:]), axis=-1))
    yield Case("grey-alpha.png", saved(Image.fromarray(pair, "LA"), "PNG"), seen, 1)
    image, colours = palette()
    yield Case("palette.png", saved(image, "PNG"), colours)
    clear = colours.copy()
    clear[0, 3] = 255
    yield Case("palette-clear.png", saved(image, "PNG", transparency=3), clear)
    half = bytes(range(0, 35 * 7, 7))
    faded = np.concatenate((colours, np.frombuffer(half, np.uint8).reshape(5, 7, 1)), axis=-1)
    yield Case("palette-faded.png", saved(image, "PNG", transparency=half), over_white(faded), 1)
    keyed = rgb.copy()
    keyed[2, 2] = 255
    key = tuple(int(v) for v in rgb[2, 2])
    yield Case("rgb-key.png", saved(Image.fromarray(rgb), "PNG", transparency=key), keyed)
    without = grey(light)
    without[1, 1] = 255
    yield Case("grey-key.png", saved(Image.fromarray(light), "PNG", transparency=int(light[1, 1])), without)
    deep = np.arange(35, dtype=np.uint16).reshape(5, 7) * 1900
    scaled = np.rint(deep / 257)
    yield Case("deep.png", saved(Image.fromarray(deep), "PNG"), grey(scaled))
    yield Case("deep-dark.png", saved(Image.fromarray(deep // 64), "PNG"), grey(np.rint(deep // 64 / 257)))
    wide = rgb.astype(np.uint16) * 257 - (rgb > 0).astype(np.uint16) * 100
    yield Case("deep-rgb.png", png(7, 5, 16, 2, rows_of(wide.reshape(5, 21))), np.rint(wide / 257), 1)
    wide4 = rgba.astype(np.uint16) * 257
    yield Case("deep-rgba.png", png(7, 5, 16, 6, rows_of(wide4.reshape(5, 28))), over_white(rgba), 1)
    for depth in (2, 4):
        per = 8 // depth
        values = np.arange(16, dtype=np.uint8).reshape(2, 8) % (1 << depth)
        packed = (values.reshape(2, 8 // per, per) << (np.arange(per)[::-1] * depth)).sum(-1).astype(np.uint8)
        seen = grey(values.astype(int) * 255 // ((1 << depth) - 1))
        yield Case(f"grey-{depth}-bit.png", png(8, 2, depth, 0, rows_of(packed)), seen)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield Case("icc.png", saved(Image.fromarray(rgb), "PNG", icc_profile=profile), rgb)
    gamma = chunk(b"gAMA", struct.pack(">I", 100000))
    yield Case("gamma.png", png(7, 5, 8, 2, rows_of(rgb.reshape(5, 21)), gamma), rgb)
    text = chunk(b"tEXt", b"Comment\0<script>alert(1)</script>")
    yield Case("text-chunk.png", png(7, 5, 8, 2, rows_of(rgb.reshape(5, 21)), text), rgb)
    frames = [Image.fromarray(rgb), Image.fromarray(255 - rgb)]
    moving = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield Case("moving.apng", moving, rgb)
    for number in range(1, 9):
        exif = saved(Image.fromarray(rgb), "PNG", exif=oriented(number))
        yield Case(f"turned-{number}.png", exif, turned(rgb, number))


# ------------------------------------------------------------------------------------- JPEG


def cmyk(rgb: Array) -> Image.Image:
    """Inks without black: what is seen of them is 255 - ink."""
    inks = np.concatenate((255 - rgb, np.zeros((*rgb.shape[:2], 1), np.uint8)), axis=-1)
    return Image.fromarray(inks, "CMYK")


def jpegs() -> Iterator[Case]:
    rgb = blocks()
    light = grey(rgb[..., 1])
    image = Image.fromarray(rgb)
    whole = saved(image, "JPEG", quality=95)
    yield Case("rgb.jpg", whole, rgb, LOSSY)
    yield Case("grey.jpg", saved(Image.fromarray(rgb[..., 1]), "JPEG", quality=95), light, LOSSY)
    yield Case("cmyk.jpg", saved(cmyk(rgb), "JPEG", quality=95), rgb, LOSSY)
    yield Case("progressive.jpg", saved(image, "JPEG", quality=95, progressive=True), rgb, LOSSY)
    yield Case("full-chroma.jpg", saved(image, "JPEG", quality=95, subsampling=0), rgb, LOSSY)
    yield Case("restarts.jpg", saved(image, "JPEG", quality=95, restart_marker_blocks=1), rgb, LOSSY)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield Case("icc.jpg", saved(image, "JPEG", quality=95, icc_profile=profile), rgb, LOSSY)
    yield Case("tail.jpg", whole + b"\0" * 100 + b"<html>", rgb, LOSSY)
    yield Case("comment.jpg", saved(image, "JPEG", quality=95, comment=b"\x1b]0;owned\x07"), rgb, LOSSY)
    pair = saved(image, "MPO", quality=95, save_all=True, append_images=[Image.fromarray(255 - rgb)])
    yield Case("stereo.jpg", pair, rgb, LOSSY)
    for number in range(1, 9):
        exif = saved(image, "JPEG", quality=95, exif=oriented(number))
        yield Case(f"turned-{number}.jpg", exif, turned(rgb, number), LOSSY)
    for number in (0, 9, 77):
        yield Case(
            f"nonsense-{number}.jpg", saved(image, "JPEG", quality=95, exif=oriented(number)), rgb, LOSSY
        )
    yield Case("is-a-png.jpg", saved(image, "PNG"), rgb)
    yield Case("is-a-jpeg.png", whole, rgb, LOSSY)
    yield Case("is-a-gif.webp", saved(palette()[0], "GIF"), palette()[1])


# ------------------------------------------------------------------------------------- GIF and WebP


def gifs() -> Iterator[Case]:
    image, colours = palette()
    other = image.transpose(Image.Transpose.ROTATE_180)
    yield Case("still.gif", saved(image, "GIF"), colours)
    yield Case("moving.gif", saved(image, "GIF", save_all=True, append_images=[other], duration=50), colours)
    yield Case("interlaced.gif", saved(image, "GIF", interlace=1), colours)
    clear = colours.copy()
    clear[0, 3] = 255
    yield Case("clear.gif", saved(image, "GIF", transparency=3), clear)
    yield Case(
        "moving-clear.gif", saved(image, "GIF", transparency=3, save_all=True, append_images=[other]), clear
    )
    yield Case("grey.gif", saved(Image.fromarray(luma()), "GIF"), grey(luma()))


def webps() -> Iterator[Case]:
    rgb, rgba, large = small(), layer(), blocks()
    exact = {"lossless": True, "exact": True}
    yield Case("lossless.webp", saved(Image.fromarray(rgb), "WEBP", **exact), rgb)
    yield Case("lossless-alpha.webp", saved(Image.fromarray(rgba), "WEBP", **exact), over_white(rgba), 1)
    yield Case("lossy.webp", saved(Image.fromarray(large), "WEBP", quality=100), large, LOSSY)
    alpha = np.full((*large.shape[:2], 1), 255, np.uint8)
    alpha[:SIDE, :SIDE] = 0
    sheet = np.concatenate((large, alpha), axis=-1)
    yield Case(
        "lossy-alpha.webp", saved(Image.fromarray(sheet), "WEBP", quality=100), over_white(sheet), LOSSY
    )
    frames = [Image.fromarray(rgb), Image.fromarray(255 - rgb)]
    moving = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], **exact)
    yield Case("moving.webp", moving, rgb)
    for number in range(1, 9):
        file = saved(Image.fromarray(rgb), "WEBP", exif=oriented(number), **exact)
        yield Case(f"turned-{number}.webp", file, turned(rgb, number))


# ------------------------------------------------------------------------------------- TIFF


def tiffs() -> Iterator[Case]:
    rgb, rgba, light = small(), layer(), luma()
    deep = np.arange(35, dtype=np.uint16).reshape(5, 7) * 1900
    scaled = grey(np.rint(deep / 257))
    image = Image.fromarray(rgb)
    for way in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield Case(f"{way}.tif", saved(image, "TIFF", compression=way), rgb)
    large = blocks()
    yield Case(
        "jpeg.tif", saved(Image.fromarray(large), "TIFF", compression="jpeg", quality=95), large, LOSSY
    )
    bits = light > 100
    yield Case("fax.tif", saved(Image.fromarray(bits), "TIFF", compression="group4"), grey(bits * 255))
    yield Case("rgba.tif", saved(Image.fromarray(rgba), "TIFF"), over_white(rgba), 1)
    yield Case("grey.tif", saved(Image.fromarray(light), "TIFF"), grey(light))
    yield Case("palette.tif", saved(palette()[0], "TIFF"), palette()[1])
    yield Case("cmyk.tif", saved(cmyk(rgb), "TIFF"), rgb)
    yield Case("deep.tif", saved(Image.fromarray(deep), "TIFF"), scaled)
    other = Image.frombytes("I;16B", (7, 5), deep.astype(">u2").tobytes())
    yield Case("deep-big-endian.tif", saved(other, "TIFF"), scaled)
    yield Case("whole.tif", saved(Image.fromarray(deep.astype(np.int32)), "TIFF"), scaled)
    shares = light.astype(np.float32) / 255
    yield Case("shares.tif", saved(Image.fromarray(shares), "TIFF"), grey(light))
    yield Case("floats.tif", saved(Image.fromarray(light.astype(np.float32)), "TIFF"), grey(light))
    far = light.astype(np.float32) * 10 - 500
    yield Case("far.tif", saved(Image.fromarray(far), "TIFF"), grey(np.rint(light * (255 / 238))), 1)
    pages = saved(image, "TIFF", save_all=True, append_images=[Image.fromarray(255 - rgb)])
    yield Case("pages.tif", pages, rgb)
    for number in range(1, 9):
        file = saved(image, "TIFF", tiffinfo={274: number})
        yield Case(f"turned-{number}.tif", file, turned(rgb, number))


# ------------------------------------------------------------------------------------- the others


def plain_formats() -> Iterator[Case]:
    rgb, rgba, light, large = small(), layer(), luma(), blocks()
    image, flat = Image.fromarray(rgb), Image.fromarray(light)
    bits = light > 100
    yield Case("rgb.bmp", saved(image, "BMP"), rgb)
    yield Case("grey.bmp", saved(flat, "BMP"), grey(light))
    yield Case("bits.bmp", saved(Image.fromarray(bits), "BMP"), grey(bits * 255))
    yield Case("palette.bmp", saved(palette()[0], "BMP"), palette()[1])
    upside = bytearray(saved(Image.fromarray(rgb[::-1]), "BMP"))
    upside[22:26] = struct.pack("<i", -5)  # a negative height: rows from the top
    yield Case("top-down.bmp", bytes(upside), rgb)
    yield Case("rgb.dib", saved(image, "DIB"), rgb)
    yield Case("rgb.ppm", saved(image, "PPM"), rgb)
    yield Case("grey.pgm", saved(flat, "PPM"), grey(light))
    yield Case("bits.pbm", saved(Image.fromarray(bits), "PPM"), grey(bits * 255))
    words = " ".join(str(value) for value in rgb.ravel())
    yield Case("text.ppm", f"P3 # a comment\n7 5\n255\n{words}\n".encode(), rgb)
    deep = np.arange(35, dtype=np.uint16).reshape(5, 7) * 1900
    yield Case("deep.pgm", b"P5 7 5 65535\n" + deep.astype(">u2").tobytes(), grey(np.rint(deep / 257)))
    tenth = (np.arange(35) % 11).astype(np.uint8)
    yield Case("ten.pgm", b"P5 7 5 10\n" + tenth.tobytes(), grey(np.rint(tenth * 25.5).reshape(5, 7)), 1)
    shares = (light / 255).astype("<f4")[::-1]
    yield Case("shares.pfm", b"Pf\n7 5\n-1.0\n" + shares.tobytes(), grey(light))
    for name, way in (("raw", None), ("rle", "tga_rle")):
        yield Case(f"{name}.tga", saved(image, "TGA", compression=way), rgb)
    yield Case("rgba.tga", saved(Image.fromarray(rgba), "TGA"), over_white(rgba), 1)
    yield Case("grey.tga", saved(flat, "TGA"), grey(light))
    yield Case("rgb.pcx", saved(image, "PCX"), rgb)
    yield Case("rgb.sgi", saved(image, "SGI"), rgb)
    square = np.concatenate((large[:, :32], np.full((32, 32, 1), 255, np.uint8)), axis=-1)
    yield Case("icon.ico", saved(Image.fromarray(square), "ICO", sizes=[(16, 16), (32, 32)]), square[..., :3])
    yield Case("exact.jp2", saved(Image.fromarray(large), "JPEG2000"), large, 1)
    yield Case("lossy.avif", saved(Image.fromarray(large), "AVIF", quality=95), large, LOSSY)


def odd_shapes() -> Iterator[Case]:
    for width, height in ((1, 1), (1, 40), (40, 1), (300, 2), (2, 300), (3, 3)):
        pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
        yield Case(f"{width}x{height}.png", saved(Image.fromarray(pixels), "PNG"), pixels)


def broken() -> Iterator[Case]:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    image = Image.fromarray(noise)
    for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("TIFF", "tif"), ("BMP", "bmp")):
        whole = saved(image, kind)
        yield Case(f"half.{suffix}", whole[: len(whole) // 2], code="corrupt")
        yield Case(f"empty.{suffix}", b"", code="empty")
    whole = saved(image, "GIF")
    yield Case("half.gif", whole[: len(whole) // 2], code="corrupt")
    yield Case("head.png", saved(image, "PNG")[:20], code="corrupt")
    yield Case("head.jpg", saved(image, "JPEG")[:3], code="corrupt")
    wrong = bytearray(saved(image, "PNG"))
    wrong[29] ^= 1  # the header's checksum
    yield Case("checksum.png", bytes(wrong), code="corrupt")
    strangers = {
        "text.jpg": b"this is no image, whatever it is called\n",
        "page.png": b"<!DOCTYPE html><title>404</title>",
        "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "vector.png": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "document.tif": b"%PDF-1.7\n",
        "zeros.jpg": bytes(5000),
    }
    yield from (Case(name, data, code="unsupported") for name, data in strangers.items())
    side = 50_000
    yield Case("bomb.png", png(side, side, 1, 0, b"\0"), code="too_large")
    frame = b"\xff\xff\xff\xff"
    screen = b"GIF89a" + frame + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + frame + b"\0\2\1\0\0;"
    yield Case("bomb.gif", screen, code="too_large")
    yield Case("bomb.ppm", b"P6 60000 60000 255\n", code="too_large")
    header = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 40000, 40000, 1, 24, 0, 0, 0, 0, 0, 0)
    yield Case("bomb.bmp", header, code="too_large")
