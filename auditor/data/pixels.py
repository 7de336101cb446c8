"""Decodes images: upright RGB pixels, the network's input, mask values, a hash of the content.

Pillow alone decodes and resizes. torchvision's decoder gives the same pixels, but torch's antialiased uint8
resize rounds its weights to 16 bits: up to 1 % of the values differ, by as much as 2 (torch 2.14). A third
less time is not worth cells that depend on which decoder a file happened to suit.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from auditor.data.containers import find_container, read_contained
from auditor.errors import DatasetError, ImageError
from auditor.grids import Geometry
from auditor.records import Preprocess

MAX_PIXELS = 89_478_485  # where Pillow starts to warn: a quarter of a gigabyte as RGB
MAX_BYTES = 1 << 30
VOID = 255  # in a mask of no class, as Pascal VOC marks borders
# What Pillow decodes by itself (MPO as JPEG); PostScript is left out because Ghostscript would run it.
_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000"),
    *("TGA", "PCX", "SGI", "ICO", "QOI"),
)
_LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF")
_MASK_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "F")
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

Pixels = NDArray[np.uint8]


def open_upright(path: Path) -> Image.Image:
    """The image in RGB as a person sees it: EXIF orientation applied, transparency over white.

    16-bit grey is scaled by its whole range. Raises DatasetError for whatever cannot be decoded.
    """
    return _decode(read_content(path).data, path)


@dataclass(frozen=True, slots=True)
class Content:
    """A file read once: its bytes, and by which one sees later that it is another."""

    path: Path
    data: bytes
    mtime_ns: int

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)

    @property
    def hash(self) -> str:
        """The 16-byte BLAKE2b hash in hexadecimal."""
        return hashlib.blake2b(self.data, digest_size=16).hexdigest()

    def decode(self, preprocess: Preprocess) -> tuple[Pixels, tuple[int, int]]:
        """The network's input before normalisation, (S, S, 3), and the upright original's (width, height)."""
        image = _decode(self.data, self.path)
        try:
            view = fit(image, preprocess.geometry, _RESAMPLING[preprocess.interpolation])
        except DatasetError as error:
            raise ImageError("too_large", f"{self.path}: {error}") from error
        return np.asarray(view), image.size


def load_input(path: Path, preprocess: Preprocess) -> tuple[Pixels, tuple[int, int]]:
    """The network's input before normalisation, (S, S, 3), and the upright original's (width, height)."""
    return read_content(path).decode(preprocess)


def fit(
    image: Image.Image,
    geometry: Geometry,
    resample: Image.Resampling,
    size: tuple[int, int] | None = None,
) -> Image.Image:
    """Resize as an original of `size` (by default the image's own) would be, then crop."""
    width, height = geometry.resized(*(size or image.size))
    if width * height > MAX_PIXELS:
        raise DatasetError(
            f"an image of {image.width} x {image.height} is too narrow to be resized; crop it first"
        )
    left, top = geometry.offset(width, height)
    resized = image.resize((width, height), resample)
    return resized.crop((left, top, left + geometry.crop, top + geometry.crop))


def content_hash(path: Path) -> str:
    """The 16-byte BLAKE2b hash of a file in hexadecimal; ImageError when it cannot be read."""
    return read_content(path).hash


def read_content(path: Path) -> Content:
    """A regular file of at most 1 GiB, or what lies in a tar or Parquet file; else ImageError."""
    try:
        if (place := find_container(path)) is not None:
            return Content(path, *read_contained(*place, MAX_BYTES))
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a fifo would hang for ever
            raise ImageError("unreadable", f"{path} is no regular file")
        if status.st_size > MAX_BYTES:
            raise ImageError("too_large", f"{path} is larger than 1 GiB; save it as a smaller image")
        return Content(path, path.read_bytes(), status.st_mtime_ns)
    except FileNotFoundError as error:
        raise ImageError("missing", f"{path} cannot be read: {error}") from error
    except (OSError, ValueError, MemoryError) as error:  # ValueError: a zero byte in the name
        raise ImageError("unreadable", f"{path} cannot be read: {error}") from error


def _decode(data: bytes, path: Path) -> Image.Image:
    with _naming(path, data):
        image = _open(data, path)
        return _turn(_to_rgb(image), _orientation(image))


@contextmanager
def _naming(path: Path, data: bytes) -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError that names the file and is the same in every run."""
    try:
        yield
    except DatasetError:
        raise
    except UnidentifiedImageError as error:  # its own text holds an address in memory
        code = "empty" if not data else "corrupt" if _is_known(data) else "unsupported"
        what = "is empty" if not data else "is no image that can be decoded"
        raise ImageError(code, f"{path} {what}; save it again or remove it") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise ImageError("too_large", f"{path} has too many pixels to be decoded: {error}") from error
    except Exception as error:  # OSError, SyntaxError, ValueError, RuntimeError, struct.error, ...
        raise ImageError(
            "corrupt", f"{path} cannot be decoded: {error}; save it again or remove it"
        ) from error


def _is_known(data: bytes) -> bool:
    """Whether the first bytes are those of a format that is read: then the rest of the header is broken."""
    accept = [Image.OPEN[name][1] for name in _FORMATS if name in Image.OPEN]
    head = data[:16].ljust(16, b"\0")
    return any(check(head) is True for check in accept if check is not None)


def _open(data: bytes, path: Path) -> Image.Image:
    image: Image.Image = Image.open(BytesIO(data), formats=_FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            "too_large",
            f"{path} has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}; save it smaller",
        )
    return image


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken metadata does not make the pixels unreadable
        return 1


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(to_grey(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def to_grey(values: NDArray[np.generic]) -> Pixels:
    """Deep grey values (H, W) as 8 bits: by the range of their type where they fit it, else by their own.

    Ranges: 65,535 for integers, 1 or 255 for floats. Pillow clips at 255 instead: an X-ray turns white.
    """
    whole = (65535.0,) if np.issubdtype(values.dtype, np.integer) else (1.0, 255.0)
    wide = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(wide.min()), float(wide.max())
    fitting = [top for top in whole if low >= 0 and high <= top]
    low, high = (0.0, fitting[0]) if fitting else (low, high)
    return np.asarray(np.rint((wide - low) * (255.0 / (high - low or 1.0))), dtype=np.uint8)


def read_mask(path: Path, is_semantic: bool = True) -> NDArray[np.int64]:
    """The values (H, W) of a mask image as displayed: palette indices or grey values, 0 where transparent.

    Without `is_semantic` only zero and non-zero matter, and colours may be used. Raises DatasetError for
    colours and fractions in a semantic mask, and for formats whose values are not those that were saved.
    """
    data = read_content(path).data
    with _naming(path, data):
        image = _open(data, path)
        _check_lossless(image, data, path)
        image.load()  # which turns a TIFF: its orientation is asked for afterwards
        turned = _turn(image, _orientation(image))
        bands = np.atleast_3d(np.asarray(turned))
    if image.mode in ("LA", "RGBA", "PA"):
        bands = np.where(bands[..., -1:] == 0, 0, bands[..., :-1])
    if is_semantic and bands.shape[-1] > 1 and (bands != bands[..., :1]).any():
        raise DatasetError(f"{path} is a coloured mask; save class numbers as grey or palette values")
    if np.issubdtype(bands.dtype, np.floating):
        return _whole(bands[..., 0], is_semantic, path)
    return np.asarray(bands.max(axis=-1), dtype=np.int64)


def _check_lossless(image: Image.Image, data: bytes, path: Path) -> None:
    is_lossy = image.format in _LOSSY or "jpeg" in str(image.info.get("compression"))
    if is_lossy or (image.format == "WEBP" and b"VP8 " in data):
        raise DatasetError(f"{path} is a {image.format}, which changes mask values; save masks as PNG")
    if image.mode not in _MASK_MODES and not image.mode.startswith("I"):
        raise DatasetError(f"{path} is in mode {image.mode}; save masks as PNG, in grey or palette values")


def _whole(values: NDArray[np.floating], is_semantic: bool, path: Path) -> NDArray[np.int64]:
    """Fractions as whole numbers: those of a semantic mask must be some, others are zero or not."""
    if not np.isfinite(values).all():
        raise DatasetError(f"{path} holds values that are no numbers; save masks as PNG")
    if not is_semantic:
        return np.asarray(values != 0, dtype=np.int64)
    if (values != np.rint(values)).any():
        raise DatasetError(f"{path} holds fractions; save class numbers as whole numbers, in a PNG")
    return np.asarray(values, dtype=np.int64)
