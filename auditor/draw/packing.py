"""Drawings below one another, and as PNG files that are not too large to be sent."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

from PIL import Image

from auditor.draw.colours import Paper
from auditor.files import write_bytes

_MARGIN = 24
_BAND = 16  # rows of a drawing that are packed to foresee the size of all


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Drawings one below the other; one alone as it is."""
    if len(pictures) == 1 and pictures[0].mode == "RGB":
        return pictures[0]
    width = max(picture.width for picture in pictures)
    drawn = Image.new("RGB", (width, sum(picture.height + _MARGIN for picture in pictures) - _MARGIN), Paper)
    top = 0
    for picture in pictures:
        drawn.paste(picture, (0, top))
        top += picture.height + _MARGIN
    return drawn


def save(image: Image.Image, path: Path, most: int | None = None) -> None:
    """Write a drawing as PNG, whole or not at all; of at most so many bytes, if need be with 256 colours."""
    has_few = most is not None and _foresee(image) > most
    content = _encode(_few_colours(image) if has_few else image)
    while most is not None and len(content) > most:
        if has_few:
            smaller = 0.95 * sqrt(most / len(content))
            size = round(image.width * smaller), round(image.height * smaller)
            image = image.resize(size, Image.Resampling.LANCZOS)
        has_few, content = True, _encode(_few_colours(image))
    write_bytes(path, content)


def _foresee(image: Image.Image) -> float:
    """Bytes of a drawing, from those of an eighth of it: a sheet of photographs is not packed in vain."""
    bands = [image.crop((0, top, image.width, top + _BAND)) for top in range(0, image.height, 8 * _BAND)]
    return sum(len(_encode(band)) for band in bands) * image.height / (len(bands) * _BAND)


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # a third of the time, for a file 7 % larger
    return buffer.getvalue()


def _few_colours(image: Image.Image) -> Image.Image:
    some = image.resize((-(-image.width // 4), -(-image.height // 4)), Image.Resampling.NEAREST)
    palette = some.quantize(256, Image.Quantize.FASTOCTREE)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)  # else skies get bands
