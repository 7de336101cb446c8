"""Reading an index: one object owns its storage, the rest of audit asks it questions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
from numpy.typing import NDArray

from auditor.errors import CellError, IndexBusy, IndexDamaged, IndexMismatch, OutputError
from auditor.records import IndexSummary
from auditor.store.blocks import Rows, Verified
from auditor.store.codes import Codes
from auditor.store.columns import in_little_memory, quoted, read_parquet
from auditor.store.derived import open_database
from auditor.store.generations import DATABASE, LISTS, Generation, ShardRef, read_current
from auditor.store.go_on import index_command, unfinished
from auditor.store.halves import widen
from auditor.store.kept import Writer, keep
from auditor.store.manifest import Manifest, read_manifest, repair_sentence
from auditor.store.places import DERIVED, SHARDS
from auditor.store.shards import read_shard
from auditor.store.summary import summarise

KEPT_FROM = 50_000  # cells: below, counting again takes no time
MAPPED = 128  # arrays of shards at a time: each keeps a file open, of which a process may have 256


class Index:
    """The last committed state of an index, open for reading; a context manager that closes the database.

    What an answer is computed from is verified first: rows of features when they are read, derived files
    whole, each once per state of the file.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        generation: Generation,
        connection: duckdb.DuckDBPyConnection,
        verified: Verified,
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.generation = generation
        self.verified = verified
        self._connection = connection
        self._firsts = [shard.first for shard in generation.shards]
        self._array = lru_cache(MAPPED)(self._open_array)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an index; IndexMissing, IndexMismatch or IndexDamaged say what to do where that fails.

        Its database is open from here on, so that it stays readable when later generations replace it.
        """
        manifest = read_manifest(path)
        generation = read_current(path)
        if generation is None:
            raise IndexDamaged(unfinished(path, manifest))
        verified, fix = Verified(path), repair_sentence(path)
        parts, facts = (DERIVED, generation.name, DATABASE), generation.files[DATABASE]
        is_known = verified.is_known(parts, facts)
        database = verified.require(parts, facts, fix)
        connection = open_database(database, generation.fingerprint, fix, is_known)
        verified.save()
        return cls(path, manifest, generation, connection, verified)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self.verified.save()
        self._connection.close()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.manifest.grid

    @property
    def images(self) -> int:
        """Image ids given out, those of broken and removed images included."""
        return self.generation.images

    @cached_property
    def codes(self) -> Codes:
        """All cells for exact search: inner products of vectors as stored with a unit vector."""
        firsts = [*self._firsts, self.images]
        width, dim = self.manifest.cells_per_image, self.manifest.dim
        return Codes(firsts, width, dim, lambda number: self._array(number, "features.npy"))

    def file(self, name: str) -> Path | None:
        """A derived file, verified; None where this generation has none of that name."""
        facts = self.generation.files.get(name)
        if facts is None:
            return None
        return self.verified.require((DERIVED, self.generation.name, name), facts, repair_sentence(self.path))

    @cached_property
    def lists(self) -> Any:
        """The FAISS index that a large index is searched by, approximately; None where there is none."""
        if (path := self.file(LISTS)) is None:
            return None
        from auditor.store.lists_file import open_lists  # few indexes are large

        return open_lists(path, self.manifest.dim, repair_sentence(self.path))

    def keep(self, name: str, write: Writer) -> Path | None:
        """Add a derived file that takes long to make; IndexMismatch or IndexBusy where that cannot be."""
        self.generation = keep(self.path, self.generation, name, write)
        return self.file(name)

    def counted(self, sql: str) -> dict[str, NDArray[Any]]:
        """Columns of an aggregation over all cells, made once for each generation of a large index."""
        if self.images * self.manifest.cells_per_image < KEPT_FROM:
            return self.query(sql)
        name = f"counted-{blake2b(sql.encode(), digest_size=8).hexdigest()}.parquet"
        try:
            path = self.file(name) or self.keep(name, lambda to: self._copy(sql, to))
        except (IndexMismatch, IndexBusy, OutputError, OSError):  # another process writes it, or nobody may
            path = None
        return read_parquet(path) if path else self.query(sql)

    def _copy(self, sql: str, to: Path) -> None:
        copy = f"COPY ({sql}) TO {quoted(to)} (FORMAT parquet)"
        in_little_memory(self._connection, lambda: self._connection.execute(copy))

    def query(
        self, sql: str, parameters: Sequence[Any] | dict[str, Any] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Columns of a query on the tables images, cells and classes; masked arrays where there are nulls."""
        connection = self._connection
        return in_little_memory(connection, lambda: connection.execute(sql, parameters or []).fetchnumpy())

    def rows(
        self, sql: str, parameters: Sequence[Any] | dict[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """The same as rows of Python's own values, None for null: for a few, which need no masked arrays."""
        return self._connection.execute(sql, parameters or []).fetchall()

    def features(self, image: int) -> NDArray[np.float32]:
        """Unit-length cells (H, W, C) of the original variant, zeros for an image that could not be read."""
        return unit(np.asarray(self._row("features.npy", image), dtype=np.float32))

    def norms(self, image: int) -> NDArray[np.float32]:
        """Lengths (H, W) of the cells: feature = unit vector * norm."""
        return np.asarray(self._row("norms.npy", image), dtype=np.float32)

    def pooled(self, image: int) -> NDArray[np.float32]:
        """The backbone's own pooled vector (C,)."""
        return np.asarray(self._row("pooled.npy", image), dtype=np.float32)

    def grids(self, images: NDArray[np.integer]) -> NDArray[np.float32]:
        """Unit vectors (n, H * W, C) of all cells of image ids."""
        return unit(self.stored(images))

    def vectors(self, cells: NDArray[np.integer]) -> NDArray[np.float32]:
        """Unit vectors (n, C) of cell ids."""
        return unit(self._gather("features.npy", *np.divmod(cells, self.manifest.cells_per_image)))

    def stored(self, images: NDArray[np.integer]) -> NDArray[np.float32]:
        """The cells (n, H * W, C) of images as they are stored: to 2 ** -11 of their length unit vectors."""
        shape = (self.manifest.cells_per_image, self.manifest.dim)
        return self._gather("features.npy", images).reshape(len(images), *shape)

    def lengths(self, images: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """The norms (n, H * W) of the cells of images, all by default; zeros where there are no features."""
        wanted = np.arange(self.images) if images is None else images
        return self._gather("norms.npy", wanted).reshape(len(wanted), self.manifest.cells_per_image)

    def is_empty(self, cells: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of these cell ids (n,) have no content: a feature of zeros, which is similar to nothing."""
        return np.equal(self._gather("norms.npy", *np.divmod(cells, self.manifest.cells_per_image)), 0)

    def _gather(
        self, file: str, images: NDArray[np.integer], cells: NDArray[np.integer] | None = None
    ) -> NDArray[np.float32]:
        """What a file of the shards says of each image (n, H, W, ...), or of one cell of each (n, ...)."""
        images = np.asarray(images, dtype=np.int64)
        shape = (*(() if cells is not None else self.grid), *self._shapes[file])
        values = np.empty((len(images), *shape), dtype=np.float32)
        shards = np.searchsorted(self._firsts, images, side="right") - 1
        for shard in np.flatnonzero(np.bincount(shards)):
            places, rows = np.flatnonzero(shards == shard), self._array(int(shard), file)
            within = images[places] - self._firsts[shard]
            found = rows.take(within) if cells is None else rows.take_cells(within, cells[places])
            if places[-1] - places[0] < len(places):  # neighbours, which most are
                widen(found, values[places[0] : places[-1] + 1])
            else:
                values[places] = widen(found)
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
        return summarise(self.path, self.manifest, self.generation)

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

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """What the arrays of a shard hold of a cell, `pooled.npy` of an image."""
        return {"features.npy": (self.manifest.dim,), "norms.npy": (), "pooled.npy": (self.manifest.dim,)}

    def _row(self, file: str, image: int) -> NDArray[Any]:
        if not 0 <= image < self.images:
            raise CellError(f"{self.name} has no image with id {image}")
        shard = bisect_right(self._firsts, image) - 1
        return self._array(shard, file).take(image - self._firsts[shard])

    def _open_array(self, number: int, file: str) -> Rows:
        seen = self.generation.shards[number]
        fix = f"make it again with: {index_command(self.path, self.manifest)}"
        shard = read_shard(self.path, seen.name)
        if ShardRef.of(shard) != seen:
            raise IndexDamaged(f"{self.path / SHARDS / seen.name} was changed since it was indexed; {fix}")
        grid = () if file == "pooled.npy" else self.grid
        shape = (seen.images, *grid, *self._shapes[file])
        return Rows(self.verified, (SHARDS, seen.name, file), shard.files[file], shape, fix)


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows of exactly unit length: fp16 alone leaves real ones off by 2e-4, which cosines would show."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
