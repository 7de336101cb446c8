"""The one way to an indexed image's pixels: its file, read again, must be the one that was indexed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from auditor.data.load import Loaded, load
from auditor.errors import IndexMismatch
from auditor.records import Dataset, Sample
from auditor.remote import locate
from auditor.store import Index
from auditor.store.go_on import index_command


def load_named(index: Index, path: str) -> Loaded:
    """An image that an answer names: an indexed one, or else a file of its own."""
    return next(load_each(index, [path]))


def load_each(index: Index, paths: Sequence[str]) -> Iterator[Loaded]:
    """The same of several, in their order."""
    sql = "SELECT path, hash FROM images WHERE path IN (SELECT unnest($paths::VARCHAR[])) AND usable"
    rows = index.query(sql, {"paths": list(paths)})
    hashes = dict(zip(rows["path"].tolist(), rows["hash"].tolist(), strict=True))
    for path in paths:
        yield load_indexed(index, path, hashes[path]) if path in hashes else load_file(index, Path(path))


def load_file(index: Index, path: Path) -> Loaded:
    """An image file that the index does not hold, as its backbone would see it."""
    return load(Dataset(path.parent, "file", (), ()), Sample(path.name), index.manifest.preprocess)


def load_indexed(index: Index, path: str, content_hash: str) -> Loaded:
    """An indexed image read again; IndexMismatch where the file's content is not what the index is of."""
    root = locate(index.manifest.dataset.root)
    loaded = load(Dataset(root, "indexed", (), ()), Sample(path), index.manifest.preprocess)
    if loaded.hash is not None and loaded.hash != content_hash:
        raise IndexMismatch(
            f"{root / path} has changed since it was indexed; bring the index up to date with: "
            f"{index_command(index.path, index.manifest)}"
        )
    return loaded
