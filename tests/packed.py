"""The same photos in tars and in Parquet, and what an index says of them wherever they lie."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.store import Index


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_tars(folder: Path, photos: list[Path]) -> Path:
    """Shards of five and four samples, each an image and its class by name."""
    for shard, chosen in enumerate((photos[:5], photos[5:])):
        members = {}
        for photo in chosen:
            members[f"{photo.stem}.png"] = photo.read_bytes()
            members[f"{photo.stem}.cls"] = photo.parent.name.encode()
        write_tar(folder / f"train-{shard:03d}.tar", members)
    return folder


FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": ["elk", "dog", "cat"], "_type": "ClassLabel"},
    "caption": {"dtype": "string", "_type": "Value"},
}


def write_parquet(path: Path, rows: list[dict[str, Any]], features: Any = FEATURES, group: int = 2) -> Path:
    path.parent.mkdir(exist_ok=True)
    table = pa.Table.from_pylist(rows)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=group)
    return path


def rows_of(photos: list[Path]) -> list[dict[str, Any]]:
    return [
        {
            "image": {"bytes": photo.read_bytes(), "path": f"/home/me/{photo.name}"},
            "label": ["elk", "dog", "cat"].index(photo.parent.name),
            "caption": f"photo {photo.stem}",
        }
        for photo in photos
    ]


def facts(index: Path) -> dict[str, tuple[str, bytes]]:
    """For each image's content its class and features."""
    with Index.open(index) as opened:
        rows = opened.query("SELECT id, hash, true_name FROM images WHERE usable ORDER BY id")
        columns = (rows[name].tolist() for name in ("id", "hash", "true_name"))
        return {
            content: (name, opened.features(image).tobytes())
            for image, content, name in zip(*columns, strict=True)
        }
