"""Reading an index: one object owns its storage, the rest of audit asks it questions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
from numpy.typing import NDArray

from auditor.errors import CellError, IndexDamaged
from auditor.records import IndexSummary
from auditor.store.counts import count_images
from auditor.store.derived import open_database, open_vectors, shard_array
from auditor.store.manifest import Manifest, read_manifest
from auditor.store.repair import index_command, repair_sentence
from auditor.store.shards import SHARDS


class Index:
    """A complete index, open for reading; a context manager that closes the database."""

    def __init__(self, path: Path, manifest: Manifest, connection: duckdb.DuckDBPyConnection) -> None:
        self.path = path
        self.manifest = manifest
        self._connection = connection
        self._firsts = [shard.first for shard in manifest.shards]
        self._array = lru_cache(maxsize=None)(self._map_array)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an index; IndexMissing, IndexMismatch or IndexDamaged say what to do where that fails."""
        manifest = read_manifest(path)
        if not manifest.is_complete:
            raise IndexDamaged(f"{path} is unfinished; go on with: {index_command(path, manifest)}")
        check_sizes(path, manifest)
        return cls(path, manifest, open_database(path, manifest))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.manifest.grid

    @cached_property
    def faiss(self) -> Any:
        """The exact FAISS index over all cells: id = cell id, inner product of unit vectors."""
        return open_vectors(self.path, self.manifest)

    def query(
        self, sql: str, parameters: Sequence[Any] | dict[str, Any] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Columns of a query on the tables images, cells and classes; masked arrays where there are nulls."""
        return self._connection.execute(sql, parameters or []).fetchnumpy()

    def features(self, image: int) -> NDArray[np.float32]:
        """Unit-length cells (H, W, C) of the original variant, zeros for an image that could not be read."""
        return _unit(np.asarray(self._row("features.npy", image), dtype=np.float32))

    def norms(self, image: int) -> NDArray[np.float32]:
        """Lengths (H, W) of the cells: feature = unit vector * norm."""
        return np.asarray(self._row("norms.npy", image), dtype=np.float32)

    def pooled(self, image: int) -> NDArray[np.float32]:
        """The backbone's own pooled vector (C,)."""
        return np.asarray(self._row("pooled.npy", image), dtype=np.float32)

    def vectors(self, cells: NDArray[np.integer]) -> NDArray[np.float32]:
        """Unit vectors (n, C) of cell ids."""
        return _unit(self._gather("features.npy", cells, (self.manifest.dim,)))

    def is_empty(self, cells: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of these cell ids (n,) have no content: a feature of zeros, which is similar to nothing."""
        return np.equal(self._gather("norms.npy", cells, ()), 0)

    def _gather(self, file: str, cells: NDArray[np.integer], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """What a file of the shards says of each cell id, (n, *shape)."""
        images, inside = np.divmod(np.asarray(cells, dtype=np.int64), self.manifest.cells_per_image)
        shards = np.searchsorted(self._firsts, images, side="right") - 1
        values = np.empty((len(images), *shape), dtype=np.float32)
        for shard in np.unique(shards):
            chosen = shards == shard
            array = self._array(int(shard), file)
            rows = array.reshape(len(array), -1, *shape)
            values[chosen] = rows[images[chosen] - self._firsts[shard], inside[chosen]]
        return values

    def image(self, path: str) -> int:
        """Id of an image by its path or by an ending that only its path has; CellError with close matches."""
        wanted = self._below_root(path)
        hits = self._connection.execute(
            "SELECT id, path, status, error FROM images "
            "WHERE (path = $wanted OR ends_with(path, '/' || $wanted)) AND NOT is_removed "
            "ORDER BY path <> $wanted, path",
            {"wanted": wanted},
        ).fetchall()
        if not hits:
            raise CellError(f"{path} is not in {self.name}; close matches: {self._close_matches(wanted)}")
        identifier, stored, status, error = hits[0]
        if len(hits) > 1 and stored != wanted:
            raise CellError(
                f"{path} fits {len(hits)} images of {self.name}: {stored}, {hits[1][1]}; name more"
            )
        if status != "ok":
            raise CellError(
                f"{stored} has no features in {self.name}: it is {status} ({error or 'no reason'})"
            )
        return int(identifier)

    def path_of(self, image: int) -> str:
        """An image's path below the dataset's root."""
        row = self._connection.execute("SELECT path FROM images WHERE id = ?", [image]).fetchone()
        if row is None:
            raise CellError(f"{self.name} has no image with id {image}")
        return str(row[0])

    def summary(self) -> IndexSummary:
        """The index in one row."""
        counts = self.manifest.counts or count_images(self.path, self.manifest, self._connection)
        return summarise(self.path, replace(self.manifest, counts=counts))

    def _below_root(self, path: str) -> str:
        given, root = Path(path), Path(self.manifest.dataset.root)
        for full in (given, given.absolute()):
            if full.is_relative_to(root):
                return full.relative_to(root).as_posix()
        return given.as_posix().encode(errors="replace").decode()  # a name that is no text is of no image

    def _close_matches(self, wanted: str) -> str:
        rows = self._connection.execute(
            "SELECT path FROM images WHERE usable "
            "ORDER BY jaro_winkler_similarity(parse_filename(path), parse_filename(?)) DESC, path LIMIT 3",
            [wanted],
        ).fetchall()
        return ", ".join(path for (path,) in rows) or "none, the index is empty"

    def _row(self, file: str, image: int) -> NDArray[Any]:
        if not 0 <= image < self.manifest.images:
            raise CellError(f"{self.name} has no image with id {image}")
        shard = bisect_right(self._firsts, image) - 1
        row: NDArray[Any] = self._array(shard, file)[image - self._firsts[shard]]
        return row

    def _map_array(self, shard: int, file: str) -> NDArray[Any]:
        return shard_array(self.path, self.manifest.shards[shard], file)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of exactly unit length: fp16 alone leaves real ones off by 2e-4, which cosines would show."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def check_sizes(path: Path, manifest: Manifest) -> None:
    """What can be seen without reading: `audit check` reads everything."""
    sound_shard = f"make it again with: {index_command(path, manifest)}"
    expected = [(path / name, facts, repair_sentence(path)) for name, facts in manifest.derived.items()]
    for shard in manifest.shards:
        folder = path / SHARDS / shard.name
        expected += [(folder / name, facts, sound_shard) for name, facts in shard.files.items()]
    for file, facts, fix in expected:
        if not file.is_file() or file.stat().st_size != facts.bytes:
            raise IndexDamaged(f"{file} is missing or has another size than when it was written; {fix}")


def summarise(path: Path, manifest: Manifest) -> IndexSummary:
    """One row of `audit list` from the manifest alone, so that unfinished indexes have one too."""
    files = [facts for shard in manifest.shards for facts in shard.files.values()]
    images = sum(shard.images for shard in manifest.shards) - len(manifest.removed)
    counts = manifest.counts
    return IndexSummary(
        name=path.resolve().name,
        dataset=Path(manifest.dataset.root).name,
        backbone=manifest.backbone.name,
        images=images,
        cells=(counts.indexed if counts else images) * manifest.cells_per_image,
        bytes=sum(facts.bytes for facts in [*files, *manifest.derived.values()]),
        head=manifest.head.name,
        certificate=manifest.certificate,
        is_complete=manifest.is_complete,
        broken=counts.broken if counts else None,
        filtered=counts.filtered if counts else None,
        removed=len(manifest.removed),
        empty_cells=counts.empty_cells if counts else None,
        images_with_empty_cells=counts.images_with_empty_cells if counts else None,
        caveats=manifest.caveats,
        weights=manifest.backbone.weights,
        created=manifest.created,
        modified=manifest.modified,
    )
