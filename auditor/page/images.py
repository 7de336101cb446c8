"""The images that a page carries: which they are, what is known of them, what their cells show."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.data.pixels import read_content
from auditor.errors import DatasetError
from auditor.remote import locate
from auditor.store import Index

BEST = 5  # classes of a cell of the original; of the other variants the first
NONE = 0xFFFF
"""What stands for no class in arrays of class ids."""
SCALE = 0xFFFF
"""A probability or cosine of 1 in arrays of whole numbers."""
MOST = 1000  # images: each more costs a hundredth of a second, and nobody looks at so many

IN_TURN = """
SELECT id, path, hash FROM (
  SELECT id, path, hash, row_number() OVER (PARTITION BY label ORDER BY id) AS turn FROM images WHERE usable)
ORDER BY turn, id
"""
WANTED = """
WITH wanted AS (
  SELECT unnest($ids::INTEGER[]) AS id, unnest(range(len($ids::INTEGER[])))::INTEGER AS place)
"""
FACTS = (
    WANTED
    + """
SELECT path, label, labels, top5_original[1] AS predicted, round(top5_original_p[1]::DOUBLE, 4) AS p,
  true_name, split, metadata, foreground
FROM images JOIN wanted USING (id) ORDER BY place
"""
)
CELLS = (
    WANTED
    + f"""
SELECT place, variant, cell, foreground,
  {", ".join(f"top5[{n}] AS c{n}, top5_p[{n}] AS p{n}" for n in range(1, BEST + 1))}
FROM cells JOIN wanted ON cells.image = wanted.id
"""
)


def pack(array: NDArray[Any]) -> str:
    """An array as base64 of its little-endian bytes."""
    return b64encode(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()).decode()


@dataclass(frozen=True, slots=True)
class Listed:
    """An image of the index, and the hash of the file that was indexed."""

    id: int
    path: str
    hash: str | None


def rank_images(index: Index, first: Iterable[str]) -> list[Listed]:
    """Usable images in the order in which a page takes them: those named, then one of every class in turn."""
    columns = [index.query(IN_TURN)[name].tolist() for name in ("id", "path", "hash")]
    rows = {path: Listed(number, path, digest) for number, path, digest in zip(*columns, strict=True)}
    named = [path for path in dict.fromkeys(first) if path in rows]
    return [rows[path] for path in dict.fromkeys([*named, *rows])]


def encode_crop(index: Index, image: Listed) -> tuple[bytes, bool] | None:
    """The crop that the network saw as WebP, and whether the file is still the one that was indexed.

    None where the image is no longer there.
    """
    try:
        content = read_content(locate(index.manifest.dataset.root) / image.path)
        pixels, _ = content.decode(index.manifest.preprocess)
    except DatasetError:
        return None
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=72, method=4)
    return buffer.getvalue(), content.hash == image.hash


def weigh(index: Index) -> int:
    """Bytes on the page, roughly, of one image's facts and cells without its picture."""
    variants = len(index.manifest.variants)
    per_cell = 4 * BEST + 4 * (variants - 1) + 1
    return 700 + index.manifest.cells_per_image * per_cell * 4 // 3


def image_facts(index: Index, ids: Sequence[int]) -> dict[str, list[Any]]:
    """Columns by name, a value per image: path, labels, what it is taken for, where it is from, its mask."""
    rows = index.query(FACTS, {"ids": list(ids)})
    columns = {name: [_plain(value) for value in column] for name, column in rows.items()}
    columns["metadata"] = [json.loads(text) if text else {} for text in columns["metadata"]]
    columns["mask"] = [json.loads(text)["counts"] if text else None for text in columns.pop("foreground")]
    return columns


def cell_arrays(index: Index, ids: Sequence[int]) -> dict[str, str]:
    """What the cells of these images show, packed.

    `top` and `p` (n, H * W, BEST): classes and probabilities of the original; `top_occluded` and `p_occluded`
    (n, V - 1, H * W): the first of the other variants; `foreground` (n, H * W): 0, 1, 2 where not annotated.
    """
    manifest = index.manifest
    count, width, others = len(ids), manifest.cells_per_image, len(manifest.variants) - 1
    rows = index.query(CELLS, {"ids": list(ids)})
    place, variant, cell = (np.asarray(rows[name], dtype=np.int64) for name in ("place", "variant", "cell"))
    original = variant == 0
    at, others_at = (
        (place[original], cell[original]),
        (place[~original], variant[~original] - 1, cell[~original]),
    )
    top, p = (np.full((count, width, BEST), NONE, np.uint16), np.zeros((count, width, BEST), np.uint16))
    for number in range(BEST):
        top[(*at, number)] = _classes(rows[f"c{number + 1}"])[original]
        p[(*at, number)] = _shares(rows[f"p{number + 1}"])[original]
    top_occluded = np.full((count, others, width), NONE, np.uint16)
    p_occluded = np.zeros((count, others, width), np.uint16)
    top_occluded[others_at] = _classes(rows["c1"])[~original]
    p_occluded[others_at] = _shares(rows["p1"])[~original]
    foreground = np.full((count, width), 2, np.uint8)
    foreground[at] = np.ma.filled(np.ma.asarray(rows["foreground"]).astype(np.uint8), 2)[original]
    arrays = {"top": top, "p": p, "top_occluded": top_occluded, "p_occluded": p_occluded}
    return {name: pack(array) for name, array in arrays.items()} | {"foreground": pack(foreground)}


def _classes(column: NDArray[Any]) -> NDArray[np.uint16]:
    return np.asarray(np.ma.filled(np.ma.asarray(column).astype(np.int64), NONE), dtype=np.uint16)


def _shares(column: NDArray[Any]) -> NDArray[np.uint16]:
    shares = np.ma.filled(np.ma.asarray(column).astype(np.float64), 0)
    return np.asarray(np.rint(np.clip(shares, 0, 1) * SCALE), dtype=np.uint16)


def _plain(value: Any) -> Any:
    if value is np.ma.masked or value is None:
        return None
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
